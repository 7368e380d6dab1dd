"""Dates: which of the common spellings a column has, and the numbers that are made of a date."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wellfit.errors import WellfitError

if TYPE_CHECKING:
    import pandas as pd

# Of pandas.to_datetime. Day and month in figures can be mistaken for each other, except between full stops.
DAY_FIRST = [f"%d{mark}%m{mark}{year}" for mark in "-/" for year in ("%Y", "%y")]
MONTH_FIRST = [f"%m{mark}%d{mark}{year}" for mark in "-/" for year in ("%Y", "%y")]
OTHERS = ["%d.%m.%Y", "%d.%m.%y"]
OTHERS += [f"%d{mark}%b{mark}{year}" for mark in ("-", " ", "/", "") for year in ("%Y", "%y")]
OTHERS += ["%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y", "%d. %B %Y"]
TIMES = ["", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p"]
ISO = "ISO8601"
FORMATS = [ISO, *(date + time for time in TIMES for date in (*DAY_FIRST, *MONTH_FIRST, *OTHERS))]
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


def parse(texts: Iterable[str], date_format: str) -> pd.DatetimeIndex:
    """Dates without a time zone (in UTC, if they have one), NaT where a text is not a date in this format."""
    import pandas as pd

    # Without this, pandas takes 'now' for a date.
    dated: pd.Series[Any] = pd.Series([text if any(map(str.isdigit, text)) else None for text in texts], dtype="str")
    dates = pd.to_datetime(dated, format=date_format, errors="coerce", utc=True).dt.tz_localize(None)
    return pd.DatetimeIndex(dates.where(dates.dt.year.between(FIRST_YEAR, LAST_YEAR)))


def _is_date(texts: Iterable[str], date_format: str) -> NDArray[np.bool_]:
    return np.asarray(parse(texts, date_format).notna())


def are_dates(texts: Sequence[str]) -> bool:
    """Whether more than half of the texts are dates, judged by the first ones."""
    sample = texts[:SAMPLE]
    known = np.zeros(len(sample), bool)
    for date_format in _possible_formats(sample):
        known |= _is_date(sample, date_format)
    return 2 * int(known.sum()) > len(sample)


def find_format(cells: pd.Series[Any], day_first: bool | None, row: Callable[[int], str]) -> str:
    """The one format in which all cells of a column are dates.

    Args:
        cells: a categorical of texts; its index counts the rows from 0; at least one is not missing.
        day_first: settles what the cells leave open: is 04-09-2012 in September, or in April?
        row: says where a row is, for messages.

    Raises:
        WellfitError: a cell is not a date, or in another spelling than most; or nothing tells day and month apart.
    """
    used = cells.cat.remove_unused_categories()
    texts = used.cat.categories
    parsed = {f: _is_date(texts, f) for f in _possible_formats(texts[:SAMPLE])}
    fitting = [date_format for date_format, is_date in parsed.items() if is_date.all()]

    def first_row(text: str) -> str:
        return row(int(cells.index[(used == text).to_numpy()][0]))

    if not fitting:
        best = max(parsed, key=lambda date_format: int(parsed[date_format].sum()))
        odd, good = texts[~parsed[best]][0], next(iter(texts[parsed[best]]), None)
        if good and any(_is_date([odd], other).all() for other in _possible_formats([odd])):
            raise WellfitError(
                f"{first_row(odd)}, column {cells.name!r}: {odd!r} is a date in another spelling than {good!r} "
                f"({first_row(good)}); write all alike, or list the column in data.drop"
            )
        raise WellfitError(
            f"{first_row(odd)}, column {cells.name!r}: {odd!r} is not a date such as {good or EXAMPLE!r}; mend it, add "
            "it to data.missing, or list the column in data.drop or data.categorical"
        )
    orders = {order for date_format in fitting if (order := _day_first(date_format)) is not None}
    if len(orders) < 2:
        return fitting[0]
    if day_first is None:
        raise WellfitError(
            f"{first_row(texts[0])}, column {cells.name!r}: {texts[0]!r} may begin with the day or with the month, as "
            "all other dates of the column; set data.day_first to true or false (params.yaml)"
        )
    return next(date_format for date_format in fitting if _day_first(date_format) == day_first)


def _possible_formats(texts: Iterable[str]) -> list[str]:
    """The formats with the marks between figures and words that some text has; to try all would take long."""
    marks = {re.sub(r"\w+|(?<=\s)\s", "", text) for text in texts if re.search(r"\d\d", text)}
    return [date_format for date_format in FORMATS if date_format == ISO or re.sub("%.", "", date_format) in marks]


def _day_first(date_format: str) -> bool | None:
    """Whether the day stands before the month, where figures alone would not say."""
    begin = date_format.split(" ")[0]
    return None if begin not in (*DAY_FIRST, *MONTH_FIRST) else begin in DAY_FIRST
