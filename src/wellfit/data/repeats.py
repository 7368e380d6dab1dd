"""Keeps repeated rows together where a table has many of them: parts of it have shares of its rows, not of its units.

A unit is a set of equal rows, or a row alone.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
LARGEST = (
    0.5  # repeats of a row, as a share of the rows of the smallest part; more would leave the parts out of balance
)


def part_large_units(first_equal: Rows, y: Rows | None, shares: Sequence[float]) -> tuple[Rows, int]:
    """Makes a unit of each row of a unit that is too large for one part.

    Args:
        first_equal: (n,) for each row the number of the first row with equal x.
        y: (n,) class indices; None: no classes.
        shares: of the rows, one for each part.

    Returns:
        What ``first_equal`` becomes; and how many units were parted.
    """
    unit, size, label = _units(first_equal, y)
    # The rows of its units, or, of a class most of whose rows are in units of rarer classes, its own rows.
    rows_of_class = np.bincount(label, size)
    if y is not None:
        rows_of_class = np.maximum(rows_of_class, np.sort(np.bincount(y))[: len(rows_of_class)])
    is_large = size - 1 > LARGEST * min(shares) * rows_of_class[label]
    parted = np.where(is_large[unit], np.arange(len(first_equal)), first_equal)
    return parted, int(is_large.sum())


def draw_parts(first_equal: Rows, y: Rows | None, shares: Sequence[float], seed: int) -> Rows:
    """Draws a part for each unit, so that each part has its share of the rows of each class.

    The units of a class are laid end to end in random order, and cut at the shares of its rows. A unit of several
    classes counts as one of the rarest of them.

    Args:
        first_equal: (n,) the unit of each row.
        y: (n,) class indices; None: no classes.
        shares: of the rows, one for each part; they sum to 1.
        seed: of the order.

    Returns:
        (n,) the part of each row, from 0.
    """
    unit, size, label = _units(first_equal, y)
    order = np.random.default_rng(seed).permutation(len(size))
    order = order[np.argsort(label[order], kind="stable")]
    rows_of_class = np.bincount(label, size)
    begin = np.cumsum(rows_of_class) - rows_of_class
    middle = np.cumsum(size[order]) - size[order] / 2 - begin[label[order]]
    part = np.empty(len(size), np.int64)
    part[order] = np.searchsorted(np.cumsum(shares)[:-1], middle / rows_of_class[label[order]])
    part_of_row: Rows = part[unit]
    return part_of_row


def _units(first_equal: Rows, y: Rows | None) -> tuple[Rows, Rows, Rows]:
    """The unit of each row, from 0; the rows of each unit; and its class, the rarest of its rows' classes."""
    _, unit, size = np.unique(first_equal, return_inverse=True, return_counts=True)
    if y is None:
        return unit, size, np.zeros(len(size), np.int64)
    rarest_first = np.argsort(np.bincount(y), kind="stable")
    rank = np.empty_like(rarest_first)
    rank[rarest_first] = np.arange(len(rank))
    label = np.full(len(size), len(rank))
    np.minimum.at(label, unit, rank[y])
    return unit, size, label
