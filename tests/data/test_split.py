from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from wellfit.data.raw import RawData, published_splits
from wellfit.data.settings import DataConfig
from wellfit.data.split import Assignment, assign_rows, find_duplicates
from wellfit.errors import WellfitError
from wellfit.settings.params import load_params

ROWS = st.integers(60, 400)
FRACTION = st.floats(0.1, 0.4)
SEED = st.integers(0, 2**32 - 1)


SHIPPED = load_params(Path(__file__).parents[2] / "params.yaml").data


def config(val: float = 0.2, test: float = 0.2, seed: int = 0, **changes: Any) -> DataConfig:
    return SHIPPED.model_copy(update={"val_fraction": val, "test_fraction": test, "seed": seed} | changes)


def table(x: Any, y: Any, splits: Any = None, groups: Any = None, times: Any = None) -> RawData:
    y = np.asarray(y)
    is_classes = y.dtype.kind == "i"
    names = tuple("abcdefgh"[: y.max() + 1]) if is_classes else ()
    frame = pd.DataFrame(np.asarray(x, dtype=np.float64).reshape(len(y), -1))
    return RawData(frame, y, names, "t", splits, groups=groups, times=times)


def images(x: Any, splits: Any = None) -> RawData:
    """Images of one row of two pixels."""
    pixels = np.stack(np.divmod(np.asarray(x), 256), axis=1).astype(np.uint8)[:, None, None]
    return RawData(pixels, np.zeros(len(pixels), np.float32), (), "t", splits)


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
    for rows in assignment.rows.values():
        assert np.ptp(rows) >= len(rows), "not a stretch of the sorted rows"


@given(n=ROWS, distinct=st.integers(30, 60), seed=SEED)
@settings(deadline=None, max_examples=40)
def test_equal_rows_never_stand_in_two_splits(n: int, distinct: int, seed: int) -> None:
    x = np.random.default_rng(seed).integers(0, distinct, n)
    assignment = assign_rows(images(x), config(seed=seed))
    assert all_rows(assignment) == list(range(n)), "twins follow, they are not dropped"
    values = {name: set(x[rows].tolist()) for name, rows in assignment.rows.items()}
    assert sum(map(len, values.values())) == len(set(x.tolist()))
    assert len(values["val"]) == round(0.2 * len(set(x.tolist())))
    repeated = n - len(set(x.tolist()))
    sentence = f"{repeated} rows equal an earlier row; each stands in the same split as the first of its kind"
    assert assignment.warnings == (sentence,) * (repeated > 0)


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
    raw = images(x, published_splits(n_train, n_test))._replace(y=y, class_names=("a", "b"))
    assignment = assign_rows(raw, config(val, 0.3, seed))
    assert assignment.rows["test"].tolist() == list(range(n_train, n_train + n_test))
    assert all_rows(assignment) == sorted(set(range(n_train + n_test)) - set(twins.tolist()))
    left_out = f"{shared} rows equal a row of a later split (train, val, test) and are left out"
    assert assignment.warnings[: shared > 0] == (left_out,) * (shared > 0)
    assert len(assignment.rows["val"]) == round(val * (n_train - shared)), "a share of the publisher's train split"


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.5, None]), st.sampled_from(["a", "b", None])), min_size=1))
@settings(deadline=None)
def test_find_duplicates_are_those_of_a_plain_search(rows: list[tuple[float | None, str | None]]) -> None:
    numbers, texts = zip(*rows, strict=True)
    frame = pd.DataFrame({"n": np.array(numbers, float), "t": pd.Categorical(texts, categories=["b", "a"])})
    assert find_duplicates(frame).tolist() == [rows.index(row) for row in rows]


def test_find_duplicates_of_images() -> None:
    images = np.zeros((4, 1, 2, 2), dtype=np.uint8)
    images[1, 0, 1, 1] = images[3, 0, 1, 1] = 1
    assert find_duplicates(images).tolist() == [0, 1, 0, 1]


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
    with pytest.raises(WellfitError, match=rf"class 'c' has {count} distinct rows?, too few .*; get more rows of"):
        assign_rows(table(np.arange(len(y)), y), config())


def test_a_class_must_stand_in_every_split() -> None:
    y = np.array([0] * 97 + [1] * 3)
    with pytest.raises(WellfitError, match=r"class 'b' has 3 distinct rows, too few .*; raise data\.val_fraction"):
        assign_rows(table(np.arange(100), y), config(0.1, 0.1))


def test_a_class_counts_by_its_distinct_rows() -> None:
    raw = images([*range(50), *[99] * 50])._replace(y=np.array([0] * 50 + [1] * 50), class_names=("a", "b"))
    with pytest.raises(WellfitError, match="class 'b' has 1 distinct image, too few"):
        assign_rows(raw, config())


def repeating(**changes: Any) -> RawData:
    """A thousand rows of a hundred kinds, of which the first ones are the most frequent."""
    random = np.random.default_rng(0)
    return table(random.random(1000) ** 1.5 // 0.01, random.integers(0, 2, 1000))._replace(**changes)


@pytest.mark.parametrize("folds", [None, 5])
def test_many_equal_rows_stay_together_in_splits_of_the_right_size(folds: int | None) -> None:
    raw = repeating()
    assignment = assign_rows(raw, config(folds=folds))
    assert all_rows(assignment) == list(range(1000))
    kinds = [find_duplicates(raw.x)[rows] for rows in assignment.rows.values()]
    if folds:
        assert assignment.folds is not None
        kinds = [kinds[1], kinds[2], *(kinds[0][assignment.folds == fold] for fold in range(1, folds))]
    assert sum(len(set(part.tolist())) for part in kinds) == 100
    for part, size in zip(kinds, [160, 200, 160, 160, 160, 160] if folds else [600, 200, 200], strict=True):
        assert len(part) == pytest.approx(size, abs=20)
    assert assignment.warnings == (
        "900 rows equal an earlier row; each stands in the same split as the first of its kind",
    )


@pytest.mark.parametrize("how", ["group", "time", "published"])
def test_many_equal_rows_are_rows_like_any_others_where_something_else_parts_them(how: str) -> None:
    splits = np.repeat(["train", "test"], [800, 200]) if how == "published" else None
    groups = np.arange(1000) % 200 if how == "group" else None
    raw = repeating(groups=groups, times=np.arange(1000.0) if how == "time" else None, splits=splits)
    assignment = assign_rows(raw, config(**{how: "c"} if splits is None else {"val": 0.25}))
    assert [len(rows) for rows in assignment.rows.values()] == [600, 200, 200]
    (sentence,) = assignment.warnings
    assert "of 1000 rows equal an earlier row in all their columns, so equal rows may stand in different" in sentence


def test_a_row_that_is_repeated_too_often_for_one_split_is_drawn_alone() -> None:
    x = np.concatenate([np.zeros(300), np.repeat(np.arange(1, 176), 4)])
    assignment = assign_rows(table(x, np.arange(1000) % 2), config())
    assert [len(rows) for rows in assignment.rows.values()] == pytest.approx([600, 200, 200], abs=3)
    zeros = [int((x[rows] == 0).sum()) for rows in assignment.rows.values()]
    assert zeros == pytest.approx([180, 60, 60], abs=25)
    assert sum(len(set(x[rows].tolist()) - {0.0}) for rows in assignment.rows.values()) == 175
    assert assignment.warnings == (
        "300 of 1000 rows repeat 1 row too often for one split: they are drawn one by one, so equal rows may stand in "
        "different splits",
        "525 rows equal an earlier row; each stands in the same split as the first of its kind",
    )


def test_equal_rows_are_drawn_alone_where_a_class_would_miss_a_split() -> None:
    """Of three rows of a class, shares of 20 % of them are less than one."""
    assignment = assign_rows(table(np.arange(1000) // 2, np.repeat([0, 1], [997, 3])), config(seed=1))
    (sentence,) = assignment.warnings
    assert sentence.startswith("500 of 1000 rows equal an earlier row in all their columns, so equal rows may stand in")


def test_a_given_split_that_only_repeats_another_is_refused() -> None:
    splits = np.repeat(["train", "val", "test"], [40, 10, 10])
    raw = images([*range(40), *range(100, 110), *range(100, 110)], splits)
    with pytest.raises(WellfitError, match="every row of the val split equals one of a later split"):
        assign_rows(raw, config())


def test_a_class_of_one_group_may_be_missing_from_val_and_test_but_not_from_train() -> None:
    groups = np.arange(200) % 20
    y = np.where(groups == 3, 1, 0)
    outcomes = set()
    for seed in range(20):
        try:
            assignment = assign_rows(table(np.arange(200), y, groups=groups), config(seed=seed, group="shop"))
        except WellfitError as error:
            outcomes.add(str(error)[:43])
        else:
            assert len(assignment.warnings) == 2
            outcomes.add(assignment.warnings[0])
    assert outcomes == {"class 'b' does not occur in the 120 trainin", "the val split has no rows of class 'b'"}


@pytest.mark.parametrize(("val", "test", "empty"), [(0.001, 0.2, "val"), (0.2, 0.001, "test"), (0.499, 0.499, "train")])
def test_a_split_that_would_be_empty_is_named(val: float, test: float, empty: str) -> None:
    with pytest.raises(WellfitError, match=f"the {empty} split would be empty, as 100 distinct rows are split by"):
        assign_rows(table(np.arange(100), np.linspace(0, 1, 100)), config(val, test))


@pytest.mark.parametrize("y", [np.arange(3) % 2, np.array([0.5, 1.0, 2.5])])
def test_a_handful_of_rows_is_too_few(y: np.ndarray) -> None:
    with pytest.raises(WellfitError, match="3 distinct rows are too few to train, validate and test with; get more"):
        assign_rows(table(np.arange(3), y), config())


def test_fewer_rows_than_classes_in_a_split() -> None:
    y = np.arange(40) % 8
    with pytest.raises(WellfitError, match="too few to stand in every split"):
        assign_rows(table(np.arange(40), y), config(0.1, 0.1))


def test_rare_whole_numbers_may_be_a_regression() -> None:
    y = np.arange(60) % 3
    y[y == 2] = 0
    y[7] = 2
    x = pd.DataFrame({"a": np.arange(60.0)})
    advice = "or, as 'rings' holds whole numbers, set data.task to regression"
    with pytest.raises(WellfitError, match=rf"class '9' has 1 distinct row, too few to stand in every .*; {advice}"):
        assign_rows(RawData(x, y, ("3", "4", "9"), "rings"), config())
    for names in (("a", "b", "9"), ("no", "yes", "maybe")):
        with pytest.raises(WellfitError, match="has 1 distinct row, too few to stand in every") as caught:
            assign_rows(RawData(x, y, names, "rings"), config())
        assert "data.task" not in str(caught.value)


def test_the_split_is_that_of_scikit_learn(data_config: Callable[..., Any]) -> None:
    from sklearn.model_selection import train_test_split

    y = np.arange(100) % 3
    rows = assign_rows(table(np.arange(100), y), config(0.3, 0.2, seed=5)).rows
    rest, val = train_test_split(np.arange(100), test_size=30, stratify=y, random_state=5)
    _, test = train_test_split(rest, test_size=20, stratify=y[rest], random_state=5)
    assert rows["val"].tolist() == sorted(val)
    assert rows["test"].tolist() == sorted(test)
    assert Counter(y[rows["train"]].tolist()).most_common(1)[0][1] <= 17


def test_the_publishers_split_can_be_given_up() -> None:
    raw = table(np.arange(100), np.arange(100) % 2, published_splits(90, 10))
    rows = assign_rows(raw, config(split="random")).rows
    assert len(rows["test"]) == 20
    assert rows["test"].min() < 80


def test_given_validation_and_test_rows_are_both_kept() -> None:
    splits = np.repeat(["val", "train", "test"], [20, 50, 30])
    x = np.arange(100)
    x[25] = x[0]  # train and val
    x[26] = x[99]  # train and test
    x[1] = x[98]  # val and test
    assignment = assign_rows(table(x, np.arange(100) % 2, splits), config())
    assert assignment.rows["val"].tolist() == [0, *range(2, 20)]
    assert assignment.rows["train"].tolist() == [*range(20, 25), *range(27, 70)]
    assert assignment.rows["test"].tolist() == list(range(70, 100))
    assert assignment.warnings[0] == "3 rows equal a row of a later split (train, val, test) and are left out"


def test_a_test_split_is_drawn_where_only_validation_rows_are_given() -> None:
    splits = np.repeat(["train", "val"], [80, 20])
    rows = assign_rows(table(np.arange(100), np.arange(100) % 2, splits), config(test=0.25)).rows
    assert rows["val"].tolist() == list(range(80, 100))
    assert (len(rows["test"]), len(rows["train"])) == (20, 60)


@given(n=ROWS, n_groups=st.integers(20, 50), seed=SEED)
@settings(deadline=None, max_examples=40)
def test_groups_stay_together_whatever_their_rows_are(n: int, n_groups: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups, x = rng.integers(0, n_groups, n), np.arange(n)
    x[n // 2] = x[0]
    assignment = assign_rows(table(x, np.zeros(n, np.float32), groups=groups), config(seed=seed, group="shop"))
    assert all_rows(assignment) == list(range(n))
    of_splits = [set(groups[rows].tolist()) for rows in assignment.rows.values()]
    assert sum(map(len, of_splits)) == len(set(groups.tolist()))
    assert "1 of" in assignment.warnings[0]


@pytest.mark.parametrize("seed", range(6))
def test_groups_of_different_sizes_are_drawn_by_their_rows(seed: int) -> None:
    def drawn(*sizes: int) -> tuple[list[int], tuple[str, ...]]:
        groups = np.repeat(np.arange(len(sizes)), sizes)
        raw = table(np.arange(len(groups)), np.zeros(len(groups), np.float32), groups=groups)
        found = assign_rows(raw, config(seed=seed, group="shop"))
        assert all_rows(found) == list(range(len(groups)))
        assert sum(len(np.unique(groups[rows])) for rows in found.rows.values()) == len(sizes)
        return [len(found.rows[name]) for name in ("train", "val", "test")], found.warnings

    assert drawn(200, *[10] * 10) == ([200, 60, 40], ())
    sizes, warnings = drawn(90, 80, 70, *[5] * 12)
    assert not warnings
    assert all(30 <= size <= 90 for size in sizes[1:])
    assert drawn(290, 5, 5) == (
        [290, 5, 5],
        tuple(
            f"the {name} split has 5 rows, where data.{name}_fraction asks for 60: some groups of data.group shop have "
            "many more rows than others"
            for name in ("val", "test")
        ),
    )


def test_few_groups_are_too_few() -> None:
    raw = table(np.arange(100), np.zeros(100, np.float32), groups=np.arange(100) % 2)
    with pytest.raises(WellfitError, match="the val split would be empty, as 2 groups are split by"):
        assign_rows(raw, config(group="shop"))


@given(n=ROWS, distinct=st.integers(5, 400), val=FRACTION, test=FRACTION, seed=SEED)
@settings(deadline=None, max_examples=60)
def test_time_goes_forward_from_split_to_split(n: int, distinct: int, val: float, test: float, seed: int) -> None:
    times = np.random.default_rng(seed).integers(0, distinct, n).astype(float)
    try:
        rows = assign_rows(table(np.arange(n), np.zeros(n, np.float32), times=times), config(val, test)).rows
    except WellfitError:
        reject()
    assert times[rows["train"]].max() < times[rows["val"]].min()
    assert times[rows["val"]].max() < times[rows["test"]].min()
    assert sum(map(len, rows.values())) == n
    if distinct >= n:
        assert len(rows["test"]) >= round(n * test)


def test_a_row_that_comes_again_later_is_left_out_of_what_was_before() -> None:
    x = np.arange(100)
    x[[3, 70]] = 95
    assignment = assign_rows(table(x, np.zeros(100, np.float32), times=np.arange(100.0)), config())
    assert [len(rows) for rows in assignment.rows.values()] == [59, 19, 20]
    assert assignment.warnings == ("2 rows equal a row of a later split (train, val, test) and are left out",)


def test_too_few_times_to_split_by() -> None:
    raw = table(np.arange(100), np.zeros(100, np.float32), times=np.arange(100) % 2 * 1.0)
    with pytest.raises(WellfitError, match="time year: its 2 different values leave a split without rows"):
        assign_rows(raw, config(time="year"))
