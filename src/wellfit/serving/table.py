"""Predictions as a table: a line for each row."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wellfit.data.meta import Meta
from wellfit.data.store import Split
from wellfit.metrics.threshold import DEFAULT_THRESHOLD, predicted_classes

DIGITS = 9  # significant ones, of which no two numbers in float32, as networks compute, have the same


def prediction_table(
    predictions: NDArray[np.float64], split: Split, meta: Meta, threshold: float = DEFAULT_THRESHOLD
) -> tuple[list[str], list[list[Any]]]:
    """Names of columns, and the lines.

    Args:
        predictions: (n, C) probabilities, or (n,) numbers in the target's unit.
        split: the n rows.
        meta: of the data.
        threshold: of `wellfit.metrics.threshold.predicted_classes`.

    Returns:
        ``id``, ``actual`` and ``predicted``, numbers to nine digits; of classes also ``p_<class>``, to six digits.
    """
    columns, ids = ["id", "actual", "predicted"], split.ids.tolist()
    if meta.task == "regression":
        actual = np.asarray(split.y, np.float64).tolist()
        return columns, [list(row) for row in zip(ids, actual, rounded(predictions), strict=True)]
    names = meta.class_names
    predicted = predicted_classes(predictions, threshold)
    guesses = zip(ids, np.asarray(split.y), predicted, predictions.round(6).tolist(), strict=True)
    lines = [[row, names[true], names[guess], *chances] for row, true, guess, chances in guesses]
    return [*columns, *(f"p_{name}" for name in names)], lines


def rounded(numbers: Iterable[float]) -> list[float]:
    """Numbers to nine significant digits: those behind come from computing in the target's unit, and mean nothing."""
    return [float(f"{number:.{DIGITS}g}") for number in numbers]
