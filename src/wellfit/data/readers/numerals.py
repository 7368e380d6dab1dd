"""Numbers as people write them: with thousands separated, a currency, a percent sign or a unit, or in parentheses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

Decimal = Literal["point", "comma"]
MARKS: dict[Decimal, tuple[str, str]] = {"point": (".", ","), "comma": (",", ".")}  # of decimals, between thousands
NUMBER = r"^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|(?i:inf(?:inity)?))$"
BLANKS = " \u00a0\u202f"  # a blank, one that does not break the line, and a narrow one
CURRENCY = r"\p{Sc}"  # the signs that Unicode calls so
MINUS = "\u2212"
UNIT = r"(?:%|[\p{L}°]{1,8})"


class Spelling(NamedTuple):
    """How the numbers of a column are written.

    Attributes:
        decimal: point or comma; None: as computers write them, and in no other way.
        unit: stands after each number, such as ``%``; it is not part of the value.
        currency: a sign that may stand before or after a number.
    """

    decimal: Decimal | None
    unit: str = ""
    currency: str = ""


PLAIN = Spelling(None)


def find_spelling(texts: pa.Array | pa.ChunkedArray, decimal: Decimal) -> tuple[Spelling, float]:
    """The spelling that fits most cells of a column, and their share.

    Groups of three digits everywhere are thousands: ``1,234`` is 1234, unless the column has a ``1,5``.

    Args:
        texts: the cells, none of them missing.
        decimal: ``data.decimal``; a column may show a decimal comma by itself, but not a decimal point.
    """
    import pyarrow.compute as pc

    if decimal == "point" and plain_numbers(texts) is not None:
        return PLAIN, 1.0
    counted = pc.value_counts(texts)
    distinct, counts = counted.field("values"), counted.field("counts")
    currency = _commonest(distinct, f"(?P<sign>{CURRENCY})")
    units = dict.fromkeys(["", _commonest(distinct, rf"^.*\d[{BLANKS}]*(?P<unit>{UNIT})\+?\)?$")])
    marks: list[Decimal] = ["point", "comma"] if decimal == "point" else ["comma"]
    spellings = [PLAIN] if decimal == "point" else []
    spellings += [Spelling(mark, unit, currency) for unit in units for mark in marks]
    shares = [_share(spelled(distinct, spelling), counts) for spelling in spellings]
    best = max(range(len(spellings)), key=shares.__getitem__)  # of equal ones the first
    return spellings[best], shares[best]


def plain_numbers(texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray | None:
    """Cells as float64, null where missing; None if one is not a number as computers write it.

    The cast takes what `NUMBER` takes, and nan, in a fraction of the time.
    """
    import pyarrow.compute as pc
    from pyarrow import ArrowInvalid

    try:
        values = texts.cast("float64")
    except ArrowInvalid:
        return None
    return None if pc.any(pc.is_nan(values)).as_py() else values


def spelled(texts: pa.Array | pa.ChunkedArray, spelling: Spelling) -> pa.Array | pa.ChunkedArray:
    """Whether each cell is a number in a spelling; null where it is missing."""
    import pyarrow.compute as pc

    if spelling.decimal is None:
        return pc.match_substring_regex(texts, NUMBER)
    pattern = _pattern(spelling)
    return pc.match_substring_regex(_clean(texts), pattern if spelling.unit else f"{NUMBER}|{pattern}")


def resemble_numbers(texts: pa.Array | pa.ChunkedArray) -> float:
    """The share of cells that are numbers in whatever spelling."""
    import pyarrow.compute as pc

    sign = f"{CURRENCY}?"
    any_amount = "|".join(_amount(mark, sign, rf"(?:{CURRENCY}|{UNIT})?") for mark in MARKS)
    counted = pc.value_counts(texts)
    fits = pc.match_substring_regex(_clean(counted.field("values")), f"^(?:{any_amount})$")
    return _share(fits, counted.field("counts"))


def as_computers_write(texts: pa.Array | pa.ChunkedArray, spelling: Spelling) -> pa.Array | pa.ChunkedArray:
    """Cells in a spelling as text that can be cast to numbers; what is in another one stays as it is."""
    import pyarrow.compute as pc

    if spelling.decimal is None:
        return texts
    mark, between = MARKS[spelling.decimal]
    clean = _clean(texts)
    bare = pc.replace_substring_regex(clean, r"^\((.*)\)$", r"-\1")
    for extra in (f"{CURRENCY}|[{BLANKS}']", r"\+$", f"{re.escape(spelling.unit)}$", re.escape(between)):
        bare = pc.replace_substring_regex(bare, extra, "")
    bare = pc.replace_substring(bare, mark, ".")
    return pc.if_else(pc.match_substring_regex(clean, _pattern(spelling)), bare, clean)


def _pattern(spelling: Spelling) -> str:
    assert spelling.decimal is not None
    sign = f"(?:{re.escape(spelling.currency)})?"
    return f"^{_amount(spelling.decimal, sign, re.escape(spelling.unit) or sign)}$"


def _amount(decimal: Decimal, sign: str, unit: str) -> str:
    """The pattern of a number with these patterns before and after it."""
    mark, between = map(re.escape, MARKS[decimal])
    # Group by group: three digits after the first, which does not begin with zero.
    grouped = rf"[1-9]\d{{0,2}}(?:(?:{between}\d{{3}})+|(?:[{BLANKS}']\d{{3}})+)"
    number = rf"(?:(?:{grouped}|\d+)(?:{mark}\d*)?|{mark}\d+)"
    after = rf"[{BLANKS}]*{unit}\+?"
    return rf"(?:(?:[+-]?{sign}|{sign}[{BLANKS}]*[+-])[{BLANKS}]*{number}{after}|\({sign}{number}{after}\))"


def _clean(texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    import pyarrow.compute as pc

    return pc.utf8_trim_whitespace(pc.replace_substring(texts, MINUS, "-"))


def _commonest(texts: pa.Array | pa.ChunkedArray, pattern: str) -> str:
    """What the only group of a pattern finds in most texts; "" where it finds nothing."""
    import pyarrow.compute as pc

    found = pc.value_counts(pc.struct_field(pc.extract_regex(texts, pattern), 0).drop_null())
    return max(found.to_pylist(), key=lambda pair: pair["counts"])["values"] if len(found) else ""


def _share(fits: pa.Array | pa.ChunkedArray, counts: pa.Array | None = None) -> float:
    """The share of true values, each of which may count more than once."""
    import pyarrow.compute as pc

    numbers = fits.cast("float64")
    if counts is None:
        return float(pc.mean(numbers).as_py())
    return float(pc.sum(pc.multiply(numbers, counts.cast("float64"))).as_py() / pc.sum(counts).as_py())
