"""Tables of numbers and categoricals that stay on disk, for code that reads a column, or some rows, at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.data.scratch import BLOCK_BYTES, ScratchFile

if TYPE_CHECKING:
    import pandas as pd

CELL_BYTES = 8  # of a number; the code of a category takes less


class _Stored(NamedTuple):
    """Where the cells of a column begin, and what they are: numbers, or codes of categories."""

    offset: int
    dtype: np.dtype[Any]
    categories: pd.CategoricalDtype | None


class DiskFrame:
    """A table in a scratch file; a part of it is read when it is asked for. The categories of columns are in memory.

    Args:
        n_rows: how many there are.
    """

    def __init__(self, n_rows: int) -> None:
        self._n_rows = n_rows
        self._file = ScratchFile()
        self._stored: dict[str, _Stored] = {}

    def __len__(self) -> int:
        """The number of rows."""
        return self._n_rows

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self._stored)

    def __getitem__(self, name: str) -> pd.Series[Any]:
        """All cells of a column."""
        return self._read(name, 0, self._n_rows)

    def block(self, start: int, stop: int) -> pd.DataFrame:
        """Some rows that follow each other."""
        import pandas as pd

        stop = min(stop, self._n_rows)
        cells = {name: self._read(name, start, stop) for name in self._stored}
        return pd.DataFrame(cells, index=range(start, stop), copy=False)

    def only(self, names: Iterable[str]) -> DiskFrame:
        """Some of the columns."""
        other = object.__new__(DiskFrame)
        other._n_rows, other._file = self._n_rows, self._file
        other._stored = {name: self._stored[name] for name in names}
        return other

    def add(self, name: str, cells: Any) -> None:
        """Writes a column.

        Args:
            name: of the column.
            cells: (n,) numbers, or a Series of them or of categories.
        """
        import pandas as pd

        is_category = isinstance(cells, pd.Series) and isinstance(cells.dtype, pd.CategoricalDtype)
        values = np.ascontiguousarray(cells.cat.codes if is_category else cells)
        categories = cells.dtype if is_category else None
        self._stored[name] = _Stored(self._file.append(values.data), values.dtype, categories)

    def _read(self, name: str, start: int, stop: int) -> pd.Series[Any]:
        import pandas as pd

        stored = self._stored[name]
        cells: Any = self._file.read(stored.offset + start * stored.dtype.itemsize, stored.dtype, stop - start)
        if stored.categories is not None:
            cells = pd.Categorical.from_codes(cells, dtype=stored.categories, validate=False)
        return pd.Series(cells, index=range(start, stop), name=name, copy=False)


class ChosenRows:
    """Some rows of a table on disk, of which a column is read at a time.

    Args:
        frame: the table.
        rows: their numbers.
    """

    def __init__(self, frame: DiskFrame, rows: NDArray[np.int64]) -> None:
        self._frame, self._rows = frame, rows

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return self._frame.columns

    def __getitem__(self, name: str) -> pd.Series[Any]:
        """The cells of a column in these rows."""
        return self._frame[name].iloc[self._rows]


if TYPE_CHECKING:
    Frame = pd.DataFrame | DiskFrame
    SomeRows = pd.DataFrame | ChosenRows


def frame_of(cells: Iterable[tuple[str, Any]], n_rows: int, n_columns: int, budget: int) -> Frame:
    """A table of columns that are made one by one, in memory or on disk.

    Args:
        cells: the name of each column, and a Series.
        n_rows: of each.
        n_columns: at most.
        budget: bytes that it may take in memory.
    """
    import pandas as pd

    if CELL_BYTES * n_rows * n_columns <= budget:
        return pd.DataFrame(dict(cells), index=range(n_rows), copy=False)
    frame = DiskFrame(n_rows)
    for name, column in cells:
        frame.add(name, column)
    return frame


def without(frame: Frame, names: Sequence[str]) -> Frame:
    """A table without some of its columns."""
    if isinstance(frame, DiskFrame):
        return frame.only(name for name in frame.columns if name not in names)
    return frame.drop(columns=list(names))


def chosen_rows(frame: Frame, rows: NDArray[np.int64]) -> SomeRows:
    """Some rows of a table."""
    return ChosenRows(frame, rows) if isinstance(frame, DiskFrame) else frame.iloc[rows]


def frame_blocks(frame: Frame) -> Iterator[pd.DataFrame]:
    """All rows of a table: at once, or, of one on disk, in parts of some megabytes."""
    if not isinstance(frame, DiskFrame):
        yield frame
        return
    size = max(1, BLOCK_BYTES // (CELL_BYTES * max(1, len(frame.columns))))
    for start in range(0, len(frame), size):
        yield frame.block(start, start + size)
