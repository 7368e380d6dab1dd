import re
from collections.abc import Callable
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from wellfit.data.meta import Source, Unread
from wellfit.data.readers.columns import Columns
from wellfit.data.readers.kinds import check_decimals, infer_source
from wellfit.data.settings import DataConfig
from wellfit.errors import WellfitError

Infer = Callable[..., Source]
NAMES = [f"customer {i}" for i in range(250)]


@pytest.fixture
def columns(data_config: Callable[..., DataConfig]) -> Callable[..., Columns]:
    def make(cells: Any, **changes: Any) -> Columns:
        data = data_config("csv", target="y", **changes)
        table = pa.table({"c": pa.chunked_array([cells])})
        return Columns(table, data.missing, Path("t.csv"), 2, roles=["y"], max_categories=data.max_categories)

    return make


@pytest.fixture
def infer(columns: Callable[..., Columns], data_config: Callable[..., DataConfig]) -> Infer:
    """What a column named c of these cells holds."""

    def run(cells: Any, **changes: Any) -> Source:
        return infer_source(columns(cells, **changes), "c", data_config("csv", target="y", **changes))

    return run


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2.5", None], "numbers"),
        ([1, 2], "numbers"),
        (["red", "blue"], "categories"),
        ([None, None], "categories"),
        ([True, False], "categories"),
        (["2024-05-31", None], "dates"),
        (["31.05.2024", "unknown", "01.06.2024"], "dates"),
        (["7-Jan-18"], "dates"),
        (["5/31/2024 8:26"], "dates"),
        ([date(2024, 5, 31)], "dates"),
        ([datetime(2024, 5, 31, 10)], "dates"),
        (NAMES, "text"),
        (NAMES[:100] * 2, "categories"),
        ([f"{i % 28 + 1:02}.01.{1900 + i}" for i in range(250)], "dates"),
        ([f"192.168.1.{i}" for i in range(250)], "text"),
        (NAMES[:60], "text"),
        (NAMES[:20], "categories"),
        (["1.2.3", "2.0.1", "now"], "categories"),
        (["-", "3", "n/a", "4.5"], "numbers"),
        (["-", "low", "high"], "categories"),
        (["-", "n/a"], "categories"),
        (["UNKNOWN", "2024-05-31"], "dates"),
        (["12:30", "1:02:30"], "numbers"),
        (["2:1", "3:0"], "categories"),
        (["10-20", "20-30"], "categories"),
        ([f"{i}{'ABCDEFGH'[i % 8]}" for i in range(250)], "text"),
        (["01234", "98765", "43210"], "categories"),
        (["007", "011", "012"], "numbers"),
        (["20140620", "20140307"], "numbers"),
        ([f"201406{i + 1:02}" for i in range(20)], "dates"),
        ([20140601 + i for i in range(20)], "dates"),
        ([20140601 + i for i in range(60)], "numbers"),
    ],
)
def test_what_a_column_holds(cells: list[Any], kind: str, infer: Infer) -> None:
    assert infer(cells).kind == kind


def test_params_overrule_it(infer: Infer) -> None:
    for cells in (["1"], ["2024-05-31"], NAMES, ["5%"], [date(2024, 5, 31)]):
        assert infer(cells, categorical=["c"]) == Source(name="c", kind="categories")
    assert infer(["x"] * 9 + ["1"], numeric=["c"]).kind == "numbers"


@pytest.mark.parametrize(
    ("cells", "note"),
    [
        (["999", "2,589"], "'2,589' is 2589"),
        (["5.25%"], "'5.25%' is 5.25"),
        (["$1,200.50"], "'$1,200.50' is 1200.5"),
        (["1", "2"], ""),
        (["Yes", "no", "YES", "Yes"], "'YES' is 'Yes'"),
        (["Yes", "no"], ""),
        ([f"{i} {('kg', 'lb')[i % 2]}" for i in range(20)] * 2, "numbers such as '0 kg' that are not written alike"),
        ([f"{i}{'th' if 3 < i < 21 else 'st'}" for i in range(31)] * 2, "numbers such as '0st' that are not written"),
        (["11:13 PM", "12:05 a.m."], "'11:13 PM' is 1393 minutes after midnight"),
        (
            ["1.25*", *[f"{i}.5" for i in range(30)], "3.5 †"],
            "'1.25*' is 1.25, marks as in '1.25*' are left out in 2 cells",
        ),
        (["3 kg", "5 kg", "$4"], "numbers such as '3 kg' that are not written alike"),
        (["19M", "201k"], "'19M' is 19000000"),
        (["0%", "5%"], "'5%' is 5"),
        (["0:00", "12:30"], "'12:30' is 750, in its smallest unit"),
        (["3", "-", "4", "-", "N.A."], "'-' and 'N.A.' in 3 cells count as missing"),
    ],
)
def test_what_is_not_read_as_it_stands_is_told(cells: list[str], note: str, infer: Infer) -> None:
    assert infer(cells).note.startswith(note)
    assert bool(infer(cells).note) == bool(note)


def test_many_numbers_that_are_not_written_alike_are_no_text(infer: Infer) -> None:
    for few in ([f"{'$€'[i % 2]}{i}" for i in range(60)], [(f"{i}%", f"0.{i:02}")[i % 2] for i in range(60)]):
        with pytest.raises(WellfitError, match=r"is a number in another unit or spelling than"):
            infer(few)
    cells = [f"{i} {('kg', 'lb')[i % 3 // 2]}" for i in range(300)]
    with pytest.raises(
        WellfitError, match=r"t\.csv row 4, column 'c': '2 lb' is a number in another unit .* '0 kg'; wr"
    ):
        infer(cells)


def test_numbers_in_units_are_refused_however_often_they_recur(infer: Infer) -> None:
    with pytest.raises(WellfitError, match=r"'1 lb' is a number in another unit .* in data\.categorical or data\.drop"):
        infer([f"{i} {('kg', 'lb')[i % 2]}" for i in range(30)] * 20)


def measured(change: str, every: int = 4) -> list[str]:
    """Numbers, some of which are written in another way."""
    return [change.format(f"{i / 16 + 1:.2f}") if i % every == 0 else f"{i / 16 + 1:.2f}" for i in range(160)]


@pytest.mark.parametrize(
    ("cells", "fault"),
    [
        (
            measured("<{}"),
            r"row 2, column 'c': '<1\.00' is a bound among numbers and no value, as in 40 cells in all; wri",
        ),
        (measured(">= {} mg", 1), r"'>= 1\.00 mg' is a bound"),
        (measured("less than {}"), r"'less than 1\.00' is a bound"),
        (measured("<$ {}", 5), r"'<\$ 1\.00' is a bound"),
        (measured("≤0.5"), r"'≤0\.5' is a bound .*, as in 40 cells in all; mend it, add it to data\.missing, or list"),
        (measured("{} a"), r"'1\.00 a' is a number in another unit or spelling than '1\.06'; write all alike"),
        (
            measured("see {}", 8),
            r"'see 1\.00' is not a number such as '1\.06', as 20 cells of the column are not; mend",
        ),
    ],
)
def test_odd_cells_among_measurements_are_named(cells: list[str], fault: str, infer: Infer) -> None:
    with pytest.raises(WellfitError, match=fault):
        infer(cells)


def test_few_bounds_and_grades_and_codes_are_categories_or_text(infer: Infer) -> None:
    assert infer(["<18", "18", "65", ">65"] * 9).kind == "categories"
    assert infer(["3*", "4", "4*", "5"] * 9).kind == "categories"
    assert infer([f"{i + 100}**" for i in range(60)]).kind == "text"
    assert infer([f"A/5 {i}" if i % 9 == 0 else str(i * 7919) for i in range(99)]).kind == "text", "tickets"


@pytest.mark.parametrize("name", ["c", "y"])
@pytest.mark.parametrize(
    "cells",
    [
        [*[f"{i / 7:.3f}" for i in range(200)], *["pending"] * 40],
        [f"{'€$'[i % 3 > 0]}{i / 7:.3f}" for i in range(200)],
        [f"{'<' * (i % 3 == 0)}{i / 7:.3f}" for i in range(200)],
        [*[f"{i / 7:.3f}" for i in range(200)], "l.5", "0.5"],
    ],
)
def test_categories_are_advised_only_where_they_are_accepted(
    name: str, cells: list[str], data_config: Callable[..., DataConfig]
) -> None:
    for repeats, max_categories, lists in ((1, 100, "data.drop"), (3, 100, "data.categorical or data.drop")):
        data = data_config("csv", target="y", max_categories=max_categories)
        table = pa.table({name: cells * repeats})
        columns = Columns(table, data.missing, Path("t.csv"), 2, roles=["y"], max_categories=max_categories)
        with pytest.raises(WellfitError) as caught:
            columns.read(infer_source(columns, name, data))
        told = "take these rows out" if name == "y" else f"list the column in {lists}"
        assert re.search(rf"or {told}( \(params.yaml\))?$", str(caught.value))
        assert name == "c" or "data.missing" not in str(caught.value)


def test_texts_that_few_rows_have_are_no_categories(infer: Infer) -> None:
    assert infer([*NAMES[:60], *[None] * 300]).kind == "text"
    assert infer([*NAMES[:60], *NAMES[:60], *[None] * 300]).kind == "categories"


def test_a_decimal_comma_that_may_be_a_mistake_is_told(infer: Infer) -> None:
    assert infer(["2,589", "999"], decimal="comma").note == "'2,589' is 2.589, as data.decimal is comma"
    assert infer(["2,5", "999"], decimal="comma").note == "'2,5' is 2.5"


def test_a_decimal_comma_is_advised_only_where_commas_do_not_separate(infer: Infer) -> None:
    assert infer(["1,5", "2"]).decimal == "comma"
    assert infer(["1,234", "2"], separator="semicolon").decimal == "point", "groups of three digits are thousands"
    with pytest.raises(WellfitError, match=r"column 'c': '1,5' looks like a number with a decimal comma; set data"):
        infer(["2", "1,5"], separator="semicolon")


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["yes", "NO", "Yes", "yes", "no", "no"], ("no", "yes")),
        (["TRUE", "false", "False", "False"], ("False", "TRUE")),
        (["1", "yes", "1", "0"], ("0", "1")),
        (["Y", "n", "yes", "Y"], ("n", "Y")),
        (["yes", "YES"], ()),
        (["yes", "no", "maybe"], ()),
    ],
)
def test_words_for_yes_and_no(
    cells: list[str], words: tuple[str, ...], infer: Infer, columns: Callable[..., Columns]
) -> None:
    source = infer(cells)
    assert source.words == words
    read = columns(cells).read(source)
    assert set(read.cat.categories) == set(words or cells)
    if words:
        assert columns(["nO", "yEs", "maybe", None]).read(source).tolist()[:3] == [*words, "maybe"]


def test_other_types_are_refused(infer: Infer) -> None:
    for cells in ([[1]], [time(8, 26)]):
        with pytest.raises(WellfitError, match=r"t\.csv column 'c': .* is neither numbers nor text; list it in data"):
            infer(cells)


def test_gap_marks_are_told_and_new_rows_are_read_alike(infer: Infer, columns: Callable[..., Columns]) -> None:
    cells = ["1,200", "-", "#N/A", "-", "7"]
    source = infer(cells)
    assert source == Source(
        name="c",
        kind="numbers",
        note="'1,200' is 1200, '-' and '#N/A' in 3 cells count as missing",
        gaps=("-", "#N/A"),
        decimal="point",
    )
    assert columns(cells).read(source).tolist() == pytest.approx([1200, np.nan, np.nan, np.nan, 7], nan_ok=True)
    unread: list[Unread] = []
    assert columns(["-", "x"]).read(source, unread).isna().all()
    assert unread == [("c", 1, "x")]
    dates = infer(["2024-05-31", "unknown"])
    assert dates.note == "'2024-05-31' is 2024-05-31, 'unknown' in 1 cell counts as missing"
    assert columns(["unknown", "2024-06-01"]).read(dates).isna().tolist() == [True, False]


@pytest.mark.parametrize(
    ("cells", "fault"),
    [
        (
            [*map(str, range(50)), *["pending"] * 4],
            r"column 'c': holds numbers but for 'pending' \(4 cells\); if it stands",
        ),
        (
            [*map(str, range(50)), *["a", "b"] * 2],
            r"holds numbers but for 'a' \(2 cells\) and 'b' \(2 cells\); if they",
        ),
        (
            [*[f"2024-05-1{i}" for i in range(9)], *["soon"] * 3],
            r"column 'c': holds dates but for 'soon' \(3 cells\); if it stands for a g",
        ),
    ],
)
def test_words_that_recur_are_offered_as_gaps(cells: list[str], fault: str, infer: Infer) -> None:
    with pytest.raises(WellfitError, match=fault):
        infer(cells)
    word = cells[-1]
    assert infer(cells, categorical=["c"]).kind == "categories"
    missing = ["pending", "soon", "a", "b"]
    assert infer(cells, missing=missing).kind == ("dates" if word == "soon" else "numbers")


def test_words_among_few_codes_are_categories(infer: Infer) -> None:
    assert infer([*["2", "4"] * 9, *["more"] * 9]).kind == "categories"


def test_no_advice_takes_a_word_from_another_column(data_config: Callable[..., DataConfig]) -> None:
    data = data_config("csv", target="y")
    cells = [*map(str, range(50)), "PG", "PG"]
    both = Columns(pa.table({"c": cells, "d": ["PG", "R"] * 26}), data.missing, Path("t.csv"), 2)
    with pytest.raises(WellfitError, match=r"holds numbers but for 'PG' \(2 cells\); mend these, or list") as caught:
        infer_source(both, "c", data)
    assert "data.missing" not in str(caught.value)
    assert both.way_out("c", "x") == "mend it, add it to data.missing, or list the column in data.drop"
    assert both.way_out("c", "PG") == "mend it, or list the column in data.drop"


@pytest.mark.parametrize(
    ("cells", "name", "kind"),
    [(["20140620", "20140307", "-"], "sold_date", "dates"), (["20140620", "20141307"], "sold_date", "numbers")],
)
def test_a_name_may_say_that_whole_numbers_are_days(
    cells: list[str], name: str, kind: str, data_config: Callable[..., DataConfig]
) -> None:
    data = data_config("csv", target="y")
    columns = Columns(pa.table({name: cells}), data.missing, Path("t.csv"), 2)
    assert infer_source(columns, name, data).kind == kind
    overruled = data_config("csv", target="y", numeric=[name])
    assert infer_source(columns, name, overruled).kind == "numbers"


def test_figures_filled_up_with_zeros_are_told(infer: Infer) -> None:
    assert infer(["01234", "98765", "43210"]).note == "codes, as '01234' begins with a zero"
    assert infer(["007", "011", "012"]).note == "'007' is 7, data.categorical keeps it as a code"
    assert infer(["01234", "98765", "43210"], numeric=["c"]).kind == "numbers"


def test_codes_are_codes_whatever_the_decimal_mark(infer: Infer, columns: Callable[..., Columns]) -> None:
    assert infer(["01067", "80331", "10115"], decimal="comma").note == "codes, as '01067' begins with a zero"
    whole = infer(["1067", "80331", "5"], decimal="comma")
    assert whole.kind == "numbers"
    assert columns(["44,5"]).read(whole).tolist() == [44.5], "new rows may have decimals"


def test_points_that_may_stand_between_thousands_are_asked_for(infer: Infer) -> None:
    cells = [*[f"{i % 9 + 1}.{i * 7 + 100}" for i in range(60)], "950", "87", "12", "5"]
    with pytest.raises(WellfitError, match=r"row 2, column 'c': the point of '1\.100' may stand between thousands, as"):
        infer(cells, separator="semicolon")
    assert infer(cells).kind == infer(cells, separator="semicolon", numeric=["c"]).kind == "numbers"
    assert infer(cells, separator="semicolon", decimal="comma").note == "'1.100' is 1100"
    for proof in ("1.5", "0.125", "1950", "2.5941"):
        assert infer([*cells, proof], separator="semicolon").note == ""


def test_marks_that_contradict_each_other_are_refused(infer: Infer) -> None:
    with pytest.raises(
        WellfitError, match=r"t\.csv column 'c': '1,234' and '1\.234' contradict each other, as either m"
    ):
        infer(["1,234", "1.234", "12"])


def test_a_decimal_comma_that_another_column_disproves_is_refused(data_config: Callable[..., DataConfig]) -> None:
    data = data_config("csv", target="y", decimal="comma")

    def check(**cells: list[str]) -> None:
        columns = Columns(pa.table(cells), data.missing, Path("t.csv"), 2)
        check_decimals(columns, [infer_source(columns, name, data) for name in cells], data)

    with pytest.raises(
        WellfitError,
        match=r"data\.decimal is comma, but column 'b' has decimal points \('4\.95'\), so the comma of '2,589' in ",
    ):
        check(a=["540", "2,589"], b=["1.688", "4.95"], c=["x", "y"])
    with pytest.raises(WellfitError, match=r"column 'b' has decimal points \('1\.688'\)"):
        check(a=["540", "2,589"], b=["1.688", "0.950"])
    check(a=["540", "2,58"], b=["1.688", "4.95"])
    check(a=["540", "2,589"], b=["1.688", "4,95"])
