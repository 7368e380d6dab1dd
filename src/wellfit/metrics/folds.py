"""Judging on validation rows what is itself fitted on validation rows: each half by the fit of the other half."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from wellfit.metrics.scores import FloatArray, IntArray


def row_weights(weights: NDArray[np.floating] | None, rows: int) -> FloatArray:
    """Weights as float64 (n,); ones where all rows count alike."""
    return np.ones(rows) if weights is None else weights.astype(np.float64)


def cross_fitted(value_of: Callable[[IntArray, IntArray], FloatArray], weights: FloatArray, seed: int) -> FloatArray:
    """A value of each row by a fit that has not seen the row, (n,); 0 for rows of weight 0.

    Args:
        value_of: from the indices of the rows to fit on, and of others, to a value for each of the others.
        weights: (n,) of the rows; at least two are above 0.
        seed: of the draw of the halves.
    """
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(weights))
    first, second = np.array_split(rows, 2)
    values = np.zeros(len(weights))
    values[second] = value_of(first, second)
    values[first] = value_of(second, first)
    return values


def effective_rows(weights: FloatArray) -> float:
    """How many rows of equal weight say as much (Kish 1965): at most as many as have a weight above 0."""
    return float(weights.sum() ** 2 / (weights**2).sum())
