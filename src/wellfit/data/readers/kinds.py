"""Decides from all cells of a column what it holds: numbers, categories, dates or text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wellfit.data.dates import ISO, SAMPLE, are_dates, find_formats, parse
from wellfit.data.meta import Source
from wellfit.data.readers.codes import are_days, code_with_zero, filled_with_zeros
from wellfit.data.readers.columns import Columns, most_categories, truth
from wellfit.data.readers.gaps import find_gaps, gaps_in_words, listed
from wellfit.data.readers.numerals import (
    DECIMAL_POINT,
    PLAIN,
    Spelling,
    as_computers_write,
    doubtful_marks,
    find_spelling,
    find_spelling_of,
    first_match,
    has_footnote,
    plain_numbers,
    resemble_numbers,
    spelled,
)
from wellfit.data.readers.odd_cells import (
    BUT_FOR_ONE_WORD,
    BUT_FOR_WORDS,
    MANY,
    MOSTLY,
    Cells,
    counted,
    refuse_bounds,
    refuse_points,
    refuse_texts,
    refuse_units,
    refuse_words,
)
from wellfit.errors import WellfitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from wellfit.data.settings import DataConfig

EXAMPLES = 1000  # different cells, of which one is shown
UNITS = {"clock": ", in its smallest unit", "am/pm": " minutes after midnight"}  # by the multiples of a spelling

ORDINAL = r"\d(?:st|nd|rd|th)$"
COMMA, POINT = r"\d,", r"\.\d"


def infer_source(columns: Columns, name: str, data: DataConfig) -> Source:
    """What a column holds, and how its cells are read. ``data.numeric`` and ``data.categorical`` override that.

    Words for missing values, such as ``-``, do not count in columns of numbers or dates. Text is read as numbers if all
    of its cells are, in one spelling; as dates if most are; and as categories if it has fewer than it has text to
    itself. Booleans are categories, as is what a Parquet file declares as such.

    Raises:
        WellfitError: lists or other types; a cell that is no date among dates; or words that recur among numbers or
            dates, and may stand for missing values.
    """
    from pyarrow import types

    if name in data.categorical or (columns.is_declared(name) and name not in data.numeric):
        return Source(name=name, kind="categories")
    cells = columns.cells(name)
    kind = cells.type
    if types.is_string(kind):
        return _infer_text(columns, name, cells.drop_null(), data)
    if types.is_integer(kind) and name not in data.numeric and are_days(name, cells.drop_null()):
        return _dates(columns, name, counted(cells.drop_null().cast("string")), {}, data)
    if name in data.numeric or types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return Source(name=name, kind="numbers")
    if types.is_timestamp(kind) or types.is_date(kind):
        first = cells.drop_null()[:1].cast("string").to_pylist()
        return Source(name=name, kind="dates", formats=(ISO,), note=_example_date(first, (ISO,)))
    if types.is_boolean(kind):
        return Source(name=name, kind="categories", words=("false", "true"))
    if types.is_null(kind):
        return Source(name=name, kind="categories")
    raise WellfitError(f"{columns.path} column {name!r}: {kind} is neither numbers nor text; list it in data.drop")


def check_decimals(columns: Columns, sources: Sequence[Source], data: DataConfig) -> None:
    """Refuses ``data.decimal: comma`` where a column has decimal points, and another may have commas for thousands.

    Raises:
        WellfitError: so it is.
    """
    if data.decimal != "comma":
        return
    pointed = dotted = None
    for source in sources:
        cells = columns.cells(source.name, source.gaps) if source.kind == "numbers" else None
        if cells is None or not len(cells.drop_null()) or str(cells.type) != "string":
            continue
        if source.decimal == "comma":
            if _reads_as_thousands(cells.drop_null(), source):
                dotted = dotted or (source.name, first_match(cells, COMMA))
        elif example := first_match(cells, DECIMAL_POINT) or first_match(cells, POINT):
            pointed = pointed or (source.name, example)
    if pointed and dotted and dotted[1]:
        raise WellfitError(
            f"{columns.path}: data.decimal is comma, but column {pointed[0]!r} has decimal points ({pointed[1]!r}), so "
            f"the comma of {dotted[1]!r} in column {dotted[0]!r} is likely to stand between thousands; set "
            "data.decimal to point (params.yaml)"
        )


def _infer_text(columns: Columns, name: str, texts: pa.ChunkedArray, data: DataConfig) -> Source:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not len(texts):
        return Source(name=name, kind="numbers" if name in data.numeric else "categories")
    if data.decimal == "point" and plain_numbers(texts) is not None:
        return _infer_plain(columns, name, texts, PLAIN, {}, data)
    everything = counted(texts)
    is_gap = pc.is_in(everything.distinct, value_set=pa.array(find_gaps(everything.distinct), pa.string()))
    cells, gaps = everything.where(pc.invert(is_gap)), everything.where(is_gap).as_dict()
    if not len(cells.distinct):
        return _words(name, everything, data)
    spelling, share = find_spelling_of(*cells, data.decimal)
    if share == 1 and (spelling == PLAIN or not first_match(cells.distinct, r"\D")):
        return _infer_plain(columns, name, cells.distinct, spelling, gaps, data)
    if name in data.numeric or len(cells.distinct) > MANY:
        refuse_bounds(columns, name, cells, data.decimal)
    if name in data.numeric or (share > MOSTLY and not _marks_tell(cells)):
        return _numbers(columns, name, cells, spelling, gaps, data)
    if are_dates(cells.distinct[:SAMPLE].to_pylist()):
        return _dates(columns, name, cells, gaps, data)
    if source := _yes_or_no(name, everything.as_dict()):
        return source
    is_alike = spelled(cells.distinct, spelling)
    alike, others = cells.where(is_alike), cells.where(pc.invert(is_alike))
    is_text = len(cells.distinct) > _most_categories(cells, data)
    if (
        share > (BUT_FOR_ONE_WORD if is_text or len(others.distinct) == 1 else BUT_FOR_WORDS)
        and len(alike.distinct) > MANY
    ):
        refuse_words(columns, name, others, "numbers")
    resemble = resemble_numbers(*cells) > MOSTLY
    is_rank = bool(first_match(cells.distinct, ORDINAL)) and not is_text
    if resemble and not is_rank and len(cells.distinct) > MANY and len(others.distinct):
        refuse_units(columns, name, alike, others)
    if is_text and share > BUT_FOR_WORDS and len(others.distinct):
        refuse_texts(columns, name, alike, others)
    unlike = f"numbers such as {cells.distinct[0].as_py()!r} that are not written alike"
    return _words(name, cells, data, unlike if resemble else "")


def _marks_tell(cells: Cells) -> bool:
    """Whether marks after numbers are no footnotes: most cells have one, as masked codes do, or these are grades."""
    share = cells.where(has_footnote(cells.distinct)).total() / cells.total()
    return share > 0.5 or (share > 1 - MOSTLY and len(cells.distinct) <= MANY)


def _infer_plain(
    columns: Columns,
    name: str,
    texts: pa.Array | pa.ChunkedArray,
    spelling: Spelling,
    gaps: dict[str, int],
    data: DataConfig,
) -> Source:
    """Numbers as computers write them, which may be days or codes."""
    if name not in data.numeric:
        if are_days(name, texts):
            return _dates(columns, name, counted(texts), gaps, data)
        if code := code_with_zero(texts):
            everything = counted(columns.cells(name).drop_null())
            return _words(name, everything, data, f"codes, as {code!r} begins with a zero")
        if data.decimal == "point" and _may_have_decimal_commas(data):
            refuse_points(columns, name, texts)
    zero = filled_with_zeros(texts)
    as_code = ", data.categorical keeps it as a code" if zero and columns.may_be_categories(name) else ""
    filled_up = f"{zero!r} is {float(zero):.10g}{as_code}" if zero else ""
    note = _joined(filled_up, gaps_in_words(gaps))
    return Source(name=name, kind="numbers", note=note, gaps=tuple(gaps), **spelling._asdict())


def _words(name: str, cells: Cells, data: DataConfig, note: str = "") -> Source:
    """Categories, or text where they are too many."""
    if len(cells.distinct) > _most_categories(cells, data):
        return Source(name=name, kind="text")
    return Source(name=name, kind="categories", note=note)


def _most_categories(cells: Cells, data: DataConfig) -> float:
    return most_categories(cells.total(), min(MANY, data.max_categories))


def _numbers(
    columns: Columns, name: str, cells: Cells, spelling: Spelling, gaps: dict[str, int], data: DataConfig
) -> Source:
    import pyarrow.compute as pc

    if name not in data.numeric:
        refuse_words(columns, name, cells.where(pc.invert(spelled(cells.distinct, spelling))), "numbers")
    if data.decimal == "point" and spelling.decimal == "comma":
        _refuse_in_a_table_of_decimal_commas(columns, name, cells.distinct, data)
    if marks := doubtful_marks(cells.distinct, spelling):
        raise WellfitError(
            f"{columns.path} column {name!r}: {marks[0]!r} and {marks[1]!r} contradict each other, as either mark may "
            f"stand before decimals; write all cells alike, or {columns.last_resort(name)}"
        )
    note = _example(cells.distinct, spelling)
    footnoted = cells.where(has_footnote(cells.distinct))
    source = Source(name=name, kind="numbers", gaps=tuple(gaps), **spelling._asdict())
    if note and data.decimal == "comma" and _reads_as_thousands(cells.distinct, source):
        note += ", as data.decimal is comma"
    return source.model_copy(update={"note": _joined(note, _footnotes(footnoted), gaps_in_words(gaps))})


def _reads_as_thousands(texts: pa.Array | pa.ChunkedArray, source: Source) -> bool:
    """Whether the decimal commas of a column may as well stand between thousands."""
    spelling, share = find_spelling(texts, "point")
    return source.decimal == "comma" and share == 1 and spelling.decimal == "point"


def _refuse_in_a_table_of_decimal_commas(columns: Columns, name: str, texts: pa.Array, data: DataConfig) -> None:
    """Where commas do not separate cells, all columns are likely to have them."""
    if _may_have_decimal_commas(data):
        raise WellfitError(
            f"{columns.path} column {name!r}: {first_match(texts, COMMA)!r} looks like a number with a decimal comma; "
            f"set data.decimal to comma, or {columns.last_resort(name)}"
        )


def _may_have_decimal_commas(data: DataConfig) -> bool:
    return data.name == "csv" and data.separator != "comma"


def _dates(columns: Columns, name: str, cells: Cells, gaps: dict[str, int], data: DataConfig) -> Source:
    import pyarrow.compute as pc

    refuse_words(columns, name, cells.where(pc.invert(pc.match_substring_regex(cells.distinct, r"\d"))), "dates")

    texts = cells.distinct.to_pylist()
    formats = find_formats(
        texts,
        data.day_first,
        lambda text: columns.place(name, text),
        lambda text: columns.way_out(name, text),
    )
    note = _joined(_example_date(texts, formats), gaps_in_words(gaps))
    return Source(name=name, kind="dates", formats=formats, gaps=tuple(gaps), note=note)


def _example_date(texts: list[str], formats: Sequence[str]) -> str:
    """How the first text is read, or the latest date, where years of two digits leave the century open."""
    if not texts:
        return ""
    which = int(parse(texts, formats).argmax()) if any("%y" in each for each in formats) else 0
    return f"{texts[which]!r} is {parse([texts[which]], formats)[0]}".removesuffix(" 00:00:00")


def _example(texts: pa.Array, spelling: Spelling) -> str:
    """The value of the first cell that is not written as computers write it; empty where all are."""
    import pyarrow.compute as pc

    if spelling == PLAIN:
        return ""
    if len(texts) > EXAMPLES and (found := _example(texts[:EXAMPLES], spelling)):
        return found
    plain = as_computers_write(texts, spelling)
    is_changed = pc.and_(pc.not_equal(texts, plain), spelled(texts, spelling))
    changed = pc.index(is_changed, True).as_py()
    if changed < 0:
        return ""
    telling = pc.index(pc.and_(is_changed, pc.match_substring_regex(plain, "[1-9]")), True).as_py()  # 0 says little
    which = max(changed, telling)
    unit = UNITS.get(spelling.multiples, "")
    return f"{texts[which].as_py()!r} is {float(plain[which].as_py()):.10g}{unit}"


def _yes_or_no(name: str, counts: dict[str, int]) -> Source | None:
    """A column of words for yes and no, each in its most frequent spelling of letters; None: it is something else."""
    spellings = [[word for word in counts if truth(word) is is_yes] for is_yes in (False, True)]
    if not all(spellings) or sum(map(len, spellings)) < len(counts):
        return None
    letters = [[word for word in alike if word.isalpha()] for alike in spellings]
    words = [max(alike, key=counts.__getitem__) for alike in (letters if all(letters) else spellings)]
    notes = []
    for alike, word in zip(spellings, words, strict=True):
        if others := [other for other in alike if other != word]:
            notes.append(f"{listed(others)} {'is' if len(others) == 1 else 'are'} {word!r}")
    return Source(name=name, kind="categories", words=tuple(words), note=_joined(*notes))


def _footnotes(marked: Cells) -> str:
    """What is told of the marks after numbers; empty: there are none."""
    if not len(marked.distinct):
        return ""
    return f"marks as in {marked.distinct[0].as_py()!r} are left out in {marked.total():,} cells"


def _joined(*notes: str) -> str:
    return ", ".join(filter(None, notes))
