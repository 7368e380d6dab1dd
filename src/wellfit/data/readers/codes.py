"""Whole numbers that are no amounts: days such as 20240531, codes such as 01234, and those that number the rows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from wellfit.data.dates import ISO, parse

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

FIRST_DAY, LAST_DAY = 19000101, 21001231
MANY_DAYS = 20  # different whole numbers, all of which are days: no others would be
MOST_ZEROS = 0.5  # numbers filled up with zeros begin with one more often than codes do
SOME_ROWS = 20  # fewer may count from 1 to their number by chance
NEARLY_ALL = 0.9  # of the rows have a number of their own, if some rows are repeated
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
OF_DAYS = {
    "date",
    "day",
    "dt",
    "datum",
    "fecha",
    "data",
    "jour",
    "dteday",
    "yyyymmdd",
    "ymd",
    "when",
    "dob",
    "birthday",
}
OF_TIMES = {
    *("year", "yr", "years", "month", "week", "day", "days", "date", "time", "hour", "minute", "second", "quarter"),
    *("timestamp", "stamp", "epoch", "period", "season", "t", "age", "dt", "when"),
}
OF_ROWS = {
    *("id", "ids", "uid", "uuid", "guid", "pk", "rowid", "rownum", "rownumber", "recordid", "userid", "clientid"),
    *("customerid", "custid", "orderid", "productid", "itemid", "patientid", "caseid", "personid", "memberid"),
    *("passengerid", "employeeid", "empid", "transactionid", "loanid", "studentid", "objectid", "sessionid"),
}
OF_NUMBERS = {"no", "nr", "num", "number", "index", "idx", "key", "serial", "sno", "srno", "clientnum", "row", "rowno"}
UNNAMED = re.compile(r"unnamed: \d+.*|index|level_\d+|idx|row|#|", re.IGNORECASE)


def are_days(name: str, cells: pa.Array | pa.ChunkedArray) -> bool:
    """Whether whole numbers, as numbers or as text, are all days such as 20240531: year, month and day.

    Args:
        name: of the column; where it says that these are days, few are enough.
        cells: none missing.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(cells.type):
        lengths = pc.min_max(pc.binary_length(cells)).as_py()
        if not len(cells) or lengths["min"] < len("20240531") or lengths["max"] > len("20240531.0"):
            return False
        fit = pc.all(pc.match_substring_regex(cells, r"^(?:19|20)\d{6}(?:\.0)?$"), min_count=1).as_py()
    else:
        ends = pc.min_max(cells).as_py()
        fit = len(cells) and ends["min"] >= FIRST_DAY and ends["max"] <= LAST_DAY
    if not fit:
        return False
    distinct = cells.unique().cast("string").to_pylist()
    enough = len(distinct) >= MANY_DAYS or OF_DAYS & set(_words(name))
    return bool(enough) and bool(parse(distinct, (ISO,)).notna().all())


def code_with_zero(texts: pa.Array | pa.ChunkedArray) -> str:
    """A text that begins with a zero, where all are figures of one length, and few begin so; empty: these are amounts.

    Args:
        texts: at least one, none missing.
    """
    import pyarrow.compute as pc

    example = filled_with_zeros(texts)
    if len(example) < 3:
        return ""
    share = pc.mean(pc.starts_with(texts, "0").cast("float64")).as_py()
    return example if share <= MOST_ZEROS else ""


def filled_with_zeros(texts: pa.Array | pa.ChunkedArray) -> str:
    """A text that begins with a zero, if all are figures of one length; empty: there is none, or they are not."""
    import pyarrow.compute as pc

    lengths = pc.min_max(pc.binary_length(texts)).as_py()
    if lengths["min"] != lengths["max"] or not pc.all(pc.match_substring_regex(texts, r"^\d\d+$")).as_py():
        return ""
    with_zero = texts.filter(pc.starts_with(texts, "0"))
    telling = with_zero.filter(pc.match_substring_regex(with_zero, "[1-9]"))  # 000 says little
    found: list[str] = (telling if len(telling) else with_zero)[:1].to_pylist()
    return found[0] if found else ""


def number_the_rows(column: pd.Series[Any]) -> str:
    """How a column of numbers seems to number the rows, in words; empty: it does not.

    That is so where it counts without a gap, in whatever order, or where its name says so and (nearly) every row has a
    number of its own. Times may count.
    """
    if column.hasnans or not (column == column.round()).all():
        return ""
    n_rows, distinct, low, high = len(column), column.nunique(), column.min(), column.max()
    is_id = has_name_of_rows(str(column.name))
    words = _words(str(column.name))
    is_number = is_id or bool(OF_NUMBERS & set(words[-1:]))
    counts = distinct == n_rows == high - low + 1 and not OF_TIMES & set(words)
    if counts and (is_number or n_rows >= SOME_ROWS):
        return f"counts the rows, from {low:.0f} to {high:.0f}"
    if (distinct == n_rows and is_number) or (distinct > NEARLY_ALL * n_rows and is_id):
        return f"names the rows, with {distinct:,} different whole numbers in {n_rows:,} rows"
    return ""


def has_name_of_rows(name: str) -> bool:
    """Whether a column is called as those are that name a row, such as id, CustomerId and ``Unnamed: 0``."""
    words = _words(name)
    return UNNAMED.fullmatch(name) is not None or "id" in words[:1] or bool(OF_ROWS & set(words[-1:]))


def _words(name: str) -> list[str]:
    """The words of a name such as CustomerId, in lower case."""
    return [word.lower() for word in WORD.findall(name)]
