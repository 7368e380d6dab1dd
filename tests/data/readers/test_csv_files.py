import csv
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellfit.data.readers import csv_files
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
    rows = [*rows, ("the", "end")]  # rows without content are passed over at the end
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


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a,b,y\n1,2,3\n# half\n4,5,6\n", "row 3: 1 cells, but 3 columns; delete it, if it is a comment"),
        ("a,b,y\n1,2,3\n\nTotal: 1\n", "row 4: 1 cells, but 3 columns; delete it, if it is a footer"),
        ("a,b,y\n1,2\n4,5,6\n4,5,6\n", "row 2: 2 cells, but 3 columns; it is not whole"),
        ("a,b\n1,2\n3,4,\n5,6\n", "row 3: 3 cells, but 2 columns; it ends in ',', as not all rows do"),
        ('# x\na,"b\nc",y\n1,2,3\n1,2\n', r"row 4 \(line 5\): 2 cells, but 3 columns"),
        ("p,x,y\n" + '"5 inch,2,1\np,3,0\n' + "q,4,1\n" * 9, "row 2: .* a quotation mark there is not closed for 11 l"),
        ('p,x,y\nq,2,1\nq,2,1\n"5 inch,2,1\n', "row 4: .* a quotation mark there is not closed for 1 line; double"),
        (
            "x,y,p\n" + "2,1,q\n" * 5 + '2,1,"5 inch\n2,1,q\n2,0,q\n',
            "row 7: a quoted cell goes on for 4 lines, which look",
        ),
        (
            "p,x,y\n" + "q,2,1\n" * 5 + '"5,2,1\nq,2,1\n5",3,0\n',
            "row 7: a quoted cell goes on for 3 lines.*double the quo",
        ),
        ("a,y\n1,2\n" * 2, "row 3: the header again, as where files were put together; delete it"),
    ],
)
def test_the_likely_cause_is_named(text: str, fault: str, path: Path) -> None:
    path.write_text(text)
    with pytest.raises(WellfitError, match=rf"table\.csv {fault}"):
        read(path)


def test_a_cell_of_many_megabytes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_files, "PART_BYTES", 2**21)
    path.write_text("a,y\n" + "x" * 2**20 + ",1\n2,3\n")
    assert [len(cell) for cell in read(path).column("a").to_pylist()] == [2**20, 1]
    path.write_text("a,y\n2,3\n" + "x" * 2**23 + ",1\n2,3\n")
    with pytest.raises(WellfitError, match=r"row 3: has 8,388,609 characters, of which at most 2,097,152 can be read"):
        read(path)
    path.write_text("a,y\n2,3\n" + '"x,1\n' + "2,3\n" * 2**20)
    with pytest.raises(WellfitError, match=r"row 3: .*a quotation mark there is not closed for 1048577 lines"):
        read(path)


def test_rows_without_content_at_the_end_are_passed_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text("a,y\n1,2\n,\n3,4\n" + ",\n \n" * 500)
    for size in (2**24, 300):
        monkeypatch.setattr(csv_files, "PART_BYTES", size)
        assert read(path).to_pydict() == {"a": ["1", "", "3"], "y": ["2", "", "4"]}
    path.write_text("a,y\n1,2\n" + ",\n" * 500 + "3,4\n")
    assert read(path).column("a").to_pylist() == ["1", *[""] * 500, "3"]
    path.write_text('a\n1\n""\n')
    assert read(path).to_pydict() == {"a": ["1", ""]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_no_encoding_loses_a_letter(encoding: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_files, "PART_BYTES", 64)
    rows = [(f"Köln {i}", "“5 €”") for i in range(50)]
    path.write_bytes(("größe,y\n" + "".join(f"{a},{b}\n" for a, b in rows)).encode(encoding))
    assert list(zip(*read(path).to_pydict().values(), strict=True)) == rows


def test_the_number_of_a_ragged_row_is_right_far_down(path: Path) -> None:
    """pyarrow reads in blocks of a megabyte."""
    path.write_text("a,b\n" + "0.123456789,0.123456789\n" * 200_000 + "1\n")
    with pytest.raises(WellfitError, match="row 200002: 1 cells"):
        read(path)


def test_a_file_without_a_header(path: Path) -> None:
    path.write_text("| a comment\n1, 2\n3, 4\n")
    assert read_csv(path, ",", ["x", "y"], skip_lines=1).to_pydict() == {"x": ["1", "3"], "y": ["2", "4"]}
