"""The files of publishers; in the form of the real ones, and the real ones."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from wellfit.data.config import DataConfig
from wellfit.data.published import ADULT_COLUMNS, read_adult, read_california

Config = Callable[..., DataConfig]
ADULT_ROW = "39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, Own-child, White, Male, 2174, 0, 40, "


@pytest.fixture
def mirror() -> Path:
    return Path(os.environ["WELLFIT_MIRROR"])


def test_adult_in_small(data_config: Config, tmp_path: Path) -> None:
    (tmp_path / "adult.data").write_text(f"{ADULT_ROW}United-States, <=50K\n{ADULT_ROW}?, >50K\n\n")
    (tmp_path / "adult.test").write_text(f"|1x3 Cross validator\n{ADULT_ROW}Cuba, >50K.\n\n")
    raw = read_adult(tmp_path, data_config("adult"))
    assert list(raw.x) == list(ADULT_COLUMNS)
    assert raw.y.tolist() == [0, 1, 1]
    assert raw.class_names == ("<=50K", ">50K")
    assert raw.splits is not None
    assert raw.splits.tolist() == ["train", "train", "test"]
    assert raw.x["native-country"].astype(object).tolist()[::2] == ["United-States", "Cuba"]
    assert raw.x["native-country"].isna().tolist() == [False, True, False]
    assert raw.x["age"].tolist() == [39.0] * 3


@pytest.mark.real_data
def test_adult(data_config: Config, mirror: Path) -> None:
    raw = read_adult(mirror / "adult", data_config("adult"))
    assert raw.splits is not None
    assert [int((raw.splits == name).sum()) for name in ("train", "test")] == [32_561, 16_281]
    # What adult.names says: 24.78 % of the rows without missing values earn more; 2,399 and 1,221 rows have some.
    gaps = raw.x.isna().any(axis=1).to_numpy()
    assert [int(gaps[raw.splits == name].sum()) for name in ("train", "test")] == [2_399, 1_221]
    assert raw.y[~gaps].mean() == pytest.approx(0.2478, abs=5e-5)
    assert raw.x.select_dtypes("number").shape[1] == 6


def test_california_in_small(data_config: Config, tmp_path: Path) -> None:
    (tmp_path / "cal_housing.data").write_text("-122.23,37.88,41.0,880.0,129.0,322.0,126.0,8.3252,452600.0\n")
    raw = read_california(tmp_path, data_config("california_housing"))
    # The first row of sklearn.datasets.fetch_california_housing, as its documentation shows it.
    expected = [8.3252, 41.0, 6.98412698, 1.02380952, 322.0, 2.55555556, 37.88, -122.23]
    np.testing.assert_allclose(raw.x.to_numpy()[0], expected, rtol=1e-8)
    assert raw.y.tolist() == pytest.approx([4.526])


@pytest.mark.real_data
def test_california(data_config: Config, mirror: Path) -> None:
    raw = read_california(mirror / "california_housing", data_config("california_housing"))
    assert raw.x.shape == (20_640, 8)
    assert (raw.y.min(), raw.y.max()) == (pytest.approx(0.14999), pytest.approx(5.00001))
    assert not raw.x.isna().any(axis=None)
