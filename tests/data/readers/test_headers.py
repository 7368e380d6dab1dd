from pathlib import Path

import pytest

from wellfit.data.readers.headers import Record, call_unnamed, data_evidence, read_header
from wellfit.errors import WellfitError


def records(text: str) -> tuple[Record, list[Record]]:
    header, *rows = [Record(number, 1, line.split(",")) for number, line in enumerate(text.splitlines(), start=1)]
    return header, rows


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a,y\n1,2\n3,4", ["a", "y"]),
        ("a,y,\n1,2,\n3,4,", ["a", "y", ""]),
        ("a,y\n1,2,,\n3,4,,", ["a", "y", "", ""]),
        ("a,y,\n1,2\n3,4", ["a", "y"]),
        ("a,y\nMazda RX4,1,2\nFiat 128,3,4", ["", "a", "y"]),
        ("a,y\n7,1,2\n3,3,4", ["", "a", "y"]),
        ("a,y", ["a", "y"]),
    ],
)
def test_a_header_fits_its_rows(text: str, names: list[str]) -> None:
    assert read_header(Path("t.csv"), *records(text)) == names


@pytest.mark.parametrize(
    "text",
    [
        "id,who,y\n" + "".join(f"{i},Smith, John {i},{i % 2}\n" for i in range(9)),
        "id,price,y\n" + "".join(f"{i},{i % 3 + 1},{i * 7 % 10}00,{i % 2}\n" for i in range(9)),
        "x,y\n0.5,1,2\n0.7,3,4\n0.8,1,1",
    ],
)
def test_a_comma_without_quotes_is_no_name_of_a_row(text: str) -> None:
    with pytest.raises(WellfitError, match=r"row 2: [34] cells, but [23] columns, as in most rows; quote each cell"):
        read_header(Path("t.csv"), *records(text))


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("5.1,3.5,setosa\n4.9,3.0,setosa\n", "2 of 3 cells are numbers"),
        ("63.0,1.0,1.0,0\n0.1,1.0\n", "4 of 4 cells are numbers"),
        ("39,Private,77516,Male\n50,Other,83311,Male\n", "2 of 4 cells are numbers"),
        ("x,s,n\n" + "b,y,w\nx,y,n\nb,s,w\n" * 3, "3 of 3 cells occur again below"),
        ("vhigh,vhigh,2\n" + "low,vhigh,2\nvhigh,low,4\n" * 3, "2 of 3 cells occur again below"),
        ("5,17,3\n7,4,2\n", "3 of 3 cells are numbers"),
        ("1,2.5", "2 of 2 cells are numbers"),
    ],
)
def test_a_row_of_data_is_no_header(text: str, cells: str) -> None:
    with pytest.raises(WellfitError, match=rf"t\.csv row 1 looks like data, not like a header \({cells}\); put a line"):
        read_header(Path("t.csv"), *records(text))


@pytest.mark.parametrize(
    "names",
    [
        ["country", "2001", "2002", "2003"],
        ["y", *map(str, range(9))],
        [*sorted(map(str, range(12))), "y"],
        ["400.0", "402.5", "405.0", "407.5"],
        ["2020", "1990", "y"],
        ["2020", "y"],
    ],
)
def test_numbers_may_be_names(names: list[str]) -> None:
    rows = [[str((i * j + i) % 9) for j in range(len(names))] for i in range(20)]
    assert data_evidence(names, rows) == ""


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "Report\na,b,y\n1,2,3\n4,5,6",
            r"row 1: 1 cell, but row 2 has 3, as most have; if lines stand before the header",
        ),
        ("Source,WDI\nUpdated,2024\n" + "a,b,c,y\n1,2,3,4\n" * 9, r"row 1: 2 cells, but row 3 has 4, as most have"),
        (
            "Report 2020,,\n,,\na,b,y\n1,2,3\n4,5,6",
            r"row 1 names 1 of 3 columns, and all cells of row 3 are filled; if lines stand before the header, delete",
        ),
        ("a b y\n1 2 3\n4 5 6", r"blanks seem to separate its columns"),
        ('"a" "y"\n"1" 2 3\n"4" 5 6', r"blanks seem to separate its columns"),
        ("a,b,a\n1,2,3", r"row 1: two columns are named 'a'"),
    ],
)
def test_what_is_no_header_is_one_line(text: str, fault: str) -> None:
    with pytest.raises(WellfitError, match=fault):
        read_header(Path("t.csv"), *records(text))


def test_the_header_again_makes_it_no_data() -> None:
    rows = [[f"x{i}", str(i)] for i in range(9)]
    assert data_evidence(["name", "kind"], [*rows, ["name", "kind"], *rows]) == ""


def test_a_title_with_a_comma_stands_apart() -> None:
    header, rows = Record(1, 1, ["Report of sales", " 2024"]), [Record(3, 1, ["a", "b", "y"])]
    rows += [Record(4 + i, 1, [f"{i}.5", "2", "1"]) for i in range(9)]
    with pytest.raises(WellfitError, match=r"row 1: 2 cells, but row 3 has 3, as most have; if lines stand before"):
        read_header(Path("t.csv"), header, rows)


def test_columns_without_a_name_are_called_as_pandas_calls_them() -> None:
    assert call_unnamed(["", "a", ""]) == ["Unnamed: 0", "a", "Unnamed: 2"]
    assert call_unnamed(["", "Unnamed: 0"]) == ["Unnamed: 0.1", "Unnamed: 0"]
