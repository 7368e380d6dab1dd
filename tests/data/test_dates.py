from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from wellfit.data.dates import FORMATS, PARTS, are_dates, find_formats, parse
from wellfit.errors import WellfitError


def find(cells: list[str], day_first: bool | None = None) -> tuple[str, ...]:
    return find_formats(
        cells, day_first, lambda text: f"t.csv row {cells.index(text) + 2}, column 'when'", lambda _: "mend it"
    )


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
        (["20140620", "20141013.0"], "ISO8601", datetime(2014, 6, 20)),
        (["2019-03"], "%Y-%m", datetime(2019, 3, 1)),
        (["2019Q4", "2020-Q1"], "ISO8601", datetime(2019, 10, 1)),
        (["Q3 2019"], "ISO8601", datetime(2019, 7, 1)),
        (["2014-10-13 00:00:00 UTC"], "ISO8601", datetime(2014, 10, 13)),
        (["Jan-18", "Aug-85"], "%b-%y", datetime(2018, 1, 1)),
        (["Jan 2019"], "%b %Y", datetime(2019, 1, 1)),
        (["03/2019"], "%m/%Y", datetime(2019, 3, 1)),
        (["May 2nd, 2019", "Sept. 3rd, 2019"], "%b %d, %Y", datetime(2019, 5, 2)),
        (["Friday, January 5, 2018 at 10:26 PM"], "%B %d, %Y %I:%M %p", datetime(2018, 1, 5, 22, 26)),
        (["1/25/2018, 8:26:01 a.m."], "%m/%d/%Y %I:%M:%S %p", datetime(2018, 1, 25, 8, 26, 1)),
        (["Mon, 12 Jan 2019 10:00:00 GMT"], "%d %b %Y %H:%M:%S", datetime(2019, 1, 12, 10)),
        (["Sat Nov 28 23:56:25 +0000 2009"], "%b %d %H:%M:%S %z %Y", datetime(2009, 11, 28, 23, 56, 25)),
        (["10/Oct/2000:13:55:36 -0700"], "%d/%b/%Y:%H:%M:%S %z", datetime(2000, 10, 10, 20, 55, 36)),
        (["12/13/2010 8:26 +01:00"], "%m/%d/%Y %H:%M %z", datetime(2010, 12, 13, 7, 26)),
    ],
)
def test_the_format_of_a_column(cells: list[str], found: str, first: datetime) -> None:
    assert are_dates(cells)
    assert find(cells) == (found,)
    assert parse(cells[:1], [found])[0] == first


@pytest.mark.parametrize("date_format", FORMATS[1:])
def test_each_format_reads_what_it_writes(date_format: str) -> None:
    moment = datetime(2014, 12, 25, 15, tzinfo=UTC)
    has_day, has_time = "%d" in date_format or "%u" in date_format, ":" in date_format
    expected = datetime(2014, 12, 25 if has_day else 1, 15 if has_time else 0)
    text = moment.strftime(date_format)
    assert parse([text], [date_format])[0] == expected
    assert find([text], day_first=True)


def test_day_first_settles_what_the_rows_leave_open() -> None:
    cells = ["04-09-2012", "05-10-2012"]
    assert find(cells, day_first=True) == ("%d-%m-%Y",)
    assert find(cells, day_first=False) == ("%m-%d-%Y",)
    assert find([*cells, "25-10-2012"], day_first=False) == ("%d-%m-%Y",)
    with pytest.raises(
        WellfitError, match=r"t\.csv row 2, column 'when': '04-09-2012' may begin with the day or .*data\.day_first to"
    ):
        find(cells)
    with pytest.raises(WellfitError, match=r"t\.csv row 3, column 'when': '04-09-2012' may begin with the day"):
        find(["2012-05-31", *cells])


@pytest.mark.parametrize(
    ("cells", "formats", "dates"),
    [
        (["2014-03-07", "7-Jan-18"], ("ISO8601", "%d-%b-%y"), [datetime(2014, 3, 7), datetime(2018, 1, 7)]),
        (
            ["13/1/2018", "1/2/2018 10:00"],
            ("%d/%m/%Y", "%d/%m/%Y %H:%M"),
            [datetime(2018, 1, 13), datetime(2018, 2, 1, 10)],
        ),
        (["1/2/18", "13/2/2018"], ("%d/%m/%y", "%d/%m/%Y"), [datetime(2018, 2, 1), datetime(2018, 2, 13)]),
        (
            ["2024-05-31T10:00:00.25Z", "2024-05-31T10:00:00Z", "2024-05-31"],
            ("ISO8601",),
            [datetime(2024, 5, 31, 10, 0, 0, 250_000), datetime(2024, 5, 31, 10), datetime(2024, 5, 31)],
        ),
    ],
)
def test_spellings_that_cannot_be_mistaken_may_be_mixed(
    cells: list[str], formats: tuple[str, ...], dates: list[datetime]
) -> None:
    assert sorted(find(cells)) == sorted(formats)
    assert parse(cells, find(cells)).tolist() == dates


def test_a_spelling_after_the_first_hundred_cells_is_found() -> None:
    days = pd.date_range("2014-01-01", periods=300).strftime("%Y-%m-%d").tolist()
    assert find([*days, "1/25/2015"]) == ("ISO8601", "%m/%d/%Y")


def test_two_orders_of_day_and_month_are_named_with_their_rows() -> None:
    with pytest.raises(
        WellfitError,
        match=r"t\.csv row 2, column 'when': '1/25/2014' is a date in another spelling than '25/1/2014' \(t\.csv",
    ):
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
    assert parse(["now", "9999-12-31", "0001-01-01", "2014-13-01"], ["ISO8601"]).isna().all()


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


def test_a_year_or_a_month_is_no_day_of_a_column_of_days() -> None:
    with pytest.raises(WellfitError, match="'2018' is not a date such as '2018-05-03'"):
        find(["2018-05-03", "2018-05-04", "2018"])
    assert find(["2018-05-03", "2018-05-04", "2018-06"]) == ("ISO8601", "%Y-%m")
