"""What the training rows were, as counts: how many of them fall into each bin of each column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from wellfit.data.encode import MISSING
from wellfit.data.meta import Meta
from wellfit.data.scratch import each_column

N_BINS = 10  # of numbers: as many training rows in each, where ties allow it
UNSEEN, MISSING_CELLS = "unseen or rare", "missing"  # bins that every column of categories, and every column, has
CHANNELS = {1: ("",), 3: (" of red", " of green", " of blue")}

Counts = NDArray[np.int64]


class Bins(BaseModel):
    """The bins of a column and the training rows in each; of a prediction, the validation rows.

    Numbers have a bin below the smallest value, those that end at ``uppers``, and one above the largest. Categories
    have a bin each, and one for all others. The last bin is of missing cells.

    Attributes:
        name: of the column, of a property of images, or of the target.
        kind: numbers, or categories by code.
        lowest: the smallest number; None where there is none.
        uppers: ends of the bins of numbers, ascending; each belongs to the bin below it.
        categories: by code.
        counts: rows in each bin.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    kind: Literal["numbers", "categories"]
    lowest: float | None = None
    uppers: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    counts: tuple[int, ...]

    @property
    def labels(self) -> list[str]:
        """What people call each bin."""
        if self.kind == "categories":
            return [*self.categories, UNSEEN, MISSING_CELLS]
        if self.lowest is None:
            return ["below", "a number", MISSING_CELLS]
        starts = [self.lowest, *self.uppers]
        inside = [
            _label(end) if start == end else f"{_label(start)} to {_label(end)}"
            for start, end in zip(starts, self.uppers, strict=False)
        ]
        return [f"below {_label(self.lowest)}", *inside, f"above {_label(starts[-1])}", MISSING_CELLS]

    def count(self, values: NDArray[Any]) -> Counts:
        """How many of (n,) values are in each bin.

        Args:
            values: numbers, or codes of categories, below 0 for those that are not told apart; NaN where missing.
        """
        missing = np.isnan(values)
        there = values[~missing]
        if self.kind == "categories":
            places = np.where(there < 0, len(self.categories), there).astype(np.int64)
            inside = len(self.categories) + 1
        else:
            places = np.searchsorted(self.uppers, there, side="left") + 1
            if self.lowest is not None:
                places[there < self.lowest] = 0
            inside = len(self.uppers) + 2
        return np.append(np.bincount(places, minlength=inside), missing.sum())


class Profile(BaseModel):
    """What the training rows were, and what was predicted of the validation rows.

    Attributes:
        columns: the inputs of a table, or the brightness and contrast of each channel of images.
        predictions: classes, or numbers in the target's unit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: tuple[Bins, ...]
    predictions: Bins

    @property
    def rows(self) -> int:
        """How many training rows there were."""
        return sum(self.columns[0].counts)


def fit_profile(meta: Meta, rows: NDArray[Any], predicted: NDArray[Any]) -> Profile:
    """Counts training rows.

    Args:
        meta: of the data.
        rows: (n, ...) training rows as they are stored: see `wellfit.data.store.Split.x`.
        predicted: (m,) what is predicted of rows that the training did not use: indices of classes, or numbers.
    """
    values = each_column(rows, lambda part: observe(meta, np.asarray(part), stored_gaps(meta, part)))
    if meta.kind == "images":
        columns = [fit_bins(name, column) for name, column in zip(_of_images(meta), values, strict=True)]
    else:
        columns = [
            fit_bins(column.name, cells, None if column.fill is not None else column.categories)
            for column, cells in zip(meta.columns, values, strict=True)
        ]
    predictions = fit_bins(meta.target_name, predicted.astype(np.float64), meta.class_names or None)
    return Profile(columns=tuple(columns), predictions=predictions)


def observe(meta: Meta, rows: NDArray[Any], gaps: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    """What is counted of rows: (n, columns) numbers and codes; of images the brightness and contrast of each channel.

    Args:
        meta: of the data.
        rows: (n, ...) as they are stored: see `wellfit.data.store.Split.x`.
        gaps: (n, columns) whether a cell of a table is missing, which becomes NaN; None for images.
    """
    if gaps is None:
        pixels = rows.reshape(len(rows), meta.input_shape[0], -1).astype(np.float32)
        return np.concatenate([pixels.mean(2), pixels.std(2)], axis=1)
    numbers, others = len(meta.columns) - len(meta.category_counts), len(meta.category_counts)
    values = np.column_stack([rows[:, :numbers], rows[:, rows.shape[1] - others :]]).astype(np.float32)
    values[gaps] = np.nan
    return values


def _label(number: float) -> str:
    """A number to four digits, and large ones to the whole number."""
    return f"{number:,.0f}" if 1e4 <= abs(number) < 1e9 else f"{number:.4g}"


def _of_images(meta: Meta) -> list[str]:
    channels = meta.input_shape[0]
    whose = CHANNELS.get(channels) or [f" of channel {i}" for i in range(channels)]
    return [f"{what}{of}" for what in ("brightness", "contrast") for of in whose]


def stored_gaps(meta: Meta, rows: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Which cells of stored rows were missing: flagged numbers, and a category of their own."""
    if meta.kind == "images":
        return None
    gaps = np.zeros((len(rows), len(meta.columns)), np.bool_)
    flagged = [i for i, column in enumerate(meta.columns) if column.flags_missing]
    numbers = len(meta.columns) - len(meta.category_counts)
    gaps[:, flagged] = rows[:, numbers : numbers + len(flagged)] == 1
    first = numbers + len(flagged)
    for i, column in enumerate(meta.columns[numbers:]):
        if MISSING in column.categories:
            gaps[:, numbers + i] = rows[:, first + i] == column.categories.index(MISSING)
    return gaps


def fit_bins(name: str, values: NDArray[Any], categories: Sequence[str] | None = None) -> Bins:
    """The bins of a column, with its training rows in them: tenths of numbers, or categories.

    Args:
        name: of the column.
        values: (n,) numbers, or codes of categories; NaN where missing.
        categories: by code; None for numbers.
    """
    if categories is not None:
        empty = Bins(name=name, kind="categories", categories=tuple(categories), counts=())
    elif len(there := values[~np.isnan(values)]):
        # The values at the ends of the tenths themselves: numbers that repeat stand whole in one bin.
        ends = np.quantile(there, np.arange(1, N_BINS + 1) / N_BINS, method="inverted_cdf")
        empty = Bins(
            name=name, kind="numbers", lowest=float(there.min()), uppers=tuple(np.unique(ends).tolist()), counts=()
        )
    else:
        empty = Bins(name=name, kind="numbers", counts=())
    return empty.model_copy(update={"counts": tuple(empty.count(values).tolist())})
