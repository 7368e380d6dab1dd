"""Finds cells of a CSV file that hold rows, since a quotation mark that stands for itself opened them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from wellfit.data.readers.headers import NUMBER

if TYPE_CHECKING:
    import pyarrow as pa

COMPARED = 1000  # rows of a part that say what a column holds
FEW_VALUES = 20  # of a column of categories
ALIKE = 0.9  # share of the cells of a column that are numbers
MOST_LINES = 1000  # of a cell that are looked at


class SwallowedRows(NamedTuple):
    """A cell that holds rows.

    Attributes:
        row: index in the part.
        lines: line breaks in the cell.
    """

    row: int
    lines: int


def find_swallowed_rows(part: pa.RecordBatch, separator: str) -> SwallowedRows | None:
    """The first cell whose lines, but for its first and last one, are rows of the same table.

    Free text may have line breaks and separators, too. So most lines have to have as many cells as the table has
    columns, and what stands in them has to be as in the other rows: a number in a column of numbers, a known value in a
    column of few.

    Args:
        part: some rows, all of their cells text.
        separator: what stands between two cells.
    """
    import pyarrow.compute as pc

    found: list[SwallowedRows] = []
    fits: list[Fits | None] = []
    for place, column in enumerate(part.columns):
        text = column.buffers()[2]  # of all cells, one after the other
        if part.num_columns < 2 or text is None or b"\n" not in text.to_pybytes():
            continue
        fits = fits or [_expectation(each) for each in part.columns]
        for row in pc.indices_nonzero(pc.match_substring(column, "\n")).to_pylist():
            lines = column[row].as_py().split("\n")
            if _are_rows(lines, place, fits, separator):
                found.append(SwallowedRows(row, len(lines) - 1))
                break
    return min(found, default=None)


Fits = Callable[[str], bool]


def _expectation(column: pa.Array) -> Fits | None:
    """Whether a cell may stand in a column; None: everything may."""
    import pyarrow.compute as pc

    cells = column.slice(0, COMPARED)
    values = {cell.strip() for cell in cells.filter(pc.invert(pc.match_substring(cells, "\n"))).to_pylist()}
    filled = values - {""}
    if filled and sum(NUMBER.fullmatch(value) is not None for value in filled) >= ALIKE * len(filled):
        return lambda cell: cell == "" or NUMBER.fullmatch(cell) is not None
    if len(values) <= min(FEW_VALUES, len(cells) / 2):
        return values.__contains__
    return None


def _are_rows(lines: Sequence[str], place: int, fits: Sequence[Fits | None], separator: str) -> bool:
    """Whether the lines of a cell are rows.

    The first line begins in the cell's own column, the last one ends in it: of both, only the other columns are known.
    """
    columns, last = len(fits), len(lines) - 1
    rows = 0
    for number, line in enumerate(lines[:MOST_LINES]):
        cells = next(csv.reader([line], delimiter=separator), [])
        begin = place if number == 0 else 0
        end = place + 1 if number == last else columns
        own = {place: None} if number in (0, last) else {}
        expected = [own.get(column, fits[column]) for column in range(begin, end)]
        rows += len(cells) == end - begin and all(
            fit is None or fit(cell.strip()) for fit, cell in zip(expected, cells, strict=True)
        )
    looked_at = min(last + 1, MOST_LINES)
    if not any(fits):  # the number of cells has to tell it alone
        return last >= 3 and rows == looked_at
    return rows > 1 and rows > looked_at / 2
