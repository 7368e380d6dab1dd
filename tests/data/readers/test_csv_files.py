import csv
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellfit.data.readers.csv_files import csv_parts, read_csv
from wellfit.data.readers.csv_shape import Wanted, find_shape
from wellfit.errors import WellfitError

CELL = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), max_size=6)
AWKWARD = st.sampled_from(["a,b", 'say "x"', "two\nlines", "None", "1e400", "007", "ü"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


def read(path: Path, separator: str = ",") -> pa.Table:
    wanted = Wanted(separator)
    return pa.concat_tables(csv_parts(path, find_shape(path, wanted), wanted))


@given(
    rows=st.lists(st.tuples(CELL | AWKWARD, CELL | AWKWARD), min_size=1, max_size=8), separator=st.sampled_from(",;\t")
)
@settings(deadline=None)
def test_every_cell_is_read_as_it_stands(
    rows: list[tuple[str, str]], separator: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=separator, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    table = read(path, separator)
    assert table.column_names == ["a", "b"]
    assert list(zip(*table.to_pydict().values(), strict=True)) == rows


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        (b"\xef\xbb\xbfa,b\n1,2\n", {"a": ["1"], "b": ["2"]}),
        (b"a, b \r\n 1 ,\t2\r\n\r\n3,\r\n", {"a": ["1", "3"], "b": ["2", ""]}),
        (b"a,b\n1,2", {"a": ["1"], "b": ["2"]}),
        ("größe,b\n1,ß\n".encode(), {"größe": ["1"], "b": ["ß"]}),
        (b"a,b\n", {"a": [], "b": []}),
    ],
)
def test_marks_blanks_and_line_ends(text: bytes, cells: dict[str, list[str]], path: Path) -> None:
    path.write_bytes(text)
    assert read(path).to_pydict() == cells


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"a,b\n1,2\n3,4,5\n", r"row 3: 3 cells, but 2 columns; a cell that holds ',' must be quoted"),
        (b'a,b\n"1\n2",2\n3\n', r"row 3 \(line 4\): 1 cells, but 2 columns"),
        (b'a,b\n"1,2\n3,4\n', "row 2: 1 cells, but 2 columns"),
        (b"a,b,a\n1,2,3\n", "row 1: two columns are named 'a'"),
        (b"a,b, a\n1,2,3\n", "row 1: two columns are named 'a'"),
    ],
)
def test_a_file_that_is_no_table_is_one_line(text: bytes, fault: str, path: Path) -> None:
    path.write_bytes(text)
    with pytest.raises(WellfitError, match=fault) as raised:
        read(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_number_of_a_ragged_row_is_right_far_down(path: Path) -> None:
    """pyarrow reads in blocks of a megabyte."""
    path.write_text("a,b\n" + "0.123456789,0.123456789\n" * 200_000 + "1\n")
    with pytest.raises(WellfitError, match="row 200002: 1 cells"):
        read(path)


def test_a_file_without_a_header(path: Path) -> None:
    path.write_text("| a comment\n1, 2\n3, 4\n")
    assert read_csv(path, ",", ["x", "y"], skip_lines=1).to_pydict() == {"x": ["1", "3"], "y": ["2", "4"]}
