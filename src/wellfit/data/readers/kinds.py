"""Decides from all cells of a column what it holds: numbers, categories, dates or text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wellfit.data.dates import SAMPLE, are_dates
from wellfit.data.readers.columns import Columns, truth
from wellfit.data.readers.numerals import PLAIN, Spelling, as_computers_write, find_spelling, resemble_numbers, spelled
from wellfit.data.store import Source
from wellfit.errors import WellfitError

if TYPE_CHECKING:
    import pyarrow as pa

    from wellfit.data.settings import DataConfig

# Above this share of numbers, the other cells of a column are mistakes, and the column is not categorical.
MOSTLY = 0.95
MANY = 20  # as many categories as a column of sizes or grades (3XL, 10th) may have


def infer_source(columns: Columns, name: str, data: DataConfig) -> Source:
    """What a column holds, and how its cells are read. ``data.numeric`` and ``data.categorical`` override that.

    Text is read as numbers if all of its cells are, in one spelling; as dates if most are; and as categories if it has
    fewer than it has text to itself. Booleans are categories, as is what a Parquet file declares as such.

    Raises:
        WellfitError: lists or other types, or a cell that is no number among numbers.
    """
    from pyarrow import types

    if name in data.categorical or (columns.is_declared(name) and name not in data.numeric):
        return Source(name=name, kind="categories")
    cells = columns.cells(name)
    kind = cells.type
    if types.is_string(kind):
        return _infer_text(columns, name, cells.drop_null(), data)
    if name in data.numeric or types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return Source(name=name, kind="numbers")
    if types.is_timestamp(kind) or types.is_date(kind):
        return Source(name=name, kind="dates")
    if types.is_boolean(kind):
        return Source(name=name, kind="categories", words=("false", "true"))
    if types.is_null(kind):
        return Source(name=name, kind="categories")
    raise WellfitError(f"{columns.path} column {name!r}: {kind} is neither numbers nor text; list it in data.drop")


def _infer_text(columns: Columns, name: str, texts: pa.ChunkedArray, data: DataConfig) -> Source:
    if not len(texts):
        return Source(name=name, kind="numbers" if name in data.numeric else "categories")
    spelling, share = find_spelling(texts, data.decimal)
    if name in data.numeric or share > MOSTLY:
        return _numbers(columns, name, texts, spelling, data)
    distinct = texts.unique()
    if are_dates(distinct[:SAMPLE].to_pylist()):
        return Source(name=name, kind="dates")
    if source := _yes_or_no(name, texts):
        return source
    resemble = len(distinct) > MANY and resemble_numbers(texts) > MOSTLY
    if len(distinct) > max(min(MANY, data.max_categories), len(columns) / 2):
        return _numbers(columns, name, texts, spelling, data) if resemble else Source(name=name, kind="text")
    unlike = f"numbers such as {distinct[0].as_py()!r} that are not written alike"
    return Source(name=name, kind="categories", note=unlike if resemble else "")


def _numbers(columns: Columns, name: str, texts: pa.ChunkedArray, spelling: Spelling, data: DataConfig) -> Source:
    if spelling.decimal == "comma" and data.decimal == "point":
        _refuse_in_a_table_of_decimal_commas(columns, name, texts, data)
    note = _example(texts, spelling)
    if note and data.decimal == "comma":
        other, share = find_spelling(texts, "point")
        note += ", as data.decimal is comma" if share == 1 and other.decimal != "comma" else ""
    return Source(name=name, kind="numbers", note=note, **spelling._asdict())


def _refuse_in_a_table_of_decimal_commas(columns: Columns, name: str, texts: pa.ChunkedArray, data: DataConfig) -> None:
    """Where commas do not separate cells, all columns are likely to have them."""
    import pyarrow.compute as pc

    if data.name == "csv" and data.separator != "comma":
        example = texts[pc.index(pc.match_substring(texts, ","), True).as_py()]
        raise WellfitError(
            f"{columns.path} column {name!r}: {example.as_py()!r} looks like a number with a decimal comma; set "
            "data.decimal to comma, or list the column in data.categorical"
        )


def _example(texts: pa.ChunkedArray, spelling: Spelling) -> str:
    """The value of the first cell that is not written as computers write it; empty where all are."""
    import pyarrow.compute as pc

    if spelling == PLAIN:
        return ""
    plain = as_computers_write(texts, spelling)
    changed = pc.index(pc.and_(pc.not_equal(texts, plain), spelled(texts, spelling)), True).as_py()
    return f"{texts[changed].as_py()!r} is {float(plain[changed].as_py()):.10g}" if changed >= 0 else ""


def _yes_or_no(name: str, texts: pa.ChunkedArray) -> Source | None:
    """A column of words for yes and no, each in its most frequent spelling; None: it is something else."""
    counts = {pair["values"]: pair["counts"] for pair in texts.value_counts().to_pylist()}
    spellings = [[word for word in counts if truth(word) is is_yes] for is_yes in (False, True)]
    if not all(spellings) or sum(map(len, spellings)) < len(counts):
        return None
    words = [max(alike, key=counts.__getitem__) for alike in spellings]
    others = [(other, word) for alike, word in zip(spellings, words, strict=True) for other in alike if other != word]
    note = f"{others[0][0]!r} is {others[0][1]!r}" if others else ""
    return Source(name=name, kind="categories", words=tuple(words), note=note)
