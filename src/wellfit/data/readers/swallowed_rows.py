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
    if filled and len(values) <= min(FEW_VALUES, len(cells) / 2):
        return values.__contains__
    return None


def _are_rows(lines: Sequence[str], place: int, fits: Sequence[Fits | None], separator: str) -> bool:
    """Whether the lines of a cell are rows.

    The first line begins in the cell's own column, the last one ends in it: of both, only the other columns are known.
    """
    columns, unknown = len(fits), [None]
    first = _fitting(lines[0], [*unknown, *fits[place + 1 :]], separator)
    last = _fitting(lines[-1], [*fits[:place], *unknown], separator)
    inner = [_fitting(line, fits, separator) for line in lines[1 : min(len(lines), MOST_LINES) - 1]]
    rows = [known for known in inner if known is not None]
    if first is None or last is None or len(rows) < len(inner) / 2:
        return False
    known = first + last + sum(rows)
    return known > 1 or (not any(fits) and columns > 2 and len(rows) == len(inner) > 1)


def _fitting(line: str, fits: Sequence[Fits | None], separator: str) -> int | None:
    """How many cells of a line are known to fit their columns; None: one does not, or there are more or fewer."""
    cells = next(csv.reader([line], delimiter=separator), [])
    known = [(cell.strip(), fit) for cell, fit in zip(cells, fits, strict=False) if fit is not None]
    return len(known) if len(cells) == len(fits) and all(fit(cell) for cell, fit in known) else None
