"""Shapley values: how much each column moves the prediction of a row away from the mean prediction."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.explain.columns import Feature
from wellfit.explain.copies import Predict, predictions_of
from wellfit.metrics.scores import FloatArray, IntArray


class Contributions(NamedTuple):
    """What the columns contribute to the predictions of some rows.

    ``values`` of a row add up to its ``prediction`` minus its ``base``.

    Attributes:
        values: (rows, columns) in the unit of the predictions.
        errors: (rows, columns) their standard errors, by the number of permutations.
        predictions: (rows,).
        base: (rows,) mean prediction of the background.
    """

    values: FloatArray
    errors: FloatArray
    predictions: FloatArray
    base: FloatArray


def shapley_values(
    predict: Predict,
    rows: NDArray[np.float32],
    outputs: IntArray,
    background: NDArray[np.float32],
    features: Sequence[Feature],
    seed: int,
) -> Contributions:
    """Contributions by sampling permutations of the columns (Strumbelj and Kononenko 2014).

    For each row of the background there is one permutation. In its order the cells of the background row are replaced
    by those of the explained row, and each column gets the credit for the change of the prediction when its turn
    comes; then once more in the reverse order, which cancels much of the noise (Mitchell et al. 2022, antithetic
    sampling).

    Args:
        predict: the model.
        rows: (n, columns) that are explained, as they are stored.
        outputs: (n,) which of the probabilities is explained; zeros for numbers.
        background: (m, columns) training rows, two or more.
        features: the d columns.
        seed: of the permutations.
    """
    m, d = len(background), len(features)
    random = np.random.default_rng(seed)
    orders = random.permuted(np.tile(np.arange(d), (m, 1)), axis=1)
    turns = np.stack([orders, d - 1 - orders], axis=1)  # (m, 2, d): when it is the turn of each column
    owner = np.empty(background.shape[1], np.int64)  # which of the d columns a stored one belongs to
    for i, feature in enumerate(features):
        owner[feature.stored] = i

    def walks() -> Iterator[NDArray[np.float32]]:
        """After 1, 2, ..., d - 1 turns, forwards and backwards."""
        steps = np.arange(1, d)[:, np.newaxis]
        for row in rows:
            for start, turn in zip(background, turns, strict=True):
                is_replaced = turn[:, np.newaxis, owner] < steps  # (2, d - 1, columns)
                yield np.where(is_replaced, row, start).reshape(-1, len(row))

    n = len(rows)
    on_the_way = np.empty((n, m, 2, d + 1))
    ends, starts = _wide(predict(rows)), _wide(predict(background))
    walked = predictions_of(predict, walks())
    for i, output in enumerate(outputs):
        on_the_way[i, :, :, 0] = starts[:, output, np.newaxis]
        on_the_way[i, :, :, d] = ends[i, output]
        for j in range(m):
            on_the_way[i, j, :, 1:d] = _wide(next(walked))[:, output].reshape(2, d - 1)
    gains = np.take_along_axis(np.diff(on_the_way), turns[np.newaxis], axis=3).mean(axis=2)  # (n, m, d)
    return Contributions(
        gains.mean(axis=1),
        gains.std(axis=1, ddof=1) / np.sqrt(m),
        ends[np.arange(n), outputs],
        starts.mean(axis=0)[outputs],
    )


def _wide(predictions: FloatArray) -> FloatArray:
    """Numbers (n,) as (n, 1); probabilities as they are."""
    return predictions[:, np.newaxis] if predictions.ndim == 1 else predictions
