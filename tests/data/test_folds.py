import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold, train_test_split

from wellfit.data.fetch import fetch
from wellfit.data.prepare import prepare
from wellfit.data.raw import RawData, published_splits
from wellfit.data.settings import DataConfig
from wellfit.data.split import Assignment, assign_rows
from wellfit.data.store import load_split
from wellfit.errors import WellfitError
from wellfit.settings.params import load_params

PARAMS_FILE = Path(__file__).parents[2] / "params.yaml"
SHIPPED = load_params(PARAMS_FILE).data


def config(folds: int | None = 4, **changes: Any) -> DataConfig:
    return SHIPPED.model_copy(update={"folds": folds} | changes)


def table(y: Any, x: Any = None, **known: Any) -> RawData:
    y = np.asarray(y)
    names = tuple("abcdefgh"[: y.max() + 1]) if y.dtype.kind == "i" else ()
    frame = pd.DataFrame({"x": np.arange(len(y), dtype=np.float64) if x is None else np.asarray(x, np.float64)})
    return RawData(frame, y, names, "t", **known)


def fold_of_rows(found: Assignment, n: int) -> np.ndarray:
    """The fold of each row of the data set; -2 of test rows and of what is left out."""
    fold = np.full(n, -2)
    assert found.folds is not None
    fold[found.rows["val"]] = 0
    fold[found.rows["train"]] = found.folds
    return fold


def expected(parts: Any, pool: np.ndarray, n: int) -> list[int]:
    fold = np.full(n, -2)
    for number, (_, validated) in enumerate(parts):
        fold[pool[validated]] = number
    return fold.tolist()


@pytest.mark.parametrize("task", ["classes", "numbers"])
def test_folds_are_those_of_scikit_learn_of_the_rows_beside_the_test_split(task: str) -> None:
    n = 103
    y = np.arange(n) % 3 if task == "classes" else np.linspace(0, 1, n)
    found = assign_rows(table(y), config(seed=5))
    strata = y if task == "classes" else None
    rest, _ = train_test_split(np.arange(n), test_size=21, stratify=strata, random_state=5)
    _, test = train_test_split(rest, test_size=21, stratify=y[rest] if task == "classes" else None, random_state=5)
    assert found.rows["test"].tolist() == sorted(test)
    without = assign_rows(table(y), config(seed=5, folds=None))
    np.testing.assert_array_equal(found.rows["test"], without.rows["test"], "so that scores can be compared")
    pool = np.setdiff1d(np.arange(n), test)
    splitter = (StratifiedKFold if task == "classes" else KFold)(4, shuffle=True, random_state=5)
    assert fold_of_rows(found, n).tolist() == expected(splitter.split(pool, y[pool]), pool, n)
    assert not found.warnings


@pytest.mark.parametrize("task", ["classes", "numbers"])
def test_folds_of_groups_are_those_of_scikit_learn(task: str) -> None:
    n = 200
    random = np.random.default_rng(0)
    groups = random.integers(0, 30, n)
    y = random.integers(0, 2, n) if task == "classes" else random.normal(size=n)
    found = assign_rows(table(y, groups=groups), config(group="shop"))
    pool = np.setdiff1d(np.arange(n), found.rows["test"])
    splitter = (StratifiedGroupKFold if task == "classes" else GroupKFold)(4, shuffle=True, random_state=0)
    fold = fold_of_rows(found, n)
    assert fold.tolist() == expected(splitter.split(pool, y[pool], groups[pool]), pool, n)
    assert all(len(set(fold[groups == group])) == 1 for group in set(groups))


def test_equal_rows_stand_in_one_fold() -> None:
    n = 200
    x = np.arange(n)
    x[100:108] = x[:8]
    found = assign_rows(table(np.arange(n) % 2, x), config())
    fold = fold_of_rows(found, n)
    assert fold[100:108].tolist() == fold[:8].tolist()
    assert set(fold) == {-2, 0, 1, 2, 3}
    assert "each stands in the same split as the first of its kind" in found.warnings[0]


def test_time_goes_forward_from_fold_to_fold() -> None:
    n = 100
    times = np.random.default_rng(0).permutation(n).astype(float)
    found = assign_rows(table(np.zeros(n), times=times), config(time="day"))
    fold = fold_of_rows(found, n)
    oldest_first = [-1, 3, 2, 1, 0, -2]
    assert [len(times[fold == number]) for number in oldest_first] == [16, 16, 16, 16, 16, 20]
    for older, newer in itertools.pairwise(oldest_first):
        assert times[fold == older].max() < times[fold == newer].min()


def test_a_row_that_equals_one_of_a_newer_fold_is_left_out() -> None:
    n = 100
    x = np.arange(n)
    x[[2, 30]] = 70  # of the oldest rows, fold 3 and fold 0
    x[60] = 62  # both of fold 1
    x[40] = 90  # a test row
    found = assign_rows(table(np.zeros(n), x, times=np.arange(100.0)), config(time="day"))
    fold = fold_of_rows(found, n)
    assert np.flatnonzero(fold[:80] == -2).tolist() == [2, 30, 40]
    assert "2 rows equal a newer row of another fold and are left out" in found.warnings


def test_the_publishers_test_split_is_kept() -> None:
    found = assign_rows(table(np.arange(100) % 2, splits=published_splits(90, 10)), config())
    assert found.rows["test"].tolist() == list(range(90, 100))
    assert np.bincount(fold_of_rows(found, 100)[:90]).tolist() == [23, 23, 22, 22]


def refused(raw: RawData, data: DataConfig) -> str:
    with pytest.raises(WellfitError) as caught:
        assign_rows(raw, data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_validation_split_that_is_given_is_refused() -> None:
    splits = np.repeat(["train", "val", "test"], [60, 20, 20])
    text = refused(table(np.arange(100) % 2, splits=splits), config())
    assert text == "data.folds 4: data.name digits has a validation split of its own; set data.folds to null"


def test_a_class_with_fewer_rows_than_folds_is_named() -> None:
    y = np.array([0] * 96 + [1] * 4)
    assert "class 'b' has 3 rows beside the test split, too few to stand in each of 4 folds" in refused(
        table(y), config()
    )


def test_a_fold_without_a_class_is_named() -> None:
    groups = np.arange(200) % 20
    raw = table(np.where(groups == 3, 1, 0), groups=groups)
    text = refused(raw, config(group="shop", seed=2))
    assert re.match(r"data\.folds 4: fold \d of 4 would have no rows of class 'b'; lower data\.folds", text)
    y = np.r_[np.zeros(20, int), np.arange(80) % 2]
    text = refused(table(y, times=np.arange(100.0)), config(time="day"))
    assert text.startswith("data.folds 4: the rows that are older than all folds would have no rows of class 'b'")


def test_too_few_units_are_named() -> None:
    raw = table(np.zeros(100), groups=np.arange(100) % 4)
    assert refused(raw, config(group="shop")) == "data.folds must be at most the number of groups, 3, got 4"
    assert "3 different values leave a fold without rows" in refused(
        table(np.zeros(100), times=np.arange(100) % 4 * 1.0), config(time="day", test_fraction=0.25)
    )


def test_a_fold_that_weighs_nothing_is_named() -> None:
    weights = np.ones(100, np.float32)
    times = np.arange(100.0)
    weights[32:48] = 0
    text = refused(table(np.zeros(100), times=times, weights=weights), config(time="day", weight="w"))
    assert text == "data.weight w: all 16 rows of fold 2 of 4 weigh 0"


def test_the_fold_of_each_training_row_is_in_the_manifest(tmp_path: Path) -> None:
    params = load_params(PARAMS_FILE, ["data.name=moons", "data.n_samples=100", "data.folds=4"])
    fetch(params.data, params.fetch, tmp_path / "raw")
    meta = prepare(params.data, tmp_path / "raw", tmp_path / "processed")
    assert meta.split_sizes == {"train": 60, "val": 20, "test": 20}
    train, val = (load_split(tmp_path / "processed/moons", meta, name) for name in ("train", "val"))
    assert train.folds is not None
    assert np.bincount(train.folds).tolist() == [0, 20, 20, 20]
    assert (train.weights, val.folds) == (None, None)
    np.testing.assert_allclose(meta.mean, train.x.mean(0), rtol=1e-5)
    (tmp_path / "processed/moons/fold_train.npy").unlink()
    with pytest.raises(WellfitError, match=r"fold_train\.npy not found"):
        load_split(tmp_path / "processed/moons", meta, "train")


def test_without_folds_there_is_no_file(tmp_path: Path) -> None:
    params = load_params(PARAMS_FILE, ["data.name=moons", "data.n_samples=100"])
    fetch(params.data, params.fetch, tmp_path / "raw")
    meta = prepare(params.data, tmp_path / "raw", tmp_path / "processed")
    assert not any(file.startswith("fold") for file in meta.manifest)
