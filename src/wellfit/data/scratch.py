"""Rows that stay on disk while data are prepared, because memory does not hold them, and ways to read them in parts."""

import math
import mmap
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wellfit.files import project_root
from wellfit.machine import GIB, memory_bytes

SHARE = 1 / 3  # of the memory, that rows take where `data.memory` is auto
BLOCK_BYTES = 2**24  # of rows that are computed with at once, which may take several times that
SCATTERED = 256  # rows that are copied at once from anywhere in a file: with each, the system reads others around it
GROUP_BYTES = 2**26  # of columns that are gathered at once
_DONT_NEED = getattr(mmap, "MADV_DONTNEED", None)


def memory_budget(memory: Literal["auto"] | float, there: int | None = None) -> int:
    """Bytes that rows may take in memory.

    Args:
        memory: ``data.memory``, in GiB.
        there: bytes of the memory they are to be in; None: those of the machine.
    """
    return int(SHARE * (there or memory_bytes())) if memory == "auto" else int(memory * GIB)


class ScratchFile:
    """A file without a name, which is gone when nothing refers to it, and when the process ends, in whatever way."""

    def __init__(self) -> None:
        folder = project_root() / ".wellfit"  # `/tmp` may be memory
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed below

    def __del__(self) -> None:
        """Closes it."""
        if hasattr(self, "_file"):
            self._file.close()

    def append(self, data: Any) -> int:
        """Writes bytes at its end, and returns where they begin."""
        offset = self._file.seek(0, os.SEEK_END)
        self._file.write(data)
        return offset

    def read(self, offset: int, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
        """So many numbers, from where they begin."""
        self._file.seek(offset)
        return np.fromfile(self._file, dtype, count)

    def mapped(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """An array in the file, which has nothing else and lives as long as that.

        Raises:
            OSError: the disk is full.
        """
        if hasattr(os, "posix_fallocate"):  # a disk that is full later would end the process without a word
            os.posix_fallocate(self._file.fileno(), 0, math.prod(shape) * dtype.itemsize)
        return np.memmap(self._file, dtype, "r+", shape=shape)


def empty_array(shape: tuple[int, ...], dtype: Any, budget: int) -> NDArray[Any]:
    """An array to fill: in memory, or in a scratch file.

    Args:
        shape: of the array.
        dtype: of its numbers.
        budget: bytes that it may take in memory.

    Raises:
        OSError: the disk is full.
    """
    of_numbers = np.dtype(dtype)
    if math.prod(shape) * of_numbers.itemsize <= budget:
        return np.empty(shape, dtype)
    return ScratchFile().mapped(shape, of_numbers)


def forget(rows: NDArray[Any]) -> None:
    """Gives back the memory in which the system has parts of a file, if the array is one; it reads them again."""
    mapping = getattr(rows, "_mmap", None)
    if mapping is not None and _DONT_NEED is not None:
        mapping.madvise(_DONT_NEED)


def row_blocks(rows: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """All rows of (n, ...) in parts of some megabytes, one after the other; each is forgotten behind it."""
    size = _rows_at_once(rows)
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
        forget(rows)


def chosen_blocks(rows: NDArray[Any], chosen: NDArray[np.int64]) -> Iterator[NDArray[Any]]:
    """Copies of some rows of (n, ...), as `row_blocks` gives all of them.

    Args:
        rows: all of them.
        chosen: (m,) indices.
    """
    size = _rows_at_once(rows)
    for start in range(0, len(chosen), size):
        yield rows[chosen[start : start + size]]
        forget(rows)


def joined(blocks: Iterable[NDArray[Any]], like: NDArray[Any], n_rows: int, budget: int) -> NDArray[Any]:
    """Rows that follow each other, as one array: in memory, or in a scratch file.

    Args:
        blocks: of rows, which memory need not hold together.
        like: (n, ...) rows of the same shape and type.
        n_rows: of all blocks.
        budget: bytes that they may take in memory.

    Raises:
        OSError: the disk is full.
    """
    found = empty_array((n_rows, *like.shape[1:]), like.dtype, budget)
    start = 0
    for block in blocks:
        found[start : start + len(block)] = block
        start += len(block)
        forget(found)
    return found


def copied(rows: NDArray[Any]) -> NDArray[Any]:
    """A copy of all rows of (n, ...) in memory, which does not hold those of a file beside it."""
    return joined(row_blocks(rows), rows, len(rows), rows.nbytes)


def taken(rows: NDArray[Any], chosen: NDArray[np.int64]) -> NDArray[Any]:
    """Copies of some rows of (n, ...), all in memory.

    Args:
        rows: all of them.
        chosen: (m,) indices.
    """
    if not isinstance(rows, np.memmap):
        return rows[chosen]
    found = np.empty((len(chosen), *rows.shape[1:]), rows.dtype)
    for start in range(0, len(chosen), SCATTERED):
        found[start : start + SCATTERED] = rows[chosen[start : start + SCATTERED]]
        forget(rows)
    return found


def each_column(
    rows: NDArray[Any], of_rows: Callable[[NDArray[Any]], NDArray[Any]] = lambda rows: rows
) -> Iterator[NDArray[Any]]:
    """The columns of (n, columns), their cells side by side in memory; all rows are read in a few passes.

    Args:
        rows: the table; or (n, ...) rows of which one is made.
        of_rows: makes (m, columns) of some of them.
    """
    first = of_rows(rows[:1])
    n_rows, n_columns = len(rows), first.shape[1]
    width = max(1, GROUP_BYTES // max(1, n_rows * first.itemsize))
    for begin in range(0, n_columns, width):
        group = np.empty((min(width, n_columns - begin), n_rows), first.dtype)
        start = 0
        for block in row_blocks(rows):
            group[:, start : start + len(block)] = of_rows(block)[:, begin : begin + width].T
            start += len(block)
        yield from group
        del group  # before the next one takes as much


def _rows_at_once(rows: NDArray[Any]) -> int:
    return max(1, BLOCK_BYTES // max(1, rows[:1].nbytes))
