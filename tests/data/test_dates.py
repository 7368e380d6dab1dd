from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from wellfit.data.dates import FORMATS, PARTS, are_dates, find_format, parse
from wellfit.errors import WellfitError


def column(cells: list[str | None]) -> pd.Series:
    return pd.Series(pd.Categorical(cells, categories=list(dict.fromkeys(filter(None, cells)))), name="when")


def find(cells: list[str | None], day_first: bool | None = None) -> str:
    return find_format(column(cells), day_first, lambda index: f"t.csv row {index + 2}")


@pytest.mark.parametrize(
    ("cells", "found", "first"),
    [
        (["2024-05-31", "2024-06-01 10:00"], "ISO8601", datetime(2024, 5, 31)),
        (["2024-05-31T10:00:00+02:00"], "ISO8601", datetime(2024, 5, 31, 8)),
        (["20141013T000000"], "ISO8601", datetime(2014, 10, 13)),
        (["2024/5/31"], "ISO8601", datetime(2024, 5, 31)),
        (["7-Jan-18", "31-DEC-17"], "%d-%b-%y", datetime(2018, 1, 7)),
        (["25-09-2012", "04-09-2012"], "%d-%m-%Y", datetime(2012, 9, 25)),
        (["12/1/2010 8:26", "12/13/2010 18:00"], "%m/%d/%Y %H:%M", datetime(2010, 12, 1, 8, 26)),
        (["5/31/2024  3:15"], "%m/%d/%Y %H:%M", datetime(2024, 5, 31, 3, 15)),
        (["5/31/24 3:15 PM"], "%m/%d/%y %I:%M %p", datetime(2024, 5, 31, 15, 15)),
        (["Jun 20, 2014"], "%b %d, %Y", datetime(2014, 6, 20)),
        (["20 June 2014"], "%d %B %Y", datetime(2014, 6, 20)),
        (["01.06.2024"], "%d.%m.%Y", datetime(2024, 6, 1)),
        (["20JUN2014"], "%d%b%Y", datetime(2014, 6, 20)),
    ],
)
def test_the_format_of_a_column(cells: list[str | None], found: str, first: datetime) -> None:
    assert are_dates([cell for cell in cells if cell])
    assert find([*cells, None]) == found
    assert parse(cells[:1], found)[0] == first


@pytest.mark.parametrize("date_format", FORMATS[1:])
def test_each_format_reads_what_it_writes(date_format: str) -> None:
    day = datetime(2014, 12, 25, 15, 0)
    expected = day if "M" in date_format else datetime(2014, 12, 25)
    assert parse([day.strftime(date_format)], date_format)[0] == expected


def test_day_first_settles_what_the_rows_leave_open() -> None:
    cells: list[str | None] = ["04-09-2012", "05-10-2012"]
    assert find(cells, day_first=True) == "%d-%m-%Y"
    assert find(cells, day_first=False) == "%m-%d-%Y"
    assert find([*cells, "25-10-2012"], day_first=False) == "%d-%m-%Y"
    with pytest.raises(
        WellfitError, match=r"t\.csv row 3, column 'when': '04-09-2012' may begin with the day or .*data\.day_first to"
    ):
        find([None, *cells])


def test_two_spellings_are_named_with_their_rows() -> None:
    with pytest.raises(
        WellfitError,
        match=r"t\.csv row 4, column 'when': '7-Jan-18' is a date in another spelling than '2014-03-07' \(t\.csv row 3",
    ):
        find([None, "2014-03-07", "7-Jan-18", "2014-03-09"])
    with pytest.raises(WellfitError, match=r"row 2, column 'when': '1/25/2014' is a date in another spelling than '25"):
        find(["1/25/2014", "25/1/2014", "26/1/2014"])


def test_what_is_not_a_date_is_named() -> None:
    with pytest.raises(WellfitError, match=r"row 2, column 'when': 'unknown' is not a date such as '2014-03-07'; mend"):
        find(["unknown", "2014-03-07"])
    with pytest.raises(WellfitError, match="'none' is not a date such as '2024-05-31'"):
        find(["none"])


@pytest.mark.parametrize("cells", [["now", "today"], ["1234", "5678"], ["12-13", "3-4"], ["red"], ["1001-01-01"]])
def test_what_are_no_dates(cells: list[str]) -> None:
    assert not are_dates(cells)


def test_no_word_and_no_year_of_never_is_a_date() -> None:
    assert parse(["now", "9999-12-31", "0001-01-01", "2014-13-01"], "ISO8601").isna().all()


def test_parts_are_those_of_the_standard_library() -> None:
    dates = pd.date_range("1999-12-30 05:30", periods=50, freq="37h")
    parts = {name: np.asarray(part(dates, pd.Timestamp("1999-12-30"))) for name, part in PARTS.items()}
    for i, day in enumerate(dates.to_pydatetime()):
        expected = [
            day.year,
            day.month,
            day.weekday(),
            day.hour,
            (day - datetime(1999, 12, 30)).total_seconds() / 86400,
        ]
        assert [parts[name][i] for name in ("year", "month", "weekday", "hour", "days")] == pytest.approx(expected)
