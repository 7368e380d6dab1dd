"""A made table in the likeness of a public one: its file as owners have it, and what must be read of it."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray

Words = tuple[str, ...]


class Field(NamedTuple):
    """A column.

    Attributes:
        cells: as they stand in the file.
        holds: an array of numbers or of dates, NaN or NaT where missing, or a list of categories, None where missing;
            None: the column is no input.
    """

    cells: list[str]
    holds: Any = None


@dataclass
class Table:
    """What is in the file, and what becomes of it.

    Attributes:
        fields: by the names of the columns.
        target: the column to predict.
        warned: words of each warning that must be there; there is no other one.
        settings: of the section ``data``, besides the path and the target.
        refused: words of the one line that the table is refused with at first; empty: it is read at once.
        advice: what that line says to set.
        write: puts the table below a path, which it returns, or a pattern of files.
        mended: does so after the owner has changed the file as the line says.
        frame: of columns with types of their own, as a user has new rows; None: the cells are text.
        twins_together: no row may equal one of another split.
    """

    fields: dict[str, Field]
    target: str
    warned: list[Words] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    refused: Words = ()
    advice: dict[str, Any] = field(default_factory=dict)
    write: Callable[["Table", Path], Path] = lambda table, folder: write_csv(table, folder)
    mended: Callable[["Table", Path], Path] | None = None
    frame: Any = None
    twins_together: bool = False

    def rows(self, names: bool = True) -> list[list[str]]:
        """The header, unless it is not wanted, and the rows."""
        return [list(self.fields)] * names + [
            list(row) for row in zip(*(each.cells for each in self.fields.values()), strict=True)
        ]


def csv_text(rows: Sequence[Sequence[str]], separator: str = ",", quote_all: bool = False) -> str:
    file = io.StringIO()
    quoting = csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    csv.writer(file, delimiter=separator, quoting=quoting, lineterminator="\n").writerows(rows)
    return file.getvalue()


def write_csv(table: Table, folder: Path, separator: str = ",", encoding: str = "utf-8") -> Path:
    path = folder / "table.csv"
    path.write_bytes(csv_text(table.rows(), separator).encode(encoding))
    return path


def number(values: Any, form: str = "{:g}", gaps: NDArray[np.bool_] | None = None, mark: str = "") -> Field:
    """Numbers in a spelling; where there is a gap, a mark in place of the number."""
    values = np.asarray(values, np.float64)
    cells = [form.format(value) for value in values.tolist()]
    if gaps is None:
        return Field(cells, values)
    return Field(_marked(cells, gaps, mark), np.where(gaps, np.nan, values))


def whole(values: Any, form: str = "{:d}", gaps: NDArray[np.bool_] | None = None, mark: str = "") -> Field:
    """Whole numbers likewise; ``{:,d}`` separates thousands."""
    values = np.asarray(values).astype(np.int64)
    cells = [form.format(value) for value in values.tolist()]
    if gaps is None:
        return Field(cells, values.astype(np.float64))
    return Field(_marked(cells, gaps, mark), np.where(gaps, np.nan, values))


def category(words: Sequence[str], gaps: NDArray[np.bool_] | None = None, mark: str = "") -> Field:
    cells = list(map(str, words))
    if gaps is None:
        return Field(cells, cells)
    return Field(_marked(cells, gaps, mark), [None if gap else cell for cell, gap in zip(cells, gaps, strict=True)])


def date(dates: Any, form: str | Callable[[Any], str], gaps: NDArray[np.bool_] | None = None, mark: str = "") -> Field:
    """Dates in a spelling of `strftime`, or made by a function."""
    dates = pd.DatetimeIndex(dates)
    cells = list(map(form, dates)) if callable(form) else list(dates.strftime(form))
    values = dates.to_numpy().astype("datetime64[s]")
    if gaps is None:
        return Field(cells, values)
    return Field(_marked(cells, gaps, mark), np.where(gaps, np.datetime64("NaT"), values))


def no_input(cells: Sequence[Any]) -> Field:
    return Field(list(map(str, cells)))


def picked(random: Generator, words: Sequence[Any] | str, n: int, shares: Sequence[float] | None = None) -> list[Any]:
    words = words.split() if isinstance(words, str) else words
    return np.asarray(words)[random.choice(len(words), n, p=shares)].tolist()


def gaps(random: Generator, n: int, share: float) -> NDArray[np.bool_]:
    """About this share of cells, and three at least."""
    missing = random.random(n) < share
    missing[random.choice(n, 3, replace=False)] = True
    return missing


def days(random: Generator, n: int, first: str, last: str, unit: str = "D") -> Any:
    """Random dates, both ends among them, in the resolution of a unit of numpy."""
    start, end = np.datetime64(first, unit), np.datetime64(last, unit)
    found = start + random.integers(0, (end - start).astype(int) + 1, n)
    found[:2] = start, end
    return found


def phrases(random: Generator, n: int, words: str, length: int = 4) -> list[str]:
    """Texts of several words, each of which is there once."""
    vocabulary = words.split()
    return [f"{' '.join(picked(random, vocabulary, length))} {i}" for i in range(n)]


def missing_texts(more: str) -> list[str]:
    """``data.missing`` as it is by default, and one more text."""
    return ["", "?", "NA", "N/A", "NaN", "nan", "null", "NULL", more]


def _marked(cells: list[str], gaps: NDArray[np.bool_], mark: str) -> list[str]:
    return [mark if gap else cell for cell, gap in zip(cells, gaps, strict=True)]
