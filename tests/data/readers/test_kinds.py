from collections.abc import Callable
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from wellfit.data.readers.columns import Columns
from wellfit.data.readers.kinds import infer_source
from wellfit.data.settings import DataConfig
from wellfit.data.store import Source
from wellfit.errors import WellfitError

Infer = Callable[..., Source]
NAMES = [f"customer {i}" for i in range(250)]


@pytest.fixture
def columns(data_config: Callable[..., DataConfig]) -> Callable[..., Columns]:
    def make(cells: Any, **changes: Any) -> Columns:
        table = pa.table({"c": pa.chunked_array([cells])})
        return Columns(table, data_config("csv", target="y", **changes).missing, Path("t.csv"), 2)

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
        ([f"{i} {('kg', 'lb')[i % 2]}" for i in range(30)] * 2, "numbers such as '0 kg' that are not written alike"),
        (["3 kg", "5 kg", "$4"], "numbers such as '3 kg' that are not written alike"),
        (["19M", "201k"], "'19M' is 19000000"),
        (["3", "-", "4", "-", "N.A."], "'-' and 'N.A.' in 3 cells count as missing"),
    ],
)
def test_what_is_not_read_as_it_stands_is_told(cells: list[str], note: str, infer: Infer) -> None:
    assert infer(cells).note.startswith(note)
    assert bool(infer(cells).note) == bool(note)


def test_many_numbers_that_are_not_written_alike_are_no_text(columns: Callable[..., Columns], infer: Infer) -> None:
    for few in ([f"{'$€'[i % 2]}{i}" for i in range(60)], [(f"{i}%", f"0.{i:02}")[i % 2] for i in range(60)]):
        assert infer(few).kind == "numbers"
    cells = [f"{i} {('kg', 'lb')[i % 3 // 2]}" for i in range(300)]
    source = infer(cells)
    assert source.kind == "numbers"
    with pytest.raises(WellfitError, match=r"t\.csv row 4, column 'c': '2 lb' is not a number of kg; mend it"):
        columns(cells).read(source)


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
