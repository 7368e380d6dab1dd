from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellfit.data.config import DataConfig
from wellfit.data.readers import RawData
from wellfit.data.split import Assignment, assign_rows, first_twins
from wellfit.errors import WellfitError

ROWS = st.integers(60, 400)
FRACTION = st.floats(0.1, 0.4)
SEED = st.integers(0, 2**32 - 1)


def config(val: float = 0.2, test: float = 0.2, seed: int = 0) -> DataConfig:
    return DataConfig(
        name="wine", n_samples=100, noise=0.0, minority_share=0.1, val_fraction=val, test_fraction=test, seed=seed
    )


def table(x: Any, y: Any, first_test_row: int | None = None) -> RawData:
    y = np.asarray(y)
    is_classes = y.dtype.kind == "i"
    names = tuple("abcdefgh"[: y.max() + 1]) if is_classes else ()
    x = np.asarray(x, dtype=np.float32).reshape(len(y), -1)
    return RawData(x, y, first_test_row, ("f",) * x.shape[1], names, "t")


def all_rows(assignment: Assignment) -> list[int]:
    return sorted(np.concatenate(list(assignment.rows.values())).tolist())


@given(n=ROWS, classes=st.integers(2, 4), val=FRACTION, test=FRACTION, seed=SEED)
@settings(deadline=None, max_examples=60)
def test_classes_are_spread_evenly_over_disjoint_splits_of_the_asked_size(
    n: int, classes: int, val: float, test: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % classes)
    assignment = assign_rows(table(np.arange(n), y), config(val, test, seed))
    assert all_rows(assignment) == list(range(n))
    sizes = {name: len(rows) for name, rows in assignment.rows.items()}
    assert (sizes["val"], sizes["test"]) == (round(n * val), round(n * test))
    overall = np.bincount(y) / n
    for rows in assignment.rows.values():
        np.testing.assert_allclose(np.bincount(y[rows], minlength=classes), overall * len(rows), atol=2)
        assert (np.diff(rows) > 0).all()
        assert rows.dtype == np.int64


@given(n=ROWS, val=FRACTION, test=FRACTION, seed=SEED)
@settings(deadline=None, max_examples=30)
def test_a_regression_is_split_at_random(n: int, val: float, test: float, seed: int) -> None:
    y = np.linspace(0, 1, n, dtype=np.float32)
    assignment = assign_rows(table(np.arange(n), y), config(val, test, seed))
    assert all_rows(assignment) == list(range(n))
    assert (len(assignment.rows["val"]), len(assignment.rows["test"])) == (round(n * val), round(n * test))
    assert all(0.2 < y[rows].mean() < 0.8 for rows in assignment.rows.values()), "not a stretch of the sorted rows"


@given(n=ROWS, distinct=st.integers(30, 60), seed=SEED)
@settings(deadline=None, max_examples=40)
def test_equal_rows_never_stand_in_two_splits(n: int, distinct: int, seed: int) -> None:
    x = np.random.default_rng(seed).integers(0, distinct, n)
    assignment = assign_rows(table(x, np.zeros(n, dtype=np.float32)), config(seed=seed))
    assert all_rows(assignment) == list(range(n)), "twins follow, they are not dropped"
    values = {name: set(x[rows].tolist()) for name, rows in assignment.rows.items()}
    assert sum(map(len, values.values())) == len(set(x.tolist()))
    assert len(values["val"]) == round(0.2 * len(set(x.tolist())))
    assert assignment.repeated == n - len(set(x.tolist()))
    assert assignment.left_out == 0


@given(n_train=ROWS, n_test=st.integers(1, 40), shared=st.integers(0, 10), val=FRACTION, seed=SEED)
@settings(deadline=None, max_examples=40)
def test_a_publishers_test_split_is_kept_and_its_twins_left_out_of_train(
    n_train: int, n_test: int, shared: int, val: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = np.arange(n_train + n_test)
    twins = rng.choice(n_train, shared, replace=False)
    x[twins] = rng.integers(n_train, n_train + n_test, shared)
    y = np.arange(n_train + n_test) % 2
    assignment = assign_rows(table(x, y, first_test_row=n_train), config(val, 0.3, seed))
    assert assignment.rows["test"].tolist() == list(range(n_train, n_train + n_test))
    assert all_rows(assignment) == sorted(set(range(n_train + n_test)) - set(twins.tolist()))
    assert assignment.left_out == shared
    assert len(assignment.rows["val"]) == round(val * (n_train - shared)), "a share of the publisher's train split"


@given(st.lists(st.tuples(st.sampled_from([0.0, -0.0, 1.5]), st.sampled_from([0.0, 2.0])), min_size=1))
@settings(deadline=None)
def test_first_twins_are_those_of_a_plain_search(rows: list[tuple[float, float]]) -> None:
    expected = [rows.index(row) for row in rows]
    assert first_twins(np.array(rows, dtype=np.float32)).tolist() == expected


def test_first_twins_of_images() -> None:
    images = np.zeros((4, 1, 2, 2), dtype=np.uint8)
    images[1, 0, 1, 1] = images[3, 0, 1, 1] = 1
    assert first_twins(images).tolist() == [0, 1, 0, 1]


def test_the_seed_and_nothing_else_decides() -> None:
    raw = table(np.arange(100), np.arange(100) % 2)
    first, again, other = (assign_rows(raw, config(seed=seed)) for seed in (1, 1, 2))
    for name in first.rows:
        np.testing.assert_array_equal(first.rows[name], again.rows[name])
        assert not np.array_equal(first.rows[name], other.rows[name])


def test_the_splits_come_in_their_usual_order() -> None:
    assert list(assign_rows(table(np.arange(100), np.arange(100) % 2), config()).rows) == ["train", "val", "test"]


@pytest.mark.parametrize("count", [1, 2])
def test_a_class_too_small_to_be_stratified_is_named(count: int) -> None:
    y = np.array([0] * 50 + [1] * 50 + [2] * count)
    with pytest.raises(WellfitError, match=f"class 'c' has {count} distinct rows, too few to stand in every split"):
        assign_rows(table(np.arange(len(y)), y), config())


def test_a_class_must_stand_in_every_split() -> None:
    y = np.array([0] * 97 + [1] * 3)
    with pytest.raises(WellfitError, match="class 'b' has 3 distinct rows, too few"):
        assign_rows(table(np.arange(100), y), config(0.1, 0.1))


def test_a_class_counts_by_its_distinct_rows() -> None:
    x = [*range(50), *[99] * 50]
    y = np.array([0] * 50 + [1] * 50)
    with pytest.raises(WellfitError, match="class 'b' has 1 distinct rows"):
        assign_rows(table(x, y), config())


@pytest.mark.parametrize(("val", "test", "empty"), [(0.001, 0.2, "val"), (0.2, 0.001, "test"), (0.499, 0.499, "train")])
def test_a_split_that_would_be_empty_is_named(val: float, test: float, empty: str) -> None:
    with pytest.raises(WellfitError, match=f"the {empty} split would be empty, as 100 distinct rows are split by"):
        assign_rows(table(np.arange(100), np.linspace(0, 1, 100)), config(val, test))


def test_fewer_rows_than_classes_in_a_split() -> None:
    y = np.arange(40) % 8
    with pytest.raises(WellfitError, match="too few to stand in every split"):
        assign_rows(table(np.arange(40), y), config(0.1, 0.1))


def test_the_split_is_that_of_scikit_learn(data_config: Callable[..., Any]) -> None:
    from sklearn.model_selection import train_test_split

    y = np.arange(100) % 3
    rows = assign_rows(table(np.arange(100), y), config(0.3, 0.2, seed=5)).rows
    rest, val = train_test_split(np.arange(100), test_size=30, stratify=y, random_state=5)
    _, test = train_test_split(rest, test_size=20, stratify=y[rest], random_state=5)
    assert rows["val"].tolist() == sorted(val)
    assert rows["test"].tolist() == sorted(test)
    assert Counter(y[rows["train"]].tolist()).most_common(1)[0][1] <= 17
