"""Numbers as people write them: with thousands separated, a currency, a percent sign or a unit, or in parentheses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

Decimal = Literal["point", "comma"]
MARKS: dict[Decimal, tuple[str, str]] = {"point": (".", ","), "comma": (",", ".")}  # of decimals, between thousands
NUMBER = r"^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|(?i:inf(?:inity)?))$"
# The same, but for those with three digits after a point, which may stand between thousands.
SURE_NUMBER = r"^[+-]?(?:(?:\d+\.?|\d*\.(?:\d\d?|\d{4,}))(?:[eE][+-]?\d+)?|(?i:inf(?:inity)?))$"
DECIMAL_POINT, DOUBTFUL_POINT = r"^[^,]*\.(?:\d\d?|\d{4,})(?:\D|$)", r"^[^,.]*\b\d{1,3}\.\d{3}\b[^,.]*$"
BLANKS = " \u00a0\u202f\u2009"  # a blank, one that does not break the line, and narrow ones
APART = f"{BLANKS}'\u2019"  # what may stand between thousands besides a point or a comma
SIGNS = ["#", "№", "No.", "Nr.", "~", "≈"]  # before numbers
CURRENCIES = [
    *("USD", "EUR", "GBP", "CHF", "JPY", "CNY", "RMB", "INR", "CAD", "AUD", "NZD", "SEK", "NOK", "DKK", "PLN", "CZK"),
    *("HUF", "RUB", "TRY", "BRL", "MXN", "ZAR", "SGD", "HKD", "KRW", "THB", "IDR", "MYR", "PHP", "AED", "SAR", "NGN"),
    *("PKR", "EGP", "ILS", "UAH", "Rs.", "Rs", "kr.", "kr", "Kr.", "Kr", "zł", "Kč", "Ft", "Fr."),
]
# What Unicode calls a sign of a currency, with letters before it as in US$, or one of the words.
CURRENCY = rf"(?:\p{{L}}{{0,3}}\p{{Sc}}|{'|'.join(map(re.escape, [*CURRENCIES, *SIGNS]))})"
MINUS = "\u2212"
QUOTED = r"""^\s*=?["']([^"']*)["']?\s*$"""  # as spreadsheets write numbers that are to stay text: ="5" or '5
# Marks after a number, or [2], that point to a footnote.
FOOTNOTE = r"([\p{L}\d%.)])\s*(?:[*†‡§¶]{1,3}|(?:\[[\p{L}\d ]{1,8}\])+)\s*$"
BOUND_WORDS = r"(?i:(?:less|fewer|more|greater) than|under|over|below|above|at least|at most|up to)\s"
BOUND = rf"^\s*(?:[<>]=?|=[<>]|[≤≥]|{BOUND_WORDS})\s*"
BOUNDED = BOUND + r"[^\p{L}\d]{0,2}\d"
LETTERS = r"[\p{L}°²³µ]"
FEW_UNITS = 5
WORD = r"(?:%|[kKMGgmlts]|[\p{L}°]{2,8})"  # of which any may stand after a number
POWER = r"(?:[mcdk]?m|ft|in|yd|mi)[23]"  # areas and volumes, without a superscript
UNIT = rf"(?:[%‰″]|/[{BLANKS}]*\d{{1,3}}|{POWER}|{LETTERS}{{1,10}}\.?(?:[/{BLANKS}](?:{POWER}|{LETTERS}{{1,8}}))?)"
CLOCK = r"^(?:(?P<first>\d{1,3}):)?(?P<second>\d{1,3}):(?P<third>[0-5]\d(?:\.\d+)?)$"
DAYTIME = r"^(?P<hour>0?[1-9]|1[0-2])(?::(?P<minute>[0-5]\d))?(?::(?P<second>[0-5]\d))? ?(?P<half>[aApP])\.?[mM]\.?$"
# Words after numbers that multiply them, and by which power of ten. A column has two or more of one table.
MULTIPLES: dict[str, dict[str, int]] = {
    "numbers": {
        **{"k": 3, "thousand": 3, "lakh": 5, "lac": 5, "m": 6, "mn": 6, "mio": 6, "million": 6, "cr": 7, "crore": 7},
        **{"g": 9, "b": 9, "bn": 9, "billion": 9, "t": 12, "tn": 12, "trillion": 12},
    },
    "bytes": {"b": 0, "bytes": 0, "kb": 3, "mb": 6, "gb": 9, "tb": 12},
}
SAMPLE = 2000  # different cells that show currencies and units
SURE = {"k", "K", "M", "bn", "Bn", "mn", "thousand", "million", "billion", "trillion", "lakh", "crore"}
SURE_ALONE = SURE - {"K", "M"}  # kelvins and metres


class Spelling(NamedTuple):
    """How the numbers of a column are written.

    Attributes:
        decimal: point or comma; None: as computers write them, and in no other way.
        unit: stands after each number, such as ``%``; it is not part of the value.
        currency: a sign that may stand before or after a number.
        multiples: the table of `MULTIPLES` whose words may stand after a number; or clock, for times such as 12:30,
            which count in the last of their units; or am/pm, for 9:05 pm, in minutes after midnight; empty: none.
    """

    decimal: Decimal | None
    unit: str = ""
    currency: str = ""
    multiples: str = ""


PLAIN = Spelling(None)
TIMES, OF_DAY = Spelling("point", multiples="clock"), Spelling("point", multiples="am/pm")


def find_spelling(texts: pa.Array | pa.ChunkedArray, decimal: Decimal) -> tuple[Spelling, float]:
    """The spelling that fits most cells of a column, and their share.

    Groups of three digits everywhere are thousands: ``1,234`` is 1234, unless the column has a ``1,5``.

    Args:
        texts: the cells, none of them missing.
        decimal: ``data.decimal``; the other mark is taken where only that fits.
    """
    import pyarrow.compute as pc

    counted = pc.value_counts(texts)
    return find_spelling_of(counted.field("values"), counted.field("counts"), decimal)


def find_spelling_of(distinct: pa.Array, counts: pa.Array, decimal: Decimal) -> tuple[Spelling, float]:
    """As `find_spelling`, of the different cells of a column and how often each occurs."""
    if decimal == "point" and plain_numbers(distinct) is not None:
        return PLAIN, 1.0
    sample = distinct.take(np.linspace(0, len(distinct) - 1, min(len(distinct), SAMPLE)).astype(np.int64))
    clean = _clean(sample)
    currency = _commonest(clean, rf"^[(+-]*(?P<sign>{CURRENCY})[{BLANKS}]*[\d.,+-]")
    currency = currency or _commonest(clean, rf"\d[{BLANKS}]*(?P<sign>{CURRENCY})[)+-]*$")
    units = _units(clean)
    multiples = _multiples(units, clean)
    unit = "" if multiples else next(iter(units), "")
    marks: tuple[Decimal, Decimal] = ("point", "comma") if decimal == "point" else ("comma", "point")
    spellings = [Spelling(mark, each, currency) for each in dict.fromkeys(["", unit]) for mark in marks]
    spellings.insert(0 if decimal == "point" or first_match(clean, DECIMAL_POINT) else 1, PLAIN)
    if _share(spelled(sample, TIMES)) == 1 and _share(spelled(distinct, TIMES)) == 1:
        return TIMES, 1.0
    spellings.append(OF_DAY)
    if multiples:
        spellings += [Spelling(mark, "", currency, multiples) for mark in marks]
    # Of a long column, all cells are looked at only in the spellings that some cells of the sample have.
    likely = [spelling for spelling in spellings if _share(spelled(sample, spelling)) > 0] or spellings[:1]
    shares = [_share(spelled(distinct, spelling), counts) for spelling in likely]
    best = max(range(len(likely)), key=shares.__getitem__)  # of equal ones the first
    return likely[best], shares[best]


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
    if spelling.multiples == "clock":
        return pc.match_substring_regex(texts, CLOCK)
    if spelling.multiples == "am/pm":
        return pc.match_substring_regex(texts, DAYTIME)
    pattern = _pattern(spelling)
    plain = "" if spelling.unit else f"{NUMBER if spelling.decimal == 'point' else SURE_NUMBER}|"
    return pc.match_substring_regex(_clean(texts), plain + pattern)


def resemble_numbers(texts: pa.Array | pa.ChunkedArray, counts: pa.Array | None = None) -> float:
    """The share of cells that are numbers in whatever spelling, each of which may count more than once.

    Figures before many different words, as in addresses and codes, are no numbers.
    """
    import pyarrow.compute as pc

    if len(_units(_clean(texts[:SAMPLE]))) > FEW_UNITS:
        return 0.0
    if len(texts) > SAMPLE and resemble_numbers(texts[:SAMPLE]) == 0:
        return 0.0
    any_amount = "|".join(_amount(mark, f"{CURRENCY}?", f"(?:{CURRENCY}|{WORD})?") for mark in MARKS)
    any_amount += rf"|[+-]?\d*[.,]\d+[{BLANKS}]?\p{{L}}"  # with decimals, which no code has, any letter
    return _share(pc.match_substring_regex(_clean(texts), f"^(?:{any_amount})$"), counts)


def has_footnote(texts: pa.Array) -> pa.Array:
    """Whether each cell ends in a mark that points to a footnote, such as 4.5* or 1,234[2]."""
    import pyarrow.compute as pc

    return pc.match_substring_regex(texts, FOOTNOTE)


def has_bound(texts: pa.Array) -> pa.Array:
    """Whether each cell is a bound, such as <0.5 or >= 100."""
    import pyarrow.compute as pc

    return pc.match_substring_regex(texts, BOUNDED)


def bare_of_bounds(texts: pa.Array) -> pa.Array:
    """Cells without what makes them bounds."""
    import pyarrow.compute as pc

    return pc.replace_substring_regex(texts, BOUND, "")


def doubtful_marks(distinct: pa.Array, spelling: Spelling) -> list[str]:
    """Two cells of a column whose points and commas contradict each other, such as 1,234 and 1.234; empty: none do.

    Args:
        distinct: the different cells of a column.
        spelling: what `find_spelling` found.
    """
    import pyarrow.compute as pc

    doubtful, proof = first_match(distinct, DOUBTFUL_POINT), first_match(distinct, DECIMAL_POINT)
    if spelling.decimal is None or not doubtful:
        return []
    if spelling.decimal == "comma":
        return [proof, doubtful] if proof else []
    comma = first_match(distinct, r"\d,")
    may_be_decimal = comma and not proof and pc.all(spelled(distinct, spelling._replace(decimal="comma"))).as_py()
    return [comma, doubtful] if may_be_decimal else []


def first_match(texts: pa.Array | pa.ChunkedArray, pattern: str) -> str:
    """The first text that a pattern finds something in; empty: there is none."""
    import pyarrow.compute as pc

    first = pc.index(pc.match_substring_regex(texts, pattern), True).as_py()
    return str(texts[first].as_py()) if first >= 0 else ""


def as_computers_write(texts: pa.Array | pa.ChunkedArray, spelling: Spelling) -> pa.Array | pa.ChunkedArray:
    """Cells in a spelling as text that can be cast to numbers; what is in another one stays as it is."""
    import pyarrow.compute as pc

    if spelling.decimal is None:
        return texts
    if spelling.multiples == "clock":
        return _seconds(texts)
    if spelling.multiples == "am/pm":
        return _minutes(texts)
    mark, between = MARKS[spelling.decimal]
    clean = _clean(texts)
    bare = pc.replace_substring_regex(clean, r"^\((.*)\)$", r"-\1")
    unit, currency = re.escape(spelling.unit), re.escape(spelling.currency)
    for extra in (r"\+$", f"{unit}$", currency, f"[{APART}]", re.escape(between)):
        bare = pc.replace_substring_regex(bare, extra, "")
    bare = pc.replace_substring_regex(bare, r"^(.*)-$", r"-\1")
    bare = pc.replace_substring(bare, mark, ".")
    for word, power in MULTIPLES.get(spelling.multiples, {}).items():
        bare = pc.replace_substring_regex(bare, rf"(?i)([\d.]){word}$", rf"\1e{power}")
    return pc.if_else(pc.match_substring_regex(clean, _pattern(spelling)), bare, clean)


def _seconds(texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Times such as 1:02:30 and 12:30, as text, in the last of their units: 60 of one make one of the next."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = pc.extract_regex(texts, CLOCK)
    total: pa.Array | pa.ChunkedArray = pa.scalar(0.0)
    for part in range(3):
        digits = pc.struct_field(found, part)
        total = pc.add(pc.multiply(total, 60.0), pc.if_else(pc.equal(digits, ""), "0", digits).cast("float64"))
    return pc.coalesce(total.cast("string"), texts)


def _minutes(texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Times of day such as 9:05 pm, as text, in minutes after midnight."""
    import pyarrow.compute as pc

    found = pc.extract_regex(texts, DAYTIME)
    hour, minute, second, half = (pc.struct_field(found, part) for part in range(4))
    hours = pc.add(
        pc.if_else(pc.equal(hour, "12"), "0", hour).cast("float64"),
        pc.if_else(pc.equal(pc.utf8_lower(half), "p"), 12.0, 0.0),
    )
    minutes = pc.if_else(pc.equal(minute, ""), "0", minute).cast("float64")
    seconds = pc.if_else(pc.equal(second, ""), "0", second).cast("float64")
    total = pc.add(pc.add(pc.multiply(hours, 60.0), minutes), pc.divide(seconds, 60.0))
    return pc.coalesce(total.cast("string"), texts)


def _pattern(spelling: Spelling) -> str:
    assert spelling.decimal is not None
    sign = f"(?:{re.escape(spelling.currency)})?"
    unit = re.escape(spelling.unit) or sign
    if spelling.multiples:
        unit = f"(?i:{'|'.join(MULTIPLES[spelling.multiples])})?{sign}"
    return f"^{_amount(spelling.decimal, sign, unit)}$"


def _amount(decimal: Decimal, sign: str, unit: str) -> str:
    """The pattern of a number with these patterns before and after it."""
    mark, between = map(re.escape, MARKS[decimal])
    # Group by group: three digits after the first, which does not begin with zero; in India two, but for the last.
    grouped = rf"[1-9]\d{{0,2}}(?:(?:{between}\d{{3}})+|(?:[{APART}]\d{{3}})+)"
    if decimal == "point":
        grouped += rf"|[1-9]\d?(?:{between}\d\d)+{between}\d{{3}}"
    number = rf"(?:(?:{grouped}|\d+)(?:{mark}\d*)?|{mark}\d+)(?:[eE][+-]?\d{{1,3}})?"
    after = rf"[{BLANKS}]*{unit}\+?"
    signed = rf"(?:[+-]?{sign}|{sign}[{BLANKS}]*[+-])[{BLANKS}]*{number}{after}"
    return rf"(?:{signed}|\({sign}[{BLANKS}]*{number}{after}\)|{sign}[{BLANKS}]*{number}{after}-)"


def _clean(texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    import pyarrow.compute as pc

    bare = pc.replace_substring_regex(texts, QUOTED, r"\1")
    bare = pc.replace_substring_regex(pc.replace_substring(bare, MINUS, "-"), FOOTNOTE, r"\1")
    return pc.utf8_trim_whitespace(bare)


def _units(clean: pa.Array) -> list[str]:
    """What stands after the last digit of the cells, the most frequent first."""
    import pyarrow.compute as pc

    found = pc.extract_regex(clean, rf"^[^\p{{L}}]*(?:{CURRENCY})?.*\d\.?[{BLANKS}]*(?P<unit>{UNIT})\+?[)-]?$")
    counted = pc.value_counts(pc.struct_field(found, 0).drop_null()).to_pylist()
    return [pair["values"] for pair in sorted(counted, key=lambda pair: -pair["counts"])]


def _multiples(units: list[str], clean: pa.Array) -> str:
    """The table of `MULTIPLES` that has all of these units, if they differ; empty: none has."""
    import pyarrow.compute as pc

    words = {unit.casefold() for unit in units}
    some_without = pc.any(pc.match_substring_regex(clean, r"\d\.?$")).as_py()
    if len(words) < 2 and not (some_without and SURE & set(units)) and not SURE_ALONE & set(units):
        return ""
    return next((name for name, table in MULTIPLES.items() if words and words <= set(table)), "")


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
