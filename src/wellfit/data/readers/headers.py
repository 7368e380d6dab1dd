"""The header of a CSV file: whether there is one, and what it calls each column."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from wellfit.errors import WellfitError

NUMBER = re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?")
YEAR = re.compile(r"(1[89]|20)\d\d")
ALIKE = 0.9  # share of the rows, or of the cells of a column
FEWEST_REPEATS = 5  # rows in which the cells of a header may occur by chance


class Record(NamedTuple):
    """A row of the file, or its header.

    Attributes:
        line: where it begins, counted from 1.
        lines: on how many it stands: more than one where a quoted cell has line breaks, none where it is a comment.
        cells: as they stand, without quotes.
    """

    line: int
    lines: int
    cells: list[str]


def read_header(path: Path, header: Record, rows: Sequence[Record]) -> list[str]:
    """The name of each column, empty where it has none.

    A header may be shorter than the rows by cells that are empty in all of them, or by one for their names, as R
    writes them; and longer by empty names.

    Args:
        path: of the file, for messages.
        header: the first row.
        rows: some of those after it.

    Raises:
        WellfitError: this is no header, or two columns have one name.
    """
    names, cells = [name.strip() for name in header.cells], [row.cells for row in rows]
    if len(names) == 1 and _are_words(names[0], cells):
        raise WellfitError(f"{path}: blanks seem to separate its columns, which is not read; save it with commas")
    widths = Counter(map(len, cells))
    if len(widths) == 1:
        names = _fit(names, cells)
    _refuse_titles(path, header, names, rows)
    if evidence := data_evidence(names, cells):
        raise WellfitError(
            f"{path} row {header.line} looks like data, not like a header ({evidence}); put a line with the names of "
            "the columns before it"
        )
    if set(widths) - {len(names)}:
        _refuse_longer_rows(path, header, rows, widths.most_common(1)[0][0])
    if twice := [name for name, count in Counter(names).items() if count > 1 and name]:
        raise WellfitError(f"{path} row {header.line}: two columns are named {twice[0]!r}; rename one")
    return names


def _refuse_titles(path: Path, header: Record, names: Sequence[str], rows: Sequence[Record]) -> None:
    """Refuses a first row with few names of many, as a spreadsheet writes a title, where a whole row follows."""
    named = sum(map(bool, names))
    whole = next((row for row in rows if len(row.cells) == len(names) and all(map(str.strip, row.cells))), None)
    if whole and 2 * named < len(names):
        raise WellfitError(
            f"{path} row {header.line} names {named} of {len(names)} columns, and all cells of row {whole.line} are "
            "filled; if lines stand before the header, delete them"
        )


def call_unnamed(names: Sequence[str]) -> list[str]:
    """A name for each column, by its place if it has none, as pandas calls it: ``Unnamed: 0``."""
    called: list[str] = []
    for place, name in enumerate(names):
        new, number = name or f"Unnamed: {place}", 0
        while not name and (new in names or new in called):
            number += 1
            new = f"Unnamed: {place}.{number}"
        called.append(new)
    return called


def data_evidence(names: Sequence[str], rows: Sequence[list[str]]) -> str:
    """Why a supposed header is rather a row of data; empty if it may be a header.

    Numbers may be names of columns (years, pixels) if they are in an order; else they are data where the rows have
    numbers, too. And what is in the header of a column is rarely one of its values.
    """
    alike = [[cell.strip() for cell in row] for row in rows if len(row) == len(names)]
    alike = [row for row in alike if row != list(names)]  # where files were put together
    columns = list(zip(*alike, strict=True)) if alike else [()] * len(names)
    numeric = [not any(column) or _share_of_numbers(column) >= ALIKE for column in columns]
    numbers = [name for name in names if NUMBER.fullmatch(name)]
    beside = [NUMBER.fullmatch(name) is not None for name, is_numeric in zip(names, numeric, strict=True) if is_numeric]
    are_many = sum(beside) > len(beside) / 2 and (alike or len(numbers) > len(names) / 2)
    are_names = bool(numbers) and _are_names(numbers)
    if numbers and are_many and not are_names:
        return f"{len(numbers)} of {len(names)} cells are numbers"
    cells = [(name, column) for name, column in zip(names, columns, strict=True) if not (are_names and name in numbers)]
    repeated = sum(name != "" and name in column for name, column in cells)
    if len(alike) >= FEWEST_REPEATS and repeated >= max(2, len(cells) / 2):
        return f"{repeated} of {len(names)} cells occur again below"
    return ""


def _share_of_numbers(cells: Sequence[str]) -> float:
    filled = [cell for cell in cells if cell]
    return sum(NUMBER.fullmatch(cell) is not None for cell in filled) / max(1, len(filled))


def _are_names(numbers: Sequence[str]) -> bool:
    """Whether numbers may be the names of columns: each once, and in an order."""
    values = [float(number.replace(",", ".")) for number in numbers]
    if len(set(values)) < len(values) or min(values) < 0:
        return False
    are_whole = all(number.isdecimal() for number in numbers)
    if are_whole and (max(values) - min(values) == len(values) - 1 or all(map(YEAR.fullmatch, numbers))):
        return True
    steps = [after - before for before, after in pairwise(values)]
    return len(values) > 3 and (all(step > 0 for step in steps) or all(step < 0 for step in steps))


def _fit(names: list[str], rows: Sequence[list[str]]) -> list[str]:
    """The names, made as many as the cells of each row where it is clear how."""
    more = len(rows[0]) - len(names)
    if more > 0 and not any(cell.strip() for row in rows for cell in row[len(names) :]):
        return names + [""] * more
    if more == 1 and _have_row_names(rows):
        return ["", *names]
    if more < 0 and not any(names[more:]):
        return names[:more]
    return names


def _have_row_names(rows: Sequence[list[str]]) -> bool:
    """Whether the first cell of each row is its name. The other cause of a cell too many is a comma without quotes."""
    first = [row[0] for row in rows]
    if len(rows) < 2 or len(set(first)) < len(first) or not all(first):
        return False
    if any(map(NUMBER.fullmatch, first)) and not all(cell.isdecimal() for cell in first):
        return False
    for before, column in zip(zip(*rows, strict=True), list(zip(*rows, strict=True))[1:], strict=False):
        after_comma = all(cell.startswith(" ") for cell in column)
        group = all(re.fullmatch(r"\d{3}(\.\d+)?", cell) for cell in column)
        if after_comma or (group and all(re.fullmatch(r"[-+]?\W?[1-9]\d{0,2}", cell) for cell in before)):
            return False
    return True


def _are_words(name: str, rows: Sequence[list[str]]) -> bool:
    """Whether blanks separate columns: all lines have as many words, or all rows one more than the header."""
    words, in_rows = len(name.split()), {len(row[0].split()) if len(row) == 1 else 0 for row in rows}
    return words > 1 and len(rows) > 1 and in_rows in ({words}, {words + 1})


def _refuse_longer_rows(path: Path, header: Record, rows: Sequence[Record], width: int) -> None:
    """Refuses a table most of whose rows are longer than its first line, and names the likely cause."""
    first, columns = next(place for place, row in enumerate(rows) if len(row.cells) == width), len(header.cells)
    if width <= columns or sum(len(row.cells) == width for row in rows) < ALIKE * len(rows[first:]):
        return
    is_apart = rows[first].line > header.line + header.lines + first  # by blank lines
    if width > columns + 1 or columns == 1 or is_apart:
        raise WellfitError(
            f"{path} row {header.line}: {columns} cell{'s' * (columns > 1)}, but row {rows[first].line} has {width}, "
            "as most have; if lines stand before the header, delete them"
        )
    if len(rows) > 2:
        raise WellfitError(
            f"{path} row {rows[first].line}: {width} cells, but {columns} columns, as in most rows; quote each cell "
            "that holds what separates cells, or name the first column, if it has the names of rows"
        )
