"""Columns that give the target away, and honest ones that do not."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from wellfit.data.encode import encode, fit_columns
from wellfit.data.leakage import find_leaks, leak_warnings, tells
from wellfit.data.meta import Leak, Source
from wellfit.data.raw import RawData
from wellfit.data.sources import expand, fit_sources

RANDOM = np.random.default_rng(0)
N = 400
Y = RANDOM.integers(0, 2, N)
NOISE = RANDOM.normal(size=N)
FLIPPED = np.where(np.arange(N) % 50 == 0, 1 - Y, Y)  # one row in 50 is wrong
DAYS = pd.Series(pd.date_range("2020-01-01", periods=N).strftime("%Y-%m-%d")).sample(frac=1, random_state=0).to_numpy()


def leaks(
    columns: dict[str, Any],
    y: np.ndarray,
    *,
    rows: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    kinds: dict[str, str] | None = None,
    seed: int = 0,
) -> tuple[Leak, ...]:
    """The leaks of a table: numbers as they are, texts as categories unless their kind is said."""
    table, sources = pd.DataFrame(columns), []
    for name in table:
        kind = (kinds or {}).get(name) or ("numbers" if table[name].dtype.kind in "if" else "categories")
        table[name] = table[name].astype("float64" if kind == "numbers" else "category")
        more = {"formats": ["ISO8601"]} if kind == "dates" else {}
        sources.append(Source.model_validate({"name": name, "kind": kind, **more}))
    rows = np.arange(len(table)) if rows is None else rows
    fitted, _ = fit_sources(sources, table.iloc[rows], str)
    expanded, _ = expand(fitted, table)
    inputs = fit_columns(expanded.iloc[rows], 100)
    names = () if y.dtype.kind == "f" else tuple(map(str, range(int(y.max()) + 1)))
    raw = RawData(table, y, names, "y", groups=groups)
    return find_leaks(encode(inputs, expanded), raw, rows, inputs, fitted, seed)


def found(leaks: Sequence[Leak]) -> list[tuple[str, tuple[str, ...]]]:
    return [(leak.kind, leak.columns) for leak in leaks]


def only_where(wanted: np.ndarray, cells: Any, empty: Any) -> np.ndarray:
    return np.where(wanted, cells, empty)


PRICE = np.exp(RANDOM.normal(4, 1, N)).round(2)
CODES = RANDOM.integers(0, 30, N)
MOSTLY_Y = np.where(RANDOM.random(N) < 0.04, 1 - Y, Y) == 1


@pytest.mark.parametrize(
    ("column", "y", "kind"),
    [
        (np.where(Y == 1, 0.9, 0.1) + NOISE / 20, Y, "alone"),  # the score of another model
        (PRICE, (PRICE > 100).astype(np.int64), "alone"),  # a threshold
        (PRICE, np.digitize(PRICE, [20, 60, 150]), "alone"),  # three of them
        (np.array(["lost", "won", "gone", "kept"])[Y + 2 * RANDOM.integers(0, 2, N)], 1 - Y, "alone"),  # many to one
        (CODES * 7 + 1000, np.random.default_rng(1).integers(0, 3, 30)[CODES], "alone"),  # codes that are numbers
        (only_where(MOSTLY_Y, NOISE, np.nan), Y, "filled"),
        (pd.Series(only_where(MOSTLY_Y, RANDOM.choice(list("abcd"), N), None)), Y, "filled"),
        (PRICE, np.sqrt(PRICE) * 3 + 1, "alone"),  # a monotone function
        (np.log(PRICE[:100]), PRICE[:100], "alone"),  # of few rows
        (CODES, np.random.default_rng(1).normal(size=30)[CODES], "alone"),
        (np.array([f"k{code}" for code in CODES]), np.random.default_rng(1).normal(size=30)[CODES], "alone"),
    ],
)
def test_a_column_that_tells_the_target_is_found(column: Any, y: np.ndarray, kind: str) -> None:
    other = NOISE[::-1][: len(y)]
    (leak,) = leaks({"other": other, "x": column}, y)
    assert (leak.kind, leak.columns) == (kind, ("x",))
    assert leak.score_name == ("r2" if y.dtype.kind == "f" else "balanced_accuracy")
    assert 0.9 < leak.score <= 1


@pytest.mark.parametrize(("kind", "makes"), [("dates", list), ("text", lambda days: [f"on {day} a" for day in days])])
def test_dates_and_text_that_are_filled_late_are_found(kind: str, makes: Callable[[Any], list[str]]) -> None:
    cells = pd.Series(makes(DAYS)).where(pd.Series(MOSTLY_Y))
    assert found(leaks({"other": NOISE, "x": cells}, Y, kinds={"x": kind})) == [("filled", ("x",))]


def test_a_date_that_tells_the_target_may_be_one_of_rows_that_follow_one_another() -> None:
    y = (pd.DatetimeIndex(DAYS) > pd.Timestamp("2020-06-01")).astype(np.int64)
    (leak,) = leaks({"other": NOISE, "day": DAYS}, np.asarray(y), kinds={"day": "dates"})
    assert (leak.kind, leak.columns) == ("date", ("day",))
    assert leak_warnings([leak], "y")[0].endswith("; if rows follow one another, name it in data.time")


def test_what_is_nearly_told_is_a_leak_where_nothing_else_tells_it() -> None:
    assert found(leaks({"other": NOISE, "x": FLIPPED + 0.1 * NOISE}, Y)) == [("alone", ("x",))]
    rival = Y + RANDOM.normal(0, 0.25, N)
    assert leaks({"other": NOISE, "rival": rival, "x": FLIPPED + 0.1 * NOISE}, Y) == ()


def test_a_sum_and_a_difference_are_found() -> None:
    sums = leaks({"hour": NOISE, "casual": CODES, "registered": PRICE}, CODES + PRICE)
    assert found(sums) == [("sum", ("casual", "registered"))]
    due, came = PRICE, PRICE + NOISE
    late = (came > due).astype(np.int64)
    assert found(leaks({"due": due, "other": CODES, "came": came}, late)) == [("difference", ("due", "came"))]


def test_a_column_that_tells_it_alone_is_in_no_formula() -> None:
    both = leaks({"x": PRICE, "a": NOISE, "b": PRICE - NOISE}, PRICE)
    assert ("alone", ("x",)) in found(both)
    assert all("x" not in leak.columns for leak in both if leak.kind == "sum")


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "diabetes"])
@pytest.mark.parametrize("seed", range(3))
def test_honest_tables_have_none(name: str, seed: int) -> None:
    bunch = getattr(datasets, f"load_{name}")()
    columns = {f"c{i}": column for i, column in enumerate(bunch.data.T)}
    rows = np.random.default_rng(seed).permutation(len(bunch.target))[: int(0.6 * len(bunch.target))]
    assert leaks(columns, bunch.target, rows=rows, seed=seed) == ()


def test_the_rows_of_other_splits_are_not_looked_at() -> None:
    rows = np.arange(N // 2)
    x = np.where(np.arange(N) < N // 2, Y, NOISE)
    assert found(leaks({"other": NOISE, "x": x}, Y, rows=rows)) == [("alone", ("x",))]
    assert leaks({"other": NOISE, "x": x}, Y, rows=rows + N // 2) == ()


def test_rows_of_a_group_are_not_predicted_by_each_other() -> None:
    groups = np.arange(N) // 10
    size = RANDOM.normal(size=N // 10)[groups]  # tells who it is
    y = RANDOM.integers(0, 2, N // 10)[groups]
    assert found(leaks({"size": size, "other": NOISE}, y)) == [("alone", ("size",))]
    assert leaks({"size": size, "other": NOISE}, y, groups=groups) == ()
    assert leaks({"size": size, "other": NOISE}, y, groups=groups * 0) == ()


def test_few_rows_and_constants_say_nothing() -> None:
    assert leaks({"x": Y[:29], "other": NOISE[:29]}, Y[:29]) == ()
    assert leaks({"x": NOISE}, np.ones(N)) == ()
    assert leaks({"x": Y}, np.repeat([0, 1], [N - 5, 5])) == ()


def test_of_many_rows_a_part_has_enough_of_each_class(monkeypatch: pytest.MonkeyPatch) -> None:
    y = (np.arange(50_000) % 1000 == 10).astype(np.int64)  # 40 training rows, of which an eighth of the rows has 5
    monkeypatch.setattr("wellfit.data.leakage.MOST_ROWS", 5000)
    rows = np.arange(10_003, 50_000)
    assert found(leaks({"other": RANDOM.normal(size=50_000), "x": y}, y, rows=rows)) == [("alone", ("x",))]


def test_many_classes_are_told_by_codes() -> None:
    y = np.arange(3000) % 60
    columns = {"x": [f"k{value}" for value in y // 2], "other": RANDOM.normal(size=3000)}
    assert leaks(columns, y) == ()
    assert found(leaks(columns, y // 2 * 2)) == [("alone", ("x",))]


def test_the_same_rows_give_the_same_leaks() -> None:
    columns = {"a": NOISE, "b": PRICE, "c": CODES}
    first, second = (leaks(columns, PRICE + 100 * NOISE) for _ in range(2))
    assert first == second
    assert first[0].weights == (100, 1)


def leak(kind: str, *columns: str, score: float = 0.98765, name: str = "r2", **more: Any) -> Leak:
    return Leak.model_validate({"kind": kind, "columns": columns, "score": score, "score_name": name, **more})


@pytest.mark.parametrize(
    ("leak", "says"),
    [
        (
            leak("alone", "x", name="balanced_accuracy"),
            "column 'x' alone tells the target 't' (balanced accuracy 0.988 in 3 folds of training rows)",
        ),
        (leak("filled", "x"), "whether column 'x' is filled tells the target 't' (R² 0.988 in"),
        (leak("difference", "a", "b"), "'a' - 'b' tells the target 't' ("),
        (leak("ratio", "a", "b"), "'a' / 'b' tells the target 't' ("),
        (
            leak("sum", "a", "b", "c", weights=[-1, 0.33333, -2]),
            "the target 't' is -1 x 'a' + 0.333 x 'b' - 2 x 'c', up to a constant (",
        ),
        (
            leak("product", "a", "b", "c", weights=[1.001, -1, 0.5]),
            "the target 't' is 'a' x 'b'^-1 x 'c'^0.5, up to a factor (",
        ),
        (leak("sum", "a", "b", weights=[3, 4], name="balanced_accuracy"), "a sum of 'a', 'b' tells the target 't' ("),
        (
            leak("sum", *"abcdefgh", weights=[1] * 8),
            "the target 't' is 1 x 'a' + 1 x 'b' + 1 x 'c' + 1 x 'd' + 1 x 'e' + 1 x 'f' + more terms, up to a const",
        ),
    ],
)
def test_what_was_found_in_words(leak: Leak, says: str) -> None:
    assert tells(leak, "t").startswith(says)


def test_a_warning_says_what_to_do() -> None:
    one, two = leak_warnings([leak("filled", "boat"), leak("ratio", "a", "b")], "t")
    assert one.endswith("rows); if it is known only after the target, list it in data.drop")
    assert two.endswith("rows); if they are known only after the target, list them in data.drop")


def test_many_leaks_are_told_at_once() -> None:
    warnings = leak_warnings([leak("alone", f"c{i}") for i in range(11)], "t")
    assert len(warnings) == 9
    assert warnings[-1] == "3 more columns tell the target 't': 'c8', 'c9', 'c10'"
