from pathlib import Path

import pytest

from wellfit.data.readers import csv_shape
from wellfit.data.readers.csv_files import csv_parts
from wellfit.data.readers.csv_shape import CsvShape, Wanted, find_shape
from wellfit.data.readers.encodings import Note
from wellfit.errors import WellfitError

ROWS = "a{0}y\n" + "0.5{0}1\n1.5{0}0\n" * 3
READ = {"a": ["0.5", "1.5"] * 3, "y": ["1", "0"] * 3}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "t.csv"


def shape_of(path: Path, content: str, separator: str = ",") -> CsvShape:
    path.write_bytes(content.encode())
    return find_shape(path, Wanted(separator))


def cells(path: Path, shape: CsvShape) -> dict[str, list[str]]:
    parts = list(csv_parts(path, shape, Wanted()))
    return {name: [cell for part in parts for cell in part.column(name).to_pylist()] for name in shape.names}


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolon"), ("\t", "tab"), ("|", "pipe")])
def test_another_separator_is_found_and_told(mark: str, name: str, path: Path) -> None:
    shape = shape_of(path, ROWS.format(mark))
    assert shape.notes == (Note(f"read with data.separator {name}, which its header and rows have"),)
    assert cells(path, shape) == READ
    assert shape_of(path, ROWS.format(mark), mark).notes == ()


@pytest.mark.parametrize(
    ("content", "separator"),
    [
        ("a;y\n0,5;1\n1,5;0\n", ";"),
        ("a\ty\nx; y\t1\nu; v\t0\n", "\t"),
        ("a;y\nx, y;1\nu, v, w;0\n", ";"),
        ("text\nGood, very good\nbad\n", ","),
    ],
)
def test_the_separator_splits_header_and_rows_alike(content: str, separator: str, path: Path) -> None:
    assert shape_of(path, content).separator == separator


@pytest.mark.parametrize("line", ["sep=;\n", '"sep=;"\r\n', "SEP=;\n", "\ufeffsep=;\n", "\nsep=;\n"])
def test_excel_says_the_separator(line: str, path: Path) -> None:
    shape = shape_of(path, line + ROWS.format(";"))
    assert shape.notes == ()
    assert cells(path, shape) == READ


@pytest.mark.parametrize(
    ("before", "notes"),
    [
        ("# export of 2024-05-31\n", ["1 line of comment before the header skipped, '# export of 2024-05-31'"]),
        ("% a, b\n%\n\n// c\n", ["3 lines of comment before the header skipped, '% a, b'"]),
        ("\n \n", []),
    ],
)
def test_comments_before_the_header_are_skipped(before: str, notes: list[str], path: Path) -> None:
    shape = shape_of(path, before + ROWS.format(","))
    assert shape.notes == tuple(map(Note, notes))
    assert cells(path, shape) == READ
    assert shape.first_row == before.count("\n") + 2


@pytest.mark.parametrize(
    ("header", "names"),
    [("# a,y", ("a", "y")), ("#a,y", ("#a", "y")), ("#,y", ("#", "y")), ("% fat,y", ("% fat", "y"))],
)
def test_a_header_may_begin_as_a_comment(header: str, names: tuple[str, ...], path: Path) -> None:
    shape = shape_of(path, f"{header}\n" + "0.5,1\n1.5,0\n")
    assert (shape.names, shape.notes) == (names, ())
    assert list(cells(path, shape).values()) == [["0.5", "1.5"], ["1", "0"]]


@pytest.mark.parametrize(
    ("content", "first_row"),
    [("a,y\n1,2\n", 2), ("a,y\n\n1,2\n", 3), ('"a\nb",y\n1,2\n', 2), ("a,y", 2), ("\n\na,y\n1,2\n", 4)],
)
def test_rows_are_counted_as_in_a_spreadsheet(content: str, first_row: int, path: Path) -> None:
    assert shape_of(path, content).first_row == first_row


def test_columns_without_a_name_are_known(path: Path) -> None:
    shape = shape_of(path, ",a,y,\n0,1.5,0,\n1,2.5,1,\n")
    assert shape.names == ("Unnamed: 0", "a", "y", "Unnamed: 3")
    assert shape.unnamed == ("Unnamed: 0", "Unnamed: 3")


@pytest.mark.parametrize("content", ["a,y", "a,y\n", "404: Not Found"])
def test_a_header_alone_has_no_rows(content: str, path: Path) -> None:
    assert not any(cells(path, shape_of(path, content)).values())


def test_long_rows_are_looked_at_as_well(path: Path) -> None:
    shape = shape_of(path, ";".join(f"column {i}" for i in range(100_000)) + "\n" + ";".join(["1"] * 100_000) + "\n")
    assert len(shape.names) == 100_000


@pytest.mark.parametrize("content", ["", "\n\n", "# a comment\n"])
def test_an_empty_file_is_one_line(content: str, path: Path) -> None:
    with pytest.raises(WellfitError, match=r"t\.csv is empty: it needs a header and rows"):
        shape_of(path, content)


def test_lines_before_the_header_are_found_though_another_separator_follows(path: Path) -> None:
    with pytest.raises(WellfitError, match=r"t\.csv row 1: 1 cell, but row 2 has 3, as most have; if lines"):
        shape_of(path, "Report\na;b;y\n" + "1;2;3\n" * 9)


@pytest.mark.parametrize("begin", range(40, 50))
def test_a_row_that_is_cut_off_is_not_looked_at(begin: int, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_shape, "BEGIN", begin)
    assert shape_of(path, "a,y\n" + "0.25,1,\n" * 50).unnamed == ("Unnamed: 2",)
