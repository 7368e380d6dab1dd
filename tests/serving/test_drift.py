"""New rows beside the training rows: the index, its limit, and what is no alarm."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2, entropy

import wellfit
from wellfit.data.fetch import FetchConfig, fetch
from wellfit.data.prepare import prepare
from wellfit.data.store import load_split
from wellfit.serving.drift import CHANCE, MUCH, SOME, Comparison, Counted, Drift, drift_of
from wellfit.serving.profile import Bins, fit_profile, observe, stored_gaps
from wellfit.serving.rows import Summary
from wellfit.settings.params import load_params

from ..conftest import PARAMS_FILE
from .own import csv_file, leave_model
from .test_profile import bins_of
from .test_rows import frame


def drift(trained: list[int], new: list[int], chance: float = CHANCE) -> Drift:
    names = tuple(f"c{i}" for i in range(len(trained) - 2))
    bins = Bins(name="city", kind="categories", categories=names, counts=tuple(trained))
    return drift_of(bins, np.array(new), chance)


def test_the_index_is_the_sum_of_both_divergences() -> None:
    trained, new = [400, 350, 250, 10, 1], [100, 300, 100, 3, 40]
    found = drift(trained, new)
    p, q = np.array(trained) + 0.5, np.array(new) + 0.5  # which entropy makes shares of
    assert found.psi == pytest.approx(entropy(p, q) + entropy(q, p), rel=1e-12)
    two = drift([50, 50, 0, 0], [80, 20, 0, 0])
    share = 80.5 / 101
    assert two.psi == pytest.approx((share - 0.5) * np.log(share / (1 - share)), rel=1e-12), "bins without rows: none"
    assert two.labels == ["c0", "c1"]
    np.testing.assert_allclose(two.new, [0.8, 0.2])


def test_the_limit_is_what_chance_reaches_and_never_below_a_tenth() -> None:
    few = drift([300, 300, 300, 100, 0], [30, 30, 30, 10, 0])
    assert few.limit == pytest.approx((1 / 1000 + 1 / 100) * chi2.ppf(1 - CHANCE, 3), rel=1e-9)
    assert few.limit > SOME
    assert drift([300, 300, 300, 100, 0], [3000, 3000, 3000, 1000, 0]).limit == SOME


def test_few_columns_of_unchanged_rows_are_above_the_limit() -> None:
    random, alarms = np.random.default_rng(0), 0
    shares = [0.4, 0.3, 0.15, 0.1, 0.04, 0.01, 0.0]
    for _ in range(500):
        trained, new = random.multinomial(1000, shares), random.multinomial(120, shares)
        alarms += drift(trained.tolist(), new.tolist()).moved != "no"
    assert 0 < alarms < 15  # 5 are expected


@pytest.mark.parametrize(
    ("new", "moved", "says"),
    [
        ([500, 500, 0, 0], "no", "'c0' has 50.0 % of the rows, and had 50.0 % before"),
        ([690, 310, 0, 0], "some", "'c1' has 31.0 % of the rows, and had 50.0 % before"),
        ([900, 100, 0, 0], "much", "'c1' has 10.0 % of the rows, and had 50.0 % before"),
        ([450, 450, 100, 0], "much", "'unseen or rare' has 10.0 % of the rows, and had 0.0 % before"),
        ([450, 450, 0, 100], "much", "'missing' has 10.0 % of the rows, and had 0.0 % before"),
        ([0, 0, 0, 1000], "much", "'missing' has 100.0 % of the rows, and had 0.0 % before"),
        ([0, 0, 1, 0], "no", "'unseen or rare' has 100.0 % of the rows, and had 0.0 % before"),
    ],
)
def test_how_far_a_column_moved(new: list[int], moved: str, says: str) -> None:
    found = drift([500, 500, 0, 0], new)
    assert found.moved == moved
    assert (found.psi > MUCH) == (moved == "much") or sum(new) == 1
    assert found.says == says


def test_no_rows_and_one_bin_have_not_moved() -> None:
    assert drift([900, 100, 0, 0], [0, 0, 0, 0]).moved == "no"
    assert drift([500, 0, 0, 0], [20, 0, 0, 0])[:3] == ("city", 0, SOME)
    nothing = drift([0, 0, 0, 0], [0, 0, 0, 0])
    assert (nothing.psi, nothing.moved, nothing.says) == (0, "no", "no rows")
    constant = bins_of([3.0] * 500)
    assert drift_of(constant, constant.count(np.array([3.0] * 100)), CHANCE).moved == "no"
    other = drift_of(constant, constant.count(np.array([3.5] * 100)), CHANCE)
    assert (other.moved, other.says) == ("much", "'above 3' has 100.0 % of the rows, and had 0.0 % before")


def test_columns_that_moved_come_first(tmp_path: Path) -> None:
    csv_file(tmp_path / "own.csv")
    model = wellfit.load(leave_model(tmp_path)[0])
    assert model.compare(frame()).moved == []
    found = model.compare(frame().assign(city="Paris", share="80%").drop(columns="age"))
    assert {each.name for each in found.columns[:3]} == {"city", "share", "age"}
    assert {each.name for each in found.columns if each.moved == "much"} == {"city", "share", "age"}
    says = {each.name: each.says for each in found.columns}
    assert says["city"] == "'unseen or rare' has 100.0 % of the rows, and had 0.0 % before"
    assert says["share"] == "'above 39' has 100.0 % of the rows, and had 0.0 % before"
    assert says["age"].startswith("'missing' has 100.0 % of the rows")
    assert found.predictions.name == "sold"
    one = model.compare(frame().head(1))
    assert (one.rows, one.moved) == (1, [])


def test_parts_of_the_rows_add_up(tmp_path: Path) -> None:
    csv_file(tmp_path / "own.csv")
    model = wellfit.load(leave_model(tmp_path)[0])
    rows, counted = frame().assign(city="Paris"), Counted(model.profile)
    summary = Summary(counted)
    for start in (0, 50, 100):
        model.predictions(model.encode(rows.iloc[start : start + 50], summary), summary)
    assert counted.compare().as_json() == model.compare(rows).as_json()


@pytest.mark.parametrize(
    "name",
    ["digits", *(pytest.param(name, marks=pytest.mark.real_data) for name in ("adult", "california_housing"))],
)
def test_a_fifth_of_the_test_rows_is_no_alarm_and_shifted_ones_are(name: str, tmp_path: Path) -> None:
    data = load_params(PARAMS_FILE, [f"data.name={name}"]).data
    fetch(data, FetchConfig(timeout=30.0, retries=0), tmp_path / "raw")
    meta = prepare(data, tmp_path / "raw", tmp_path / "processed")
    train, test = (load_split(tmp_path / "processed" / name, meta, split) for split in ("train", "test"))
    profile = fit_profile(meta, train.x, train.y)
    rows = np.random.default_rng(0).permutation(np.array(test.x))[: len(test.x) // 5]

    def compare(new: np.ndarray) -> Comparison:
        counted = Counted(profile)
        counted.add_rows(observe(meta, new, stored_gaps(meta, new)))
        return counted.compare()

    assert compare(rows).moved == []
    shifted = rows.astype(np.float32)
    if meta.kind == "images":
        shifted *= 0.7
    else:
        shifted[:, 0] += meta.std[0]
    assert compare(shifted).columns[0].moved == "much"
