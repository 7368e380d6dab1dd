import re

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wellfit.data.readers.numerals import (
    NUMBER,
    PLAIN,
    Decimal,
    Spelling,
    as_computers_write,
    doubtful_marks,
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
        (["12-", "1,234.50-", "3"], Spelling("point"), [-12.0, -1234.5, 3.0]),
        (["1,00,000", "12,34,567.5", "10,000"], Spelling("point"), [100000.0, 1234567.5, 10000.0]),
        (["CHF 1\u2019200.50", "CHF 5"], Spelling("point", "", "CHF"), [1200.5, 5.0]),
        (["USD 1,000", "USD 5"], Spelling("point", "", "USD"), [1000.0, 5.0]),
        (["5 EUR", "6,50 EUR"], Spelling("comma", "", "EUR"), [5.0, 6.5]),
        (["Rs. 1,200", "Rs. 500"], Spelling("point", "", "Rs."), [1200.0, 500.0]),
        (["kr 1 500", "kr 500"], Spelling("point", "", "kr"), [1500.0, 500.0]),
        (["R$ 1.200,00", "R$ 5,50"], Spelling("comma", "", "R$"), [1200.0, 5.5]),
        (["19M", "201k", "3"], Spelling("point", "", "", "numbers"), [19e6, 201e3, 3.0]),
        (["\u20ac110.5M", "\u20ac565K", "\u20ac0"], Spelling("point", "", "\u20ac", "numbers"), [110.5e6, 565e3, 0.0]),
        (["1.2 billion", "300 Million"], Spelling("point", "", "", "numbers"), [1.2e9, 300e6]),
        (["641k", "3.5k"], Spelling("point", "", "", "numbers"), [641e3, 3500.0]),
        (["19MB", "201 KB", "12 B"], Spelling("point", "", "", "bytes"), [19e6, 201e3, 12.0]),
        (["4.1/5", "3/5"], Spelling("point", "/5"), [4.1, 3.0]),
        (["12 sq ft", "1,300 sq ft"], Spelling("point", "sq ft"), [12.0, 1300.0]),
        (["4.56*", "1,234[note 2]", "7 †"], Spelling("point"), [4.56, 1234.0, 7.0]),
        (
            ["12:00 AM", "9:05 am", "12:30PM", "11:13:30 p.m.", "1 pm"],
            Spelling("point", multiples="am/pm"),
            [0.0, 545.0, 750.0, 1393.5, 780.0],
        ),
        (["23.4 km/kg", "9 km/kg"], Spelling("point", "km/kg"), [23.4, 9.0]),
        (["67.1 m2", "99999999 m2"], Spelling("point", "m2"), [67.1, 99999999.0]),
        (["1e9 km/h", "2.5E-3km/h", "-7 km/h"], Spelling("point", "km/h"), [1e9, 2.5e-3, -7.0]),
        (["1,5e3 kg", "12,25 kg"], Spelling("comma", "kg"), [1500.0, 12.25]),
        (["$1e6", "$2,000"], Spelling("point", "", "$"), [1e6, 2000.0]),
        (["7.5 kg/m3", "8 kg/m3"], Spelling("point", "kg/m3"), [7.5, 8.0]),
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
        (["19 kg", "201 lb", "3 lb"], 2 / 3),
        (["1,23,45", "5"], 0.5),
        (["1,5", "1.688"], 1.0),
        (["a", "b"], 0.0),
        (["12-13", "3/4/5", "--5", "1e5%", "(-3)"], 0.0),
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


@pytest.mark.parametrize(
    ("cells", "decimal", "spelling", "values"),
    [
        (["4.95", "1.688"], "comma", PLAIN, [4.95, 1.688]),
        (["2,589", "999"], "comma", Spelling("comma"), [2.589, 999.0]),
        (["0,5", "2.5", "1.234,5"], "comma", Spelling("comma"), [0.5, 2.5, 1234.5]),
        (["1.234", "2"], "comma", Spelling("comma"), [1234.0, 2.0]),
        (["1,234.5 kg", "1 kg"], "comma", Spelling("point", "kg"), [1234.5, 1.0]),
    ],
)
def test_cells_that_can_only_have_points_are_read_so(
    cells: list[str], decimal: Decimal, spelling: Spelling, values: list[float]
) -> None:
    assert find_spelling(pa.array(cells), decimal) == (spelling, 1.0)
    assert as_computers_write(pa.array(cells), spelling).cast("float64").to_pylist() == values


@pytest.mark.parametrize(
    ("cells", "decimal", "marks"),
    [
        (["1,234", "1.234"], "point", ["1,234", "1.234"]),
        (["1,234", "1.234", "12.5"], "point", []),
        (["1,234", "1.234", "1,234.5"], "point", []),
        (["1,5", "2.5"], "point", []),
        (["1,5", "2.5", "1.688"], "point", ["2.5", "1.688"]),
        (["1,5", "1.688"], "point", []),
        (["1.5", "1.688"], "point", []),
    ],
)
def test_marks_that_contradict_each_other(cells: list[str], decimal: Decimal, marks: list[str]) -> None:
    assert doubtful_marks(pa.array(cells), find_spelling(pa.array(cells), decimal)[0]) == marks


def test_one_unit_multiplies_nothing() -> None:
    for cells in (["21M", "3M"], ["12 m", "5 m"], ["12 m", "5"], ["3 B", "5"]):
        assert find_spelling(pa.array(cells), "point")[0].multiples == ""


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
