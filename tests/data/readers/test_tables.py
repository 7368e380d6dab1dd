import csv
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellfit.data.readers.tables import read_csv, read_parquet
from wellfit.errors import WellfitError

CELL = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), max_size=6)
AWKWARD = st.sampled_from(["a,b", 'say "x"', "two\nlines", "None", "1e400", "007", "ü"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


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
    table = read_csv(path, separator)
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
    assert read_csv(path, ",").to_pydict() == cells


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"a,b\n1,2\n3,4,5\n", r"row 3: 3 cells, but 2 columns; a cell that holds ',' must be quoted"),
        (b'a,b\n"1\n2",2\n3\n', "row 3: 1 cells, but 2 columns"),
        (b'a,b\n"1,2\n3,4\n', "row 2: 1 cells, but 2 columns"),
        (b"a,b,a\n1,2,3\n", "row 1: two columns are named 'a'"),
        (b"a,b, a\n1,2,3\n", "row 1: two columns are named 'a'"),
        (b",b\n0,2\n", "row 1: column 1 has no name"),
        ("a,b\n1,ü\n".encode("latin1"), "line 2: not UTF-8; save the file as UTF-8"),
        ("a,ü\n1,2\n".encode("latin1"), "line 1: not UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "is UTF-16; save the file as UTF-8"),
        (b"\x1f\x8b\x08\x00", "is a gzip file, not CSV"),
        (b"PK\x03\x04", "is a zip or Excel file, not CSV"),
        (b"PAR1\x15\x04", r"is a Parquet \(data.name parquet\) file, not CSV"),
    ],
)
def test_a_file_that_is_no_table_is_one_line(text: bytes, fault: str, path: Path) -> None:
    path.write_bytes(text)
    with pytest.raises(WellfitError, match=fault) as raised:
        read_csv(path, ",")
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_number_of_a_ragged_row_is_right_far_down(path: Path) -> None:
    """pyarrow reads in blocks of a megabyte."""
    path.write_text("a,b\n" + "0.123456789,0.123456789\n" * 200_000 + "1\n")
    with pytest.raises(WellfitError, match="row 200002: 1 cells"):
        read_csv(path, ",")


def test_a_file_without_a_header(path: Path) -> None:
    path.write_text("| a comment\n1, 2\n3, 4\n")
    assert read_csv(path, ",", ["x", "y"], skip_rows=1).to_pydict() == {"x": ["1", "3"], "y": ["2", "4"]}


@pytest.mark.parametrize("read", [lambda path: read_csv(path, ","), read_parquet])
def test_what_is_not_there_or_a_folder(read: object, tmp_path: Path) -> None:
    with pytest.raises(WellfitError, match=r"data\.path .*gone\.csv not found"):
        read(tmp_path / "gone.csv")  # type: ignore[operator]
    with pytest.raises(WellfitError, match=r"is a folder, not a file"):
        read(tmp_path)  # type: ignore[operator]


def test_a_parquet_file_keeps_its_types(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    frame = pd.DataFrame({"n": [1, 2], "x": [0.5, None], "s": ["a", None], "d": pd.to_datetime(["2024-01-01"] * 2)})
    frame.to_parquet(path)
    assert read_parquet(path).to_pandas().equals(frame)


def test_a_damaged_parquet_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": list(range(1000))}), path)
    whole = path.read_bytes()
    for body in (b"", whole[: len(whole) // 2], b"a,b\n1,2\n", whole[:-8] + b"\xff\xff\xff\x7fPAR1"):
        path.write_bytes(body)
        with pytest.raises(WellfitError, match=r"t\.parquet is not a whole Parquet file") as raised:
            read_parquet(path)
        assert "\n" not in str(raised.value)


def test_a_parquet_file_with_two_columns_of_one_name(tmp_path: Path) -> None:
    pq.write_table(pa.table([[1], [2]], names=["a", "a"]), tmp_path / "t.parquet")
    with pytest.raises(WellfitError, match="two columns are named 'a'"):
        read_parquet(tmp_path / "t.parquet")


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolon"), ("\t", "tab"), ("|", "pipe")])
def test_another_separator_is_told_by_its_name(mark: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"a{mark}price\n0,5{mark}1,2\n3{mark}4\n")
    with pytest.raises(WellfitError, match=rf"t\.csv row 1: its only column is .*; set data\.separator to {name} \(pa"):
        read_csv(path, ",")
    path.write_text("price\n1\n")
    assert read_csv(path, ",").column_names == ["price"]
