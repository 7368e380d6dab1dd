import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import datasets
from sklearn.datasets import load_diabetes

from wellfit.data.catalog import CATALOG
from wellfit.data.prepare import read_raw
from wellfit.data.readers.bundled import save_arrays
from wellfit.data.settings import DataConfig
from wellfit.errors import WellfitError
from wellfit.manifest import file_sha256, sealed, unsealed

from ...damage import DAMAGES

Config = Callable[..., DataConfig]
LOADERS = {
    "digits": datasets.load_digits,
    "wine": datasets.load_wine,
    "breast_cancer": datasets.load_breast_cancer,
    "diabetes": lambda: datasets.load_diabetes(scaled=False),
}


def bundle(data: DataConfig, folder: Path) -> None:
    entry = CATALOG[data.name]
    assert entry.load is not None
    save_arrays(entry.load(data), entry, folder)


@pytest.fixture
def save(data_config: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    def run(name: str, **changes: Any) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        bundle(data_config(name, **changes), tmp_path)
        return (
            np.load(tmp_path / "x.npy"),
            np.load(tmp_path / "y.npy"),
            unsealed((tmp_path / "names.json").read_text()),
        )

    return run


@pytest.mark.parametrize("name", LOADERS)
def test_values_are_those_of_scikit_learn(name: str, save: Callable[..., Any]) -> None:
    bunch = LOADERS[name]()
    x, y, _ = save(name)
    np.testing.assert_array_equal(x.reshape(len(x), -1), bunch.data)
    np.testing.assert_array_equal(y, bunch.target)


def test_digits_are_images(save: Callable[..., Any]) -> None:
    x, _, names = save("digits")
    assert x.dtype == np.uint8
    assert x.shape == (1797, 1, 8, 8)
    assert x.max() == 16
    assert names["class_names"] == list("0123456789")
    assert names["feature_names"] == []
    assert names["target_name"] == "digit"


def test_tables_have_names(save: Callable[..., Any]) -> None:
    _, _, names = save("breast_cancer")
    assert names["feature_names"] == list(datasets.load_breast_cancer().feature_names)
    assert names["class_names"] == ["malignant", "benign"]


def test_diabetes_is_in_raw_units(save: Callable[..., Any]) -> None:
    x, y, names = save("diabetes")
    assert x[:, names["feature_names"].index("age")].max() == 79
    assert y.dtype == np.float64
    assert names["class_names"] == []


def test_moons_take_size_noise_and_seed(save: Callable[..., Any]) -> None:
    x, y, _ = save("moons", n_samples=101, noise=0.3, seed=7)
    expected_x, expected_y = datasets.make_moons(101, noise=0.3, random_state=7)
    np.testing.assert_array_equal(x, expected_x)
    np.testing.assert_array_equal(y, expected_y)


def test_the_moons_bear_the_right_names(save: Callable[..., Any]) -> None:
    x, y, names = save("moons", noise=0.0)
    height = [x[y == index, 1].mean() for index in range(2)]
    assert names["class_names"] == ["upper", "lower"]
    assert height[0] > height[1]


@pytest.mark.parametrize("noise", [0.0, 5.0])
def test_regression_is_linear_in_ten_features_but_for_the_noise(noise: float, save: Callable[..., Any]) -> None:
    x, y, names = save("regression", n_samples=1000, noise=noise)
    assert x.shape == (1000, 10)
    assert len(names["feature_names"]) == 10
    coefficients = np.linalg.lstsq(x, y)[0]
    assert (np.abs(coefficients) > 1).all(), "every feature informs"
    assert (y - x @ coefficients).std() == pytest.approx(noise, rel=0.1, abs=1e-9)


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.05, 50), (0.3, 300)])
def test_outliers_are_too_high_by_ten_standard_deviations(share: float, count: int, save: Callable[..., Any]) -> None:
    clean_x, clean_y, _ = save("regression", n_samples=1000)
    x, y, _ = save("regression", n_samples=1000, outliers=share)
    np.testing.assert_array_equal(x, clean_x)
    off = y != clean_y
    assert off.sum() == count
    np.testing.assert_allclose((y - clean_y)[off], 10 * clean_y.std())


@pytest.mark.parametrize(("n_samples", "share"), [(2000, 0.1), (2000, 0.01), (1000, 0.5), (333, 0.3)])
def test_the_minority_has_its_share(n_samples: int, share: float, save: Callable[..., Any]) -> None:
    x, y, names = save("imbalanced", n_samples=n_samples, minority_share=share)
    assert x.shape == (n_samples, 10)
    assert len(names["feature_names"]) == 10
    assert names["class_names"] == ["majority", "minority"]
    assert abs(int(y.sum()) - share * n_samples) <= 2


def test_the_noise_of_imbalanced_data_is_on_the_features_alone(save: Callable[..., Any]) -> None:
    clean_x, clean_y, _ = save("imbalanced", noise=0.0)
    x, y, _ = save("imbalanced", noise=0.5)
    np.testing.assert_array_equal(y, clean_y)
    assert (x - clean_x).std() == pytest.approx(0.5, rel=0.05)
    assert np.linalg.matrix_rank(clean_x - clean_x.mean(axis=0)) == 7, "three features repeat others"
    assert np.linalg.matrix_rank(x - x.mean(axis=0)) == 10


def rewrite(folder: Path, **arrays: np.ndarray) -> None:
    """Puts other arrays into a bundled set, with hashes that fit."""
    names = unsealed((folder / "names.json").read_text())
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
        names["files"][f"{name}.npy"] = file_sha256(folder / f"{name}.npy")
    (folder / "names.json").write_text(sealed(names))


@pytest.fixture
def diabetes(data_config: Config, tmp_path: Path) -> Path:
    bundle(data_config("diabetes"), tmp_path)
    return tmp_path


def test_a_table_is_a_frame_in_raw_units(diabetes: Path, data_config: Config) -> None:
    raw = read_raw(data_config("diabetes"), diabetes)
    assert raw.y.dtype == np.float32
    np.testing.assert_allclose(raw.x, np.load(diabetes / "x.npy"), rtol=1e-6)
    assert raw.x.columns.tolist() == load_diabetes().feature_names
    assert raw.target_name == "disease_progression"
    assert raw.splits is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_a_feature_that_is_not_finite_is_named(value: float, diabetes: Path, data_config: Config) -> None:
    x = np.load(diabetes / "x.npy")
    x[17, 2] = value
    rewrite(diabetes, x=x)
    with pytest.raises(
        WellfitError,
        match=r"x\.npy row 17, bmi: must be a finite float32 number, got " + f"{value:g}".replace("+", r"\+"),
    ):
        read_raw(data_config("diabetes"), diabetes)


def test_a_target_that_is_not_finite_is_named(diabetes: Path, data_config: Config) -> None:
    y = np.load(diabetes / "y.npy")
    y[3] = np.nan
    rewrite(diabetes, y=y)
    with pytest.raises(WellfitError, match=r"y\.npy row 3, disease_progression: must be a finite"):
        read_raw(data_config("diabetes"), diabetes)


def test_arrays_that_do_not_fit_together(diabetes: Path, data_config: Config) -> None:
    x = np.load(diabetes / "x.npy")
    rewrite(diabetes, x=x[:-1])
    with pytest.raises(WellfitError, match=re.escape("x.npy (441, 10) and y.npy (442,) do not fit together")):
        read_raw(data_config("diabetes"), diabetes)
    rewrite(diabetes, x=x[:, :-1])
    with pytest.raises(WellfitError, match=re.escape("x.npy has 9 columns, names.json 10 names")):
        read_raw(data_config("diabetes"), diabetes)


@pytest.mark.parametrize("file", ["x.npy", "y.npy", "names.json"])
def test_a_missing_file_says_which_stage_makes_it(file: str, diabetes: Path, data_config: Config) -> None:
    (diabetes / file).unlink()
    with pytest.raises(WellfitError, match=f"{file} not found; `dvc repro fetch` makes it"):
        read_raw(data_config("diabetes"), diabetes)


@pytest.mark.parametrize("file", ["x.npy", "y.npy", "names.json"])
@pytest.mark.parametrize("cut", [0, 50])
def test_a_truncated_file_is_damaged(file: str, cut: int, diabetes: Path, data_config: Config) -> None:
    path = diabetes / file
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(WellfitError, match=f"{file} is damaged"):
        read_raw(data_config("diabetes"), diabetes)


@pytest.mark.parametrize(
    "text", ["[]", "{}", sealed({"feature_names": [], "class_names": [], "target_name": "t", "files": 1})]
)
def test_names_of_another_shape(text: str, diabetes: Path, data_config: Config) -> None:
    (diabetes / "names.json").write_text(text)
    with pytest.raises(WellfitError, match=r"names\.json is damaged"):
        read_raw(data_config("diabetes"), diabetes)


@pytest.mark.parametrize("damage", DAMAGES)
def test_names_that_were_changed_are_refused(damage: str, diabetes: Path, data_config: Config) -> None:
    DAMAGES[damage](diabetes / "names.json")
    with pytest.raises(WellfitError, match=r"names\.json (is damaged|not found)"):
        read_raw(data_config("diabetes"), diabetes)


def test_pickled_arrays_are_not_loaded(diabetes: Path, data_config: Config) -> None:
    rewrite(diabetes, y=np.array([{}], dtype=object))
    with pytest.raises(WellfitError, match=r"y\.npy is damaged"):
        read_raw(data_config("diabetes"), diabetes)
