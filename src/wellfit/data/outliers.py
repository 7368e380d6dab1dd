"""Cells that lie far outside the others of their column, such as a mistyped year."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.data.meta import Column, Source, SplitName
from wellfit.data.scratch import each_column
from wellfit.data.sources import input_names

if TYPE_CHECKING:
    import pandas as pd

    from wellfit.data.frame import Frame

FEW = 0.01  # share of the training rows that may lie far outside the others
FAR = 3.0  # times as far from the median as all others: beyond 10 deviations of a normal distribution
SAMPLE = 4096
MOST_CELLS, MOST_COLUMNS = 3, 10  # that are named


class Reach(NamedTuple):
    """How far from their median the numbers of a column may lie before they count as far outside."""

    median: float
    distance: float

    def is_beyond(self, values: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Which of (n,) numbers lie far outside."""
        beyond: NDArray[np.bool_] = np.abs(values - self.median) > self.distance
        return beyond


def reach_of(values: NDArray[np.floating], few: int = 0) -> Reach:
    """What is far outside, by the numbers of the training rows.

    A number is far outside if it is `FAR` times as far from the median as the farthest of the others. Where the others
    have a long tail, it is more than that: as many times as the farthest of them is farther than the typical one.

    Args:
        values: (n,) of the training rows, or their quantiles.
        few: how many of them may be far outside, less than n.
    """
    median = float(np.median(values))
    distances = np.abs(np.asarray(values, np.float64) - median)
    apart = distances[distances > 0]
    if not len(apart):
        return Reach(median, np.inf)
    last = np.sort(np.partition(distances, -few - 1)[-few - 1 :])
    limits = np.where(last > 0, last * np.maximum(FAR, last / np.median(apart)), np.inf)
    jumps = np.flatnonzero(last[1:] > limits[:-1])
    return Reach(median, float(limits[jumps[0] if len(jumps) else -1]))


def name_outliers(
    columns: Sequence[Column],
    x: NDArray[np.float32],
    table: Frame,
    sources: Sequence[Source],
    rows: Mapping[SplitName, NDArray[np.int64]],
    row: Callable[[int], str],
    target: pd.Series[Any] | None = None,
) -> tuple[str, ...]:
    """Names the numbers and dates that lie far outside the training rows, in one sentence a column.

    Args:
        columns: of x.
        x: (n, ...) all rows, encoded.
        table: (n, ...) all rows, as the user has them.
        sources: of the user's own table.
        rows: of each split.
        row: says where a row is.
        target: (n,) numbers to be predicted; None: they are not looked at.
    """
    split_of = np.full(len(x), "", dtype="<U5")
    for split, of_split in rows.items():
        split_of[of_split] = split
    dates = {f"{source.name}.days": source.name for source in sources if source.kind == "dates"}
    made = {name for source in sources if source.kind in ("dates", "text") for name in input_names(source)}
    found: list[str] = []
    numbers = [column.name for column in columns if column.fill is not None]
    for name, values in zip(numbers, each_column(x[:, : len(numbers)]), strict=True):
        if name in dates or name not in made:
            found += _sentences(values, table[dates.get(name, name)], split_of, row)
    if target is not None:
        found = _sentences(target.to_numpy(), target, split_of, row) + found
    more = len(found) - MOST_COLUMNS
    return (*found[:MOST_COLUMNS], *([f"{more} more columns have cells far outside the training rows"] * (more > 0)))


def _sentences(
    values: NDArray[np.floating], cells: pd.Series[Any], split_of: NDArray[np.str_], row: Callable[[int], str]
) -> list[str]:
    """What lies far outside in a column, in one sentence, or none."""
    is_train = split_of == "train"
    train = values[is_train]
    if not _may_have_outliers(values, train):
        return []
    few = min(len(train) - 1, max(1, int(FEW * len(train))))
    is_far = reach_of(train, few).is_beyond(values) & (split_of != "")
    far, usual = np.flatnonzero(is_far), np.flatnonzero(is_train & ~is_far)
    if not len(far):
        return []

    def shown(index: int) -> str:
        cell = cells.iloc[index]
        return f"{cell:.10g}" if cells.dtype.kind == "f" else str(cell)

    named = [f"{shown(i)} in {row(int(i))} ({split_of[i]})" for i in far[:MOST_CELLS]]
    more = f" and {len(far) - MOST_CELLS:,} more" if len(far) > MOST_CELLS else ""
    lie, others = "lies" if len(far) == 1 else "lie", "other " if is_far[is_train].any() else ""
    lowest, highest = (shown(usual[end(values[usual])]) for end in (np.argmin, np.argmax))
    return [
        f"column {cells.name!r}: {', '.join(named)}{more} {lie} far outside the {others}training rows "
        f"({lowest} to {highest}); if that is a mistake, mend the cell"
    ]


def _may_have_outliers(values: NDArray[np.floating], train: NDArray[np.floating]) -> bool:
    """Whether a number lies far outside a sample of the training rows; it takes milliseconds."""
    sample = train[:: 1 + len(train) // SAMPLE]
    median = np.median(sample)
    usual = np.quantile(np.abs(sample - median), 1 - 3 * FEW, method="lower")
    return bool(max(median - values.min(), values.max() - median) > FAR * usual)
