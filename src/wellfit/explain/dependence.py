"""Partial dependence: the mean prediction if all rows had the same value in a column."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.data.scratch import each_column
from wellfit.explain.columns import Place
from wellfit.explain.copies import Predict, predictions_of
from wellfit.metrics.scores import FloatArray

POINTS = 20  # of a curve over numbers
ENDS = (0.01, 0.99)  # quantiles of the training rows between which a curve is drawn
MOST_CATEGORIES = 10  # of a column, the most frequent ones


class Dependence(NamedTuple):
    """How predictions depend on a column; G values, O outputs.

    Attributes:
        name: of the column.
        categories: the G values of a column of categories; empty for numbers.
        values: (G,) the values of a column of numbers; places of categories.
        mean: (G, O) mean prediction of all rows.
        curves: (rows, G) prediction of single rows; empty where there are several outputs.
        spread: how the training rows spread: (9,) deciles of a number, or (G,) shares of the categories.
        missing: (O,) mean prediction if the number was missing in all rows; None where it never is.
    """

    name: str
    categories: tuple[str, ...]
    values: FloatArray
    mean: FloatArray
    curves: FloatArray
    spread: FloatArray
    missing: FloatArray | None


def partial_dependence(
    predict: Predict,
    rows: NDArray[np.float32],
    train: NDArray[np.float32],
    places: Sequence[Place],
    outputs: Sequence[int],
    curves: int,
) -> list[Dependence]:
    """Predictions over the values of some columns (Friedman 2001), and of single rows (Goldstein et al. 2015).

    Args:
        predict: the model.
        rows: (n, columns) that get each value in turn.
        train: (m, columns) whose values decide which these are: numbers at even steps of the quantiles from 1 to 99 %,
            and the most frequent categories.
        places: the columns.
        outputs: columns of the probabilities that are wanted; [0] for numbers.
        curves: single rows, the first ones.
    """
    found = []
    for place in places:
        known, *flag = each_column(train, partial(_columns, stored=place.stored))
        if flag:
            known = known[flag[0] == 0]
        values, spread = _numbers(known) if place.column.fill is not None else _codes(known, place)
        cells = [_cells(place, value) for value in values]
        if place.flag is not None:
            cells.append((place.column.fill or 0.0, 1.0))
        predictions = predictions_of(predict, _with(rows, place, cells))
        wanted = np.stack([each.reshape(len(rows), -1)[:, outputs] for each in predictions])  # (G, n, O)
        mean = wanted.mean(axis=1)
        is_number, g = place.column.fill is not None, len(values)
        found.append(
            Dependence(
                place.column.name,
                () if is_number else tuple(place.column.categories[int(code)] for code in values),
                values if is_number else np.arange(g, dtype=np.float64),
                mean[:g],
                wanted[:g, :curves, 0].T if len(outputs) == 1 else np.empty((0, g)),
                spread,
                mean[g] if place.flag is not None else None,
            )
        )
    return found


def _numbers(known: NDArray[np.float32]) -> tuple[FloatArray, FloatArray]:
    """Values of a curve, and the deciles."""
    different = np.unique(known).astype(np.float64)
    if len(different) > POINTS:
        different = np.unique(np.quantile(known, np.linspace(*ENDS, POINTS))).astype(np.float64)
    return different, np.quantile(known, np.arange(1, 10) / 10).astype(np.float64)


def _codes(known: NDArray[np.float32], place: Place) -> tuple[FloatArray, FloatArray]:
    """Codes of the most frequent categories, and their shares of the rows."""
    codes = known[known >= 0].astype(np.int64)
    counts = np.bincount(codes, minlength=len(place.column.categories))
    kept = np.argsort(-counts, kind="stable")[:MOST_CATEGORIES]
    return kept.astype(np.float64), counts[kept] / max(1, len(known))


def _columns(rows: NDArray[np.float32], stored: Sequence[int]) -> NDArray[np.float32]:
    return rows[:, stored]


def _cells(place: Place, value: float) -> tuple[float, ...]:
    return (value,) if place.flag is None else (value, 0.0)


def _with(rows: NDArray[np.float32], place: Place, cells: Sequence[tuple[float, ...]]) -> Iterator[NDArray[np.float32]]:
    for each in cells:
        copy = rows.copy()
        copy[:, place.stored] = each
        yield copy
