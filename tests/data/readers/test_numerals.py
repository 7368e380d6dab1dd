import re

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wellfit.data.readers.numerals import (
    NUMBER,
    PLAIN,
    Spelling,
    as_computers_write,
    find_spelling,
    plain_numbers,
    resemble_numbers,
    spelled,
)


@pytest.mark.parametrize(
    ("cells", "spelling", "values"),
    [
        (["1.5", "-2e3", "inf"], PLAIN, [1.5, -2000.0, float("inf")]),
        (["1,234", "999", "10,000,000.5"], Spelling("point"), [1234.0, 999.0, 10000000.5]),
        (["1,234", "1,5"], Spelling("comma"), [1.234, 1.5]),
        (["0,123", "0,456"], Spelling("comma"), [0.123, 0.456]),
        (["1.234,5", "2,5"], Spelling("comma"), [1234.5, 2.5]),
        (["1\u00a0234,5", "12"], Spelling("comma"), [1234.5, 12.0]),
        (["1 234 567", "1\u202f234.5"], Spelling("point"), [1234567.0, 1234.5]),
        (["1'234.50", "3"], Spelling("point"), [1234.5, 3.0]),
        (["5.25%", "13 %", "-0.5%"], Spelling("point", "%"), [5.25, 13.0, -0.5]),
        (["21M", "1,500.5M"], Spelling("point", "M"), [21.0, 1500.5]),
        (["12 cm", "3cm"], Spelling("point", "cm"), [12.0, 3.0]),
        (["$55,000.00 ", "-$4", "$ -5", "($6)", "7"], Spelling("point", "", "$"), [55000.0, -4.0, -5.0, -6.0, 7.0]),
        (["1.234,5 €", "3,00 €"], Spelling("comma", "", "€"), [1234.5, 3.0]),
        (["100+", "10,000+"], Spelling("point"), [100.0, 10000.0]),
        (["(1,200)", "\u22120.5"], Spelling("point"), [-1200.0, -0.5]),
    ],
)
def test_numbers_as_people_write_them(cells: list[str], spelling: Spelling, values: list[float]) -> None:
    texts = pa.chunked_array([cells])
    assert find_spelling(texts, "point") == (spelling, 1.0)
    assert as_computers_write(texts, spelling).cast("float64").to_pylist() == values


@pytest.mark.parametrize(
    ("cells", "share"),
    [
        (["$5", "€6"], 0.5),
        (["12%", "0.5"], 0.5),
        (["19M", "201k", "3k"], 2 / 3),
        (["1,23,456", "5"], 0.5),
        (["a", "b"], 0.0),
        (["12-13", "3/4", "--5", "1e5%", "(-3)"], 0.0),
        (["1,2345", "1,2345"], 1.0),
    ],
)
def test_the_share_of_one_spelling(cells: list[str], share: float) -> None:
    spelling, found = find_spelling(pa.chunked_array([cells]), "point")
    assert found == pytest.approx(share)
    assert sum(spelled(pa.array(cells), spelling).to_pylist()) == pytest.approx(share * len(cells))


def test_every_row_counts_in_the_share() -> None:
    assert find_spelling(pa.chunked_array([["1,234"] * 3 + ["x"]]), "point") == (Spelling("point"), 0.75)


@given(st.lists(st.integers(-(10**12), 10**12), min_size=1))
@settings(deadline=None, max_examples=30)
def test_groups_of_three_digits_come_back_as_python_writes_them(numbers: list[int]) -> None:
    for mark, spelling in ((",", Spelling("point")), (".", Spelling("comma")), (" ", Spelling("point"))):
        texts = pa.array([f"{number:,}".replace(",", mark) for number in numbers])
        assert all(spelled(texts, spelling).to_pylist())
        assert as_computers_write(texts, spelling).cast("float64").to_pylist() == numbers


def test_what_is_in_another_spelling_stays_as_it_is() -> None:
    texts = pa.array(["5%", "6", "x", None])
    assert spelled(texts, Spelling("point", "%")).to_pylist() == [True, False, False, None]
    assert as_computers_write(texts, Spelling("point", "%")).to_pylist() == ["5", "6", "x", None]


def test_what_resembles_numbers() -> None:
    assert resemble_numbers(pa.array(["19M", "201k", "$5", "3,50 €"])) == 1
    assert (
        resemble_numbers(pa.array(["Varies with device", "12-13", "A1", "2014-05-31", "31.05.2014", "192.168.1.1"]))
        == 0
    )


@given(st.lists(st.text("+-.019eE x,_nainfINF\u0663", max_size=7), min_size=1, max_size=3))
@example(["inf", "-Infinity", "+1", "1.", ".5", "1e999"])
@example(["1.5", "nan"])
@example(["0x10"])
@example([" 1"])
def test_plain_numbers_are_those_of_the_pattern(cells: list[str]) -> None:
    texts = pa.array([*cells, None])
    values = plain_numbers(texts)
    assert (values is not None) == all(re.match(NUMBER, cell, re.ASCII) for cell in cells)
    if values is not None:
        assert values.to_pylist() == [*map(float, cells), None]
