from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellfit.data.meta import Source, Unread
from wellfit.data.readers.columns import Columns
from wellfit.data.readers.kinds import infer_source
from wellfit.data.settings import DataConfig
from wellfit.errors import WellfitError

PATH = Path("t.csv")
Read = Callable[..., pd.Series]


@pytest.fixture
def read(data_config: Callable[..., DataConfig]) -> Read:
    """Reads a column named c of these cells."""

    def run(cells: list[Any], type_: pa.DataType | None = None, **changes: Any) -> pd.Series:
        table = pa.table({"c": pa.chunked_array([cells], type_)})
        data = data_config("csv", target="y", **changes)
        columns = Columns(table, data.missing, PATH, 2)
        return columns.read(infer_source(columns, "c", data))

    return run


@pytest.mark.parametrize("text", ["1", "-1.5", "+2", ".5", "3.", "1e5", "1E-3", "0012"])
def test_text_that_reads_as_a_number_is_one(text: str, read: Read) -> None:
    column = read(["0", text, "", "NA"])
    assert column.dtype == np.float64
    assert column.tolist()[:2] == [0.0, float(text)]
    assert column.isna().tolist() == [False, False, True, True]


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
@settings(deadline=None)
def test_numbers_come_back_as_they_were_written(numbers: list[float]) -> None:
    from wellfit.settings.params import load_params

    data = load_params(Path(__file__).parents[3] / "params.yaml").data
    columns = Columns(pa.table({"c": [repr(number) for number in numbers]}), data.missing, PATH, 2)
    column = columns.read(infer_source(columns, "c", data))
    assert column.tolist() == numbers
    assert not np.signbit(column[column == 0]).any(), "no -0.0, which would not be the twin of 0.0"


def test_other_text_is_categories(read: Read) -> None:
    column = read(["red", "?", "blue", "red", "None"])
    assert list(column.cat.categories) == ["red", "blue", "None"]
    assert column.isna().tolist() == [False, True, False, False, False]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (pa.array([1, None, 3], pa.int32()), [1.0, None, 3.0]),
        (pa.array([1.5, None, 3], pa.float32()), [1.5, None, 3.0]),
        (pa.array([Decimal("1.25"), None]), [1.25, None]),
        (pa.array([True, None, False]), ["true", None, "false"]),
        (pa.array(["a", None, "NA"]), ["a", None, None]),
        (pa.array(["a", None, "b"], pa.large_string()), ["a", None, "b"]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
        (pa.array([None, None]), [None, None]),
    ],
)
def test_types_of_parquet_columns(cells: pa.Array, expected: list[Any], read: Read) -> None:
    column = read(cells)
    assert [None if pd.isna(value) else value for value in column] == expected


def test_text_of_a_parquet_file_that_is_numbers_all_along_is_numbers(read: Read) -> None:
    assert read(["1", "2"]).dtype == np.float64


def test_params_overrule_what_is_inferred(read: Read) -> None:
    assert list(read(["10", "20"], categorical=["c"]).cat.categories) == ["10", "20"]
    assert list(read([10, 20], categorical=["c"]).cat.categories) == ["10", "20"]
    assert read([True, False], numeric=["c"]).tolist() == [1.0, 0.0]
    assert read(["1", "-"], missing=["-"]).isna().tolist() == [False, True]
    assert read(["1", "NA"] * 20, missing=[], categorical=["c"]).cat.categories.tolist() == ["1", "NA"]


def test_other_types_are_refused(read: Read) -> None:
    with pytest.raises(
        WellfitError, match=r"t\.csv column 'c': list<.*> is neither numbers nor text; list it in data\.drop"
    ):
        read([[1], [2]])


def test_a_mistake_among_numbers_is_named(read: Read) -> None:
    cells = [str(i) for i in range(100)]
    cells[41] = "4l"
    with pytest.raises(
        WellfitError, match=r"t\.csv row 43, column 'c': '4l' is not a number; mend it, add it to data\.mi"
    ):
        read(cells)
    assert len(read([*cells[:50], *["x", "y", "z"] * 10]).cat.categories) == 53, "more than a few are categories"


def test_text_in_a_column_that_is_to_be_numbers(read: Read) -> None:
    with pytest.raises(WellfitError, match=r"row 4, column 'c': 'x' is not a number"):
        read(["1", "", "x", "y"], numeric=["c"])


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        ("1e400", r"is infinite \(inf\)"),
        ("inf", r"is infinite \(inf\)"),
        ("-Infinity", r"is infinite \(-inf\)"),
        ("-1e39", r"float32 cannot hold this number \(-1e\+39\)"),
    ],
)
def test_numbers_that_float32_cannot_hold(cell: str, fault: str, read: Read) -> None:
    with pytest.raises(WellfitError, match=f"row 3, column 'c': {fault}; mend it, or add its text to data.missing"):
        read(["1", cell])


def test_infinity_in_a_parquet_file(read: Read) -> None:
    with pytest.raises(WellfitError, match=r"row 4, column 'c': is infinite \(inf\)"):
        read([1.0, None, float("inf")])


def test_what_is_no_number_is_missing_and_told_on_request() -> None:
    cells = pa.chunked_array([["1", "x", "", "2.5"], ["1e40", "y"]])
    unread: list[Unread] = []
    columns = Columns(pa.table({"c": cells}), [""], PATH, 2)
    read = columns.read(Source(name="c", kind="numbers"), unread)
    np.testing.assert_array_equal(read, [1, np.nan, np.nan, 2.5, np.nan, np.nan])
    assert unread == [("c", 2, "x"), ("c", 1, "1e+40")]


def test_categories_of_several_chunks() -> None:
    table = pa.table({"c": pa.chunked_array([["b", "a"], ["a", None, "c"]])})
    column = Columns(table, [], PATH, 2).categories("c")
    assert list(column.categories) == ["b", "a", "c"]
    assert column.codes.tolist() == [0, 1, 1, -1, 2]


@pytest.mark.parametrize(
    ("cell", "number"),
    [("1,5", 1.5), ("-,25", -0.25), ("1.234,5", 1234.5), ("1.234.567", 1234567.0), ("7", 7.0), ("2.5", 2.5)],
)
def test_decimal_commas(cell: str, number: float, read: Read) -> None:
    assert read(["0,5", cell], decimal="comma").tolist() == [0.5, number]


def test_a_mistake_among_decimal_commas_is_named(read: Read) -> None:
    with pytest.raises(WellfitError, match=r"row 42, column 'c': 'x' is not a number"):
        read(["1,5"] * 40 + ["x"], decimal="comma")


def test_text_with_commas_stays_text(read: Read) -> None:
    assert list(read(["1,2,3", "a,b"], decimal="comma").cat.categories) == ["1,2,3", "a,b"]
    assert list(read(["1,2,3", "a,b"]).cat.categories) == ["1,2,3", "a,b"]
    assert list(read(["1,5", "2,5"], categorical=["c"]).cat.categories) == ["1,5", "2,5"]


@pytest.mark.parametrize("n_commas", range(1, 12))
def test_a_decimal_comma_is_told_whatever_its_share(n_commas: int, read: Read) -> None:
    with pytest.raises(WellfitError, match=r"'1,5' looks like a number with a decimal comma; set data\.decimal to"):
        read(["2"] * 11 + ["1,5"] * n_commas, separator="semicolon")
    assert read(["2"] * 11 + ["1,5"] * n_commas).tolist() == [2.0] * 11 + [1.5] * n_commas, "commas cannot separate"
