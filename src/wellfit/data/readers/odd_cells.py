"""Columns of numbers or dates of which some cells are something else, and cannot be passed over in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wellfit.data.readers.numerals import (
    DECIMAL_POINT,
    Decimal,
    bare_of_bounds,
    find_spelling_of,
    has_bound,
    resemble_numbers,
)
from wellfit.errors import WellfitError

if TYPE_CHECKING:
    import pyarrow as pa

    from wellfit.data.readers.columns import Columns

# Above this share of numbers, the other cells of a column are mistakes, and the column is not categorical.
MOSTLY = 0.95
MANY = 20  # as many categories as a column of sizes or grades (3XL, 10th) may have
MANY_POINTS = 30  # different numbers with a point: if it stood before decimals, some would not have three
FEW_WORDS = 3  # in a column of numbers or dates, each of which may stand for a gap
# Above these shares of numbers, so few words are likely to, or only one, or those of a column that would be text.
BUT_FOR_WORDS, BUT_FOR_ONE_WORD = 0.8, 0.5


class Cells(NamedTuple):
    """The different cells of a column of text that are not missing, and how often each occurs."""

    distinct: pa.Array
    counts: pa.Array

    def where(self, chosen: pa.Array) -> Cells:
        """Those cells for which a mask is true."""
        return Cells(self.distinct.filter(chosen), self.counts.filter(chosen))

    def as_dict(self) -> dict[str, int]:
        """The number of cells by text, the most frequent first."""
        pairs = zip(self.distinct.to_pylist(), self.counts.to_pylist(), strict=True)
        return dict(sorted(pairs, key=lambda pair: -pair[1]))

    def total(self) -> int:
        """The number of cells."""
        import pyarrow.compute as pc

        return pc.sum(self.counts).as_py() or 0


def counted(texts: pa.Array | pa.ChunkedArray) -> Cells:
    """The different cells, none of which is missing."""
    import pyarrow.compute as pc

    pairs = pc.value_counts(texts)
    return Cells(pairs.field("values"), pairs.field("counts"))


def refuse_words(columns: Columns, name: str, others: Cells, what: str) -> None:
    """Refuses few words that recur among numbers or dates: they may stand for missing values."""
    import pyarrow.compute as pc

    n_words = len(others.distinct)
    if not 0 < n_words <= FEW_WORDS or pc.min(others.counts).as_py() < 2 or resemble_numbers(*others) > 0:
        return
    words = " and ".join(f"{word!r} ({cells:,} cells)" for word, cells in others.as_dict().items())
    last_resort = columns.last_resort(name)
    if any(columns.stands_elsewhere(name, word) for word in others.distinct.to_pylist()):
        way_out = f"mend these, or {last_resort} (as a gap, other columns would lose them)"
    elif columns.has_role(name):
        way_out = f"mend these, or {last_resort}"
    elif n_words == 1:
        way_out = f"if it stands for a gap, add it to data.missing; or {last_resort}"
    else:
        way_out = f"if they stand for gaps, add them to data.missing; or {last_resort}"
    raise WellfitError(f"{columns.path} column {name!r}: holds {what} but for {words}; {way_out} (params.yaml)")


def refuse_bounds(columns: Columns, name: str, cells: Cells, decimal: Decimal) -> None:
    """Refuses bounds such as <0.5 among numbers, as limits of detection are written: they are no values.

    Args:
        columns: of the table.
        name: of the column.
        cells: without those that stand for a gap.
        decimal: ``data.decimal``.
    """
    bounds = cells.where(has_bound(cells.distinct))
    if not len(bounds.distinct) or find_spelling_of(bare_of_bounds(cells.distinct), cells.counts, decimal)[1] <= MOSTLY:
        return
    example = bounds.distinct[0].as_py()
    if len(bounds.distinct) == 1:
        way_out = columns.way_out(name, example)
    else:
        way_out = f"write the numbers that are to stand for them, or {columns.last_resort(name)}"
    raise WellfitError(
        f"{columns.place(name, example)}: {example!r} is a bound among numbers and no value, as in {bounds.total():,} "
        f"cells in all; {way_out} (params.yaml)"
    )


def refuse_points(columns: Columns, name: str, texts: pa.Array | pa.ChunkedArray) -> None:
    """Refuses points that are likely to stand between thousands: 950 beside many 2.594, all with three digits."""
    import pyarrow.compute as pc

    with_point = pc.match_substring_regex(texts, r"^[+-]?[1-9]\d{0,2}\.\d{3}$")
    may_be = pc.or_(with_point, pc.match_substring_regex(texts, r"^[+-]?\d{1,3}$"))
    share = pc.mean(with_point.cast("float64")).as_py()
    if not 0 < share < MOSTLY or not pc.all(may_be).as_py():
        return
    pointed = texts.filter(with_point)
    if len(pointed.unique()) < MANY_POINTS:
        return
    example = pointed[0].as_py()
    raise WellfitError(
        f"{columns.place(name, example)}: the point of {example!r} may stand between thousands, as all cells have "
        "three digits after it, or none; set data.decimal to comma if it does, or list the column in data.numeric"
    )


def refuse_units(columns: Columns, name: str, alike: Cells, others: Cells) -> None:
    """Refuses numbers of which some are in another unit or spelling than most."""
    odd = others.distinct[0].as_py()
    raise WellfitError(
        f"{columns.place(name, odd)}: {odd!r} is a number in another unit or spelling than "
        f"{alike.distinct[0].as_py()!r}; write all alike, or {columns.last_resort(name)}"
    )


def refuse_texts(columns: Columns, name: str, alike: Cells, others: Cells) -> None:
    """Refuses different texts among measurements, as numbers with decimals are no names."""
    import pyarrow.compute as pc

    decimals = alike.where(pc.match_substring_regex(alike.distinct, DECIMAL_POINT))
    if 2 * decimals.total() < alike.total():
        return
    odd = others.distinct[0].as_py()
    raise WellfitError(
        f"{columns.place(name, odd)}: {odd!r} is not a number such as {decimals.distinct[0].as_py()!r}, as "
        f"{others.total():,} cells of the column are not; mend them, or {columns.last_resort(name)}"
    )
