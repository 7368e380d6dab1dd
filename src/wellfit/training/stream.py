"""Training rows that stay on disk, because memory does not hold them.

They are shuffled by blocks. A block is a few rows that stand beside each other on disk; blocks are dealt out to windows
at random, the same in every epoch. An epoch takes one window after the other, and each member shuffles the rows of a
window anew. While one window trains, the system reads the next one.
"""

import mmap
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wellfit.data.scratch import forget

BLOCK_BYTES = 2**18  # that stand beside each other on disk: below, a read costs more than its bytes
_WILL_NEED = getattr(mmap, "MADV_WILLNEED", None)


class Stream:
    """Rows in a memory-mapped file, in windows of which two fit into a budget.

    Args:
        rows: (n, ...) in a file that is mapped, as `wellfit.data.store.load_array` opens it.
        budget: bytes.
        strata: (n,) of rows that stand together, of which each window gets its share; None: all are one.

    Attributes:
        x: the rows, (n, ...), which the system reads from the disk where they are touched.
        windows: rising indices of the rows of each window, int64.
    """

    def __init__(self, rows: NDArray[Any], budget: int, strata: NDArray[np.int64] | None = None) -> None:
        self._rows = rows
        self.x = as_tensor(rows)
        row_bytes = max(1, rows.nbytes // len(rows))
        self._block = max(1, BLOCK_BYTES // row_bytes)  # rows
        blocks = np.random.default_rng(0).permutation(-(-len(rows) // self._block))
        if strata is not None:
            blocks = _dealt(blocks, strata[blocks * self._block])
        count = min(len(blocks), -(-2 * rows.nbytes // budget))
        self._blocks = [np.sort(each) for each in np.array_split(blocks, count)]
        self.windows = [self._rows_of(each) for each in self._blocks]

    def enter(self, window: int) -> None:
        """Lets the system read the window after this one, and gives back the memory of those before it."""
        if len(self.windows) > 2:
            self.forget()  # as a whole: with what is touched the system gives rows around it, of other windows
        self._read((window + 1) % len(self.windows))

    def forget(self) -> None:
        """Gives back the memory of all rows that were touched."""
        forget(self._rows)

    def _rows_of(self, blocks: NDArray[np.int64]) -> Tensor:
        rows = (blocks[:, None] * self._block + np.arange(self._block)).ravel()
        return torch.from_numpy(rows[rows < len(self._rows)])

    def _read(self, window: int) -> None:
        mapping: Any = self._rows.base
        if _WILL_NEED is None or not isinstance(mapping, mmap.mmap):  # a system without advice reads what is touched
            return
        row_bytes = self._rows.nbytes // len(self._rows)
        first = len(mapping) - self._rows.nbytes  # behind the header
        for block in self._blocks[window].tolist():
            start = first + block * self._block * row_bytes
            aligned = start - start % mmap.PAGESIZE
            mapping.madvise(_WILL_NEED, aligned, min(start + self._block * row_bytes, len(mapping)) - aligned)


def _dealt(blocks: NDArray[np.int64], strata: NDArray[np.int64]) -> NDArray[np.int64]:
    """The blocks in another order, in which the strata, one for each, are spread evenly."""
    place = np.empty(len(blocks))
    for stratum in np.unique(strata):
        own = strata == stratum
        place[own] = (np.arange(own.sum()) + 0.5) / own.sum()
    return blocks[np.argsort(place, kind="stable")]


def as_tensor(rows: NDArray[Any]) -> Tensor:
    """A memory-mapped array as a tensor of the same memory, which must not be written to."""
    with warnings.catch_warnings(action="ignore"):  # that nobody may write to it
        return torch.from_numpy(rows)
