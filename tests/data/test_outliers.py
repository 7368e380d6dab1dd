from typing import Any

import numpy as np
import pandas as pd
import pytest

from wellfit.data.encode import encode, fit_columns
from wellfit.data.meta import Source
from wellfit.data.outliers import Reach, name_outliers, reach_of
from wellfit.data.sources import expand, fit_sources

RANDOM = np.random.default_rng(0)
AGES = RANDOM.integers(18, 66, 300).astype(float)
ADVICE = "; if that is a mistake, mend the cell"


def said(cells: Any, kind: Any = "numbers", train: int = 200, val: int = 50) -> list[str]:
    """Warnings of a table with one column; of its rows the first are the training rows, the next validation rows."""
    values = np.asarray(cells, float) if kind == "numbers" else pd.Categorical(cells)
    table = pd.DataFrame({"c": values})
    rows = {"train": np.arange(train), "val": np.arange(train, train + val), "test": np.arange(train + val, len(table))}
    formats = ("ISO8601",) if kind == "dates" else ()
    sources, _ = fit_sources([Source(name="c", kind=kind, formats=formats)], table.iloc[:train], str)
    inputs, _ = expand(sources, table)
    columns = fit_columns(inputs.iloc[:train], 100)
    return list(name_outliers(columns, encode(columns, inputs), table, sources, rows, lambda index: f"row {index + 2}"))


def with_cells(values: np.ndarray, **cells: float) -> np.ndarray:
    changed = np.array(values, float)
    for place, cell in cells.items():
        changed[int(place.removeprefix("at"))] = cell
    return changed


@pytest.mark.parametrize(
    ("years", "expected"),
    [
        (np.full(300, 2013) + np.arange(300) % 5, None),
        (with_cells(2011 + np.arange(300) % 5, at220=0), "0 in row 222 (val) lies far outside the training rows"),
        (with_cells(2011 + np.arange(300) % 5, at280=0), "0 in row 282 (test) lies far outside the training rows"),
        (with_cells(2011 + np.arange(300) % 5, at9=0), "0 in row 11 (train) lies far outside the other training rows"),
        (
            with_cells(2011 + np.arange(300) % 5, at9=20130, at220=0, at221=0, at222=0, at299=99999999),
            "20130 in row 11 (train), 0 in row 222 (val), 0 in row 223 (val) and 2 more lie far outside the other "
            "training rows",
        ),
    ],
)
def test_cells_far_outside_are_named_with_row_split_and_range(years: np.ndarray, expected: str | None) -> None:
    assert said(years) == ([] if expected is None else [f"column 'c': {expected} (2011 to 2015){ADVICE}"])


@pytest.mark.parametrize(
    ("value", "is_named"), [(-999, True), (350, True), (0, False), (110, False), (9999999.5, True), (np.nan, False)]
)
@pytest.mark.parametrize("place", [3, 210, 260])
def test_what_counts_as_far_outside(value: float, is_named: bool, place: int) -> None:
    assert bool(said(with_cells(AGES, **{f"at{place}": value}))) == is_named


@pytest.mark.parametrize(
    "values",
    [
        RANDOM.lognormal(0, 1, 300),
        RANDOM.lognormal(0, 3, 300),
        RANDOM.normal(0, 1, 300),
        RANDOM.exponential(1, 300),
        RANDOM.standard_cauchy(300),
        RANDOM.poisson(0.2, 300),
        RANDOM.uniform(0, 1, 300),
        np.where(RANDOM.uniform(size=300) < 0.9, 0, RANDOM.lognormal(8, 1, 300)),  # a capital gain, of most people none
        np.where(RANDOM.uniform(size=300) < 0.05, -999, AGES),  # a mark for a gap that is common
        np.where(np.arange(300) < 199, 0, 7),  # all but one of the training rows
        np.where(np.arange(300) % 2, np.nan, 7),  # the same wherever it is there
        np.arange(300),  # grows from the training rows to the others
    ],
)
def test_long_tails_and_rare_values_are_not_far_outside(values: np.ndarray) -> None:
    assert said(values) == []


def test_dates_far_outside_are_named_as_they_are_written() -> None:
    dates = [f"20{10 + i % 8}-0{1 + i % 9}-11" for i in range(300)]
    assert said(dates, "dates") == []
    dates[201] = "1900-01-01"
    assert said(dates, "dates") == [
        "column 'c': 1900-01-01 in row 203 (val) lies far outside the training rows (2010-01-11 to 2017-09-11)" + ADVICE
    ]


def test_categories_and_text_have_no_cells_far_outside() -> None:
    words = [f"word{i % 7}" for i in range(300)]
    words[200] = "words " * 1000
    assert said(words, "categories") == said(words, "text") == []


def test_at_most_ten_columns_are_named() -> None:
    table = pd.DataFrame({f"c{i}": with_cells(AGES, at250=1e9) for i in range(13)})
    columns = fit_columns(table.iloc[:200], 100)
    rows = {"train": np.arange(200), "val": np.arange(200, 250), "test": np.arange(250, 300)}
    found = name_outliers(columns, encode(columns, table), table, (), rows, str)
    assert len(found) == 11
    assert found[-1] == "3 more columns have cells far outside the training rows"


@pytest.mark.parametrize("n", [1, 2, 3, 5, 100])
def test_a_few_rows_are_enough(n: int) -> None:
    few = min(1, n - 1)
    assert not reach_of(np.arange(n), few).is_beyond(np.arange(n)).any()
    assert reach_of(np.full(n, 7.0), few) == Reach(7.0, np.inf)


def test_no_number_of_the_training_rows_is_far_outside_where_none_may_be() -> None:
    values = with_cells(AGES, at0=9999)
    assert reach_of(values, few=3).is_beyond(values).sum() == 1
    assert not reach_of(values).is_beyond(values).any()


def test_a_large_table_is_judged_as_a_small_one() -> None:
    large = np.tile(AGES[:200], 50)
    assert said(np.concatenate([large, [0, 999]]), train=10_000, val=1) == [
        f"column 'c': 999 in row 10003 (test) lies far outside the training rows (18 to 65){ADVICE}"
    ]


def test_targets_far_outside_are_named_first() -> None:
    table = pd.DataFrame({"c": with_cells(AGES, at220=-999)})
    rows = {"train": np.arange(200), "val": np.arange(200, 250), "test": np.arange(250, 300)}
    columns = fit_columns(table.iloc[:200], 100)
    target = pd.Series(with_cells(AGES, at3=1e7), name="salary")
    found = name_outliers(columns, encode(columns, table), table, (), rows, str, target)
    assert [sentence.split(" lies")[0] for sentence in found] == [
        "column 'salary': 10000000 in 3 (train)",
        "column 'c': -999 in 220 (val)",
    ]
