from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from wellfit.data.raw import FileRows
from wellfit.data.readers.row_labels import without_row_labels
from wellfit.data.readers.tables import WholeTable
from wellfit.errors import WellfitError

N = 30
NAME = "Unnamed: 0"


def whole(labels: Sequence[str | None], index_levels: tuple[str, ...] = ()) -> WholeTable:
    table = pa.table({NAME: pa.array(labels), "a": ["x"] * len(labels)})
    return WholeTable(table, (FileRows(Path("t.csv"), 2),), () if index_levels else (NAME,), index_levels, ",", ())


@pytest.mark.parametrize(
    ("label", "what"),
    [
        (
            str,
            "numbers of the rows: left out (data.id, time, numeric or categorical may name 'Unnamed: 0')",
        ),
        (lambda i: str(i + 1), "numbers of the rows"),
        (lambda i: f"{i}.0", "numbers of the rows"),
        (lambda i: str(i * 7 % N), "numbers of the rows"),
        (lambda i: str(i % 10), "numbers of the rows"),
        (lambda i: str(i * 3 + 100), "numbers of the rows"),
        (lambda i: f"row {i}", "names of the rows: left out"),
        (lambda i: f"2024-01-{i + 1:02}", "names of the rows"),
    ],
)
def test_what_counts_or_names_rows_is_left_out(label: Callable[[int], str], what: str) -> None:
    table, warnings = without_row_labels(whole([label(i) for i in range(N)]), ())
    assert table.column_names == ["a"]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"column 1 without a name has the {what}")


def test_a_file_may_have_no_such_column() -> None:
    assert without_row_labels(whole(["0", "1", "2", *[None] * 5, "0", "1", "2", "3"]), ())[0].column_names == ["a"]


def test_what_is_empty_is_left_out() -> None:
    table, warnings = without_row_labels(whole([""] * N), ())
    assert (table.column_names, warnings) == (["a"], ("column 1 without a name has no content: left out",))


@pytest.mark.parametrize(
    "label",
    [
        lambda i: str(i % 2),
        lambda i: f"{i}.5",
        lambda i: "red" if i % 3 else "blue",
        lambda i: "note" if i == 20 else "",
        lambda i: str(i * i % 7),
    ],
)
def test_data_without_a_name_are_refused_unless_they_are_named_by_their_place(label: Callable[[int], str]) -> None:
    table = whole([label(i) for i in range(N)])
    with pytest.raises(WellfitError, match=r"t\.csv: column 1 has no name, .* as 'Unnamed: 0' in data\."):
        without_row_labels(table, ())
    assert without_row_labels(table, {NAME}) == (table.table, ())


def test_levels_of_the_index_of_pandas() -> None:
    table = whole(["x", "y"], index_levels=(NAME,))
    left, warnings = without_row_labels(table, ())
    assert left.column_names == ["a"]
    assert warnings[0].startswith("'Unnamed: 0': of the index of pandas, which names rows: left out (data.id, ")
    assert without_row_labels(table, {NAME}) == (table.table, ())
