"""Dates: which of the common spellings a column has, and the numbers that are made of a date."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.errors import WellfitError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

# Of pandas.to_datetime. Day and month in figures can be mistaken for each other, except between full stops.
DAY_FIRST = [f"%d{mark}%m{mark}{year}" for mark in "-/" for year in ("%Y", "%y")]
MONTH_FIRST = [f"%m{mark}%d{mark}{year}" for mark in "-/" for year in ("%Y", "%y")]
OTHERS = ["%d.%m.%Y", "%d.%m.%y"]
OTHERS += [f"%d{mark}%b{mark}{year}" for mark in ("-", " ", "/", "") for year in ("%Y", "%y")]
OTHERS += [f"%Y{mark}%b{mark}%d" for mark in ("-", " ")]
OTHERS += ["%d %B %Y", "%d-%B-%Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y", "%d %b, %Y", "%d %B, %Y"]
OTHERS += ["%d. %B %Y", "%d. %b %Y"]
TIMES = ["", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", " %H:%M %z", " %H:%M:%S %z"]
MONTHS = ["%b %Y", "%B %Y", "%b-%Y", "%b-%y", "%B-%Y", "%B, %Y", "%b, %Y", "%Y-%b", "%Y %b", "%Y %B", "%m/%Y", "%m-%Y"]
MONTHS += ["%Y-%m", "%Y/%m"]
LOGS = ["%b %d %H:%M:%S %Y", "%b %d %H:%M:%S %z %Y", "%d/%b/%Y:%H:%M:%S", "%d/%b/%Y:%H:%M:%S %z"]
LOGS += ["%d%b%Y:%H:%M:%S", "%d%b%y:%H:%M:%S", "%G-W%V-%u"]
LOGS += [f"%Y{mark}%m{mark}%d %I:%M{seconds} %p" for mark in "-/" for seconds in ("", ":%S")]
ISO = "ISO8601"
FORMATS = [ISO, *(date + time for time in TIMES for date in (*DAY_FIRST, *MONTH_FIRST, *OTHERS)), *MONTHS, *LOGS]
# What is written in another way before a format is looked for: patterns of RE2, and what stands in their place.
REWRITTEN = [
    (r"\s+", " "),
    (r"(?i)^(?:mon|tue|tues|wed|wednes|thu|thur|thurs|fri|sat|satur|sun)(?:day)?\.?,? ", ""),
    (r"(?i)\b(\d{1,2})(?:st|nd|rd|th)\b(?: of)?", r"\1"),
    (r"(?i)\bsept\b", "Sep"),
    (r"(?i)\b(jan|feb|mar|apr|jun|jul|aug|sep|oct|nov|dec)\.", r"\1"),
    (r"(\d)(?:,| at) (\d{1,2}:\d)", r"\1 \2"),
    (r"(?i)(:\d\d) ?([ap])\.?m\.?$", r"\1 \2m"),
    (r" ?(?:UTC|GMT)$", ""),
    (r"^(\d{8})\.0$", r"\1"),
    (r"^(\d{4})-?W(\d\d)$", r"\1-W\2-1"),
    (r"^(\d{4})年(\d{1,2})月(\d{1,2})日$", r"\1-\2-\3"),
    *(
        (rf"^(?:(\d{{4}})[ /-]?[qQ]{quarter}|[qQ]{quarter}[ /-]?(\d{{4}}))$", rf"\1\2-{3 * quarter - 2:02}-01")
        for quarter in (1, 2, 3, 4)
    ),
]
FIRST_YEAR, LAST_YEAR = 1700, 2200  # other years are codes, or stand for 'never'
EXAMPLE = "2024-05-31"
SAMPLE = 100  # texts that show whether a column holds dates, and in which spellings
PARTS: dict[str, Callable[[pd.DatetimeIndex, pd.Timestamp], Any]] = {
    "year": lambda dates, _: dates.year,
    "month": lambda dates, _: dates.month,
    "weekday": lambda dates, _: dates.day_of_week,
    "hour": lambda dates, _: dates.hour,
    "days": lambda dates, origin: (dates - origin).total_seconds() / 86_400,
}


def parse(texts: Iterable[str], formats: Sequence[str]) -> pd.DatetimeIndex:
    """Dates without a time zone (in UTC, if they have one), NaT where a text is not a date in any of these formats.

    Args:
        texts: (n,) as they stand in the file.
        formats: of `pandas.to_datetime`, of which the first that fits a text is taken.
    """
    import pandas as pd

    plain = _rewritten(texts)
    dates = pd.Series(pd.NaT, plain.index, dtype="datetime64[ns]")
    for date_format in formats:
        rest = dates.isna()
        if rest.all():
            dates = _parse(plain, date_format)
        elif rest.any():
            dates[rest] = _parse(plain[rest], date_format)
    return pd.DatetimeIndex(dates)


def _parse(plain: pd.Series[Any], date_format: str) -> pd.Series[Any]:
    import pandas as pd

    if date_format == ISO:  # which takes 2024 and 2024-05 for their first day
        plain = plain.where(plain.str.len() > len("2024-05"))
    dates = pd.to_datetime(plain, format=date_format, errors="coerce", utc=True).dt.tz_localize(None)
    # Years of 'never' are more than nanoseconds can count.
    return dates.where(dates.dt.year.between(FIRST_YEAR, LAST_YEAR)).astype("datetime64[ns]")


def are_dates(texts: Sequence[str]) -> bool:
    """Whether more than half of the texts are dates, judged by the first ones."""
    sample = texts[:SAMPLE]
    dates = parse(sample, _possible_formats(_rewritten(sample)))
    return 2 * int(np.count_nonzero(dates.notna())) > len(sample)


def find_formats(
    texts: Sequence[str], day_first: bool | None, place: Callable[[str], str], way_out: Callable[[str], str]
) -> tuple[str, ...]:
    """The formats in which all cells of a column are dates, as few as possible.

    Args:
        texts: the different cells of a column, at least one.
        day_first: settles what the cells leave open: is 04-09-2012 in September, or in April?
        place: says where in the file a text stands first, for messages.
        way_out: says what can be done about a text that is no date, likewise.

    Raises:
        WellfitError: a cell is not a date, or in a spelling that contradicts the others; or nothing tells day and month
            apart.
    """
    plain = _rewritten(texts)
    orders = {day_is_first: _cover(plain, day_is_first) for day_is_first in (True, False)}
    whole = {order: cover.formats for order, cover in orders.items() if cover.is_date.all()}
    if not whole:
        best = max(orders.values(), key=lambda cover: int(cover.is_date.sum()))
        raise WellfitError(_fault(texts, best, place, way_out))
    if len(whole) == 1 or whole[True] == whole[False]:
        return next(iter(whole.values()))
    if day_first is None:
        open_ones = parse(texts, [each for each in whole[True] if each in DAY_FIRST_FORMATS]).notna()
        open_one = texts[int(open_ones.argmax())]
        raise WellfitError(
            f"{place(open_one)}: {open_one!r} may begin with the day or with the month, as all other dates of the "
            "column; set data.day_first to true or false (params.yaml)"
        )
    return whole[day_first]


class _Cover(NamedTuple):
    """Formats of one order of day and month, and which texts are dates in them."""

    formats: tuple[str, ...]
    is_date: NDArray[np.bool_]


def _cover(plain: pd.Series[Any], day_is_first: bool) -> _Cover:
    """Takes the format that most of the first texts have, then that of most of the first others, and so on."""
    formats: list[str] = []
    is_date = np.zeros(len(plain), bool)
    wrong_order = MONTH_FIRST_FORMATS if day_is_first else DAY_FIRST_FORMATS
    while not is_date.all():
        sample = plain[~is_date][:SAMPLE]
        fits = {each: _parse(sample, each).notna().sum() for each in _possible_formats(sample)}
        possible = {each: count for each, count in fits.items() if count and each not in wrong_order}
        if not possible:
            break
        formats.append(max(possible, key=possible.__getitem__))
        is_date[~is_date] = _parse(plain[~is_date], formats[-1]).notna()
    return _Cover(tuple(formats), is_date)


def _fault(texts: Sequence[str], cover: _Cover, place: Callable[[str], str], way_out: Callable[[str], str]) -> str:
    odd = next(text for text, known in zip(texts, cover.is_date, strict=True) if not known)
    good = next((text for text, known in zip(texts, cover.is_date, strict=True) if known), None)
    if good and are_dates([odd]):
        return (
            f"{place(odd)}: {odd!r} is a date in another spelling than {good!r} ({place(good).split(',')[0]}); write "
            "all alike, or list the column in data.drop"
        )
    return f"{place(odd)}: {odd!r} is not a date such as {good or EXAMPLE!r}; {way_out(odd)}"


def _possible_formats(plain: Iterable[str | None]) -> list[str]:
    """The formats with the marks between figures and words that some text has; to try all would take long."""
    texts = [text for text in plain if isinstance(text, str) and re.search(r"\d\d", text)]
    with_zone = [re.sub(r"(?<=:\d\d )[+-]\d\d:?\d\d", "Z", text) for text in texts]
    marks = {re.sub(r"\w+", "", text) for text in with_zone}
    return [date_format for date_format in FORMATS if date_format == ISO or re.sub(r"%.|\w", "", date_format) in marks]


def _rewritten(texts: Iterable[str]) -> pd.Series[Any]:
    """Texts without names of weekdays and the like; those without a figure are missing, as pandas dates 'now'."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    cells: pa.Array = pa.array(texts if isinstance(texts, list) else list(texts), pa.string())
    if pc.any(pc.match_substring_regex(cells, r"[^\d/:.T+ -]|\s\s|\.0$")).as_py():
        for pattern, replacement in REWRITTEN:
            cells = pc.replace_substring_regex(cells, pattern, replacement)
    has_figures = pc.match_substring_regex(cells, r"\d")
    return pd.Series(pc.if_else(has_figures, cells, pa.scalar(None, pa.string())).to_pandas(), dtype="str")


DAY_FIRST_FORMATS = frozenset(date + time for date in DAY_FIRST for time in TIMES)
MONTH_FIRST_FORMATS = frozenset(date + time for date in MONTH_FIRST for time in TIMES)
