"""Predictions as a table: a line for each row."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wellfit.data.meta import Meta
from wellfit.data.store import Split
from wellfit.metrics.threshold import DEFAULT_THRESHOLD, predicted_classes

ROWS_AT_ONCE = 4096
DIGITS = 9  # significant ones, of which no two numbers in float32, as networks compute, have the same


def prediction_table(
    predictions: NDArray[np.float64], split: Split, meta: Meta, threshold: float = DEFAULT_THRESHOLD
) -> tuple[list[str], Iterator[list[Any]]]:
    """Names of columns, and the lines, which are made as they are asked for.

    Args:
        predictions: (n, C) probabilities, or (n,) numbers in the target's unit.
        split: the n rows.
        meta: of the data.
        threshold: of `wellfit.metrics.threshold.predicted_classes`.

    Returns:
        ``id``, ``actual`` and ``predicted``, numbers to nine digits; of classes also ``p_<class>``, to six digits.
    """
    names = meta.class_names
    lines = (
        _of_numbers(predictions, split)
        if meta.task == "regression"
        else _of_classes(predictions, split, names, threshold)
    )
    return ["id", "actual", "predicted", *(f"p_{name}" for name in names)], lines


def _of_numbers(predictions: NDArray[np.float64], split: Split) -> Iterator[list[Any]]:
    for some in _parts(len(predictions)):
        actual = np.asarray(split.y[some], np.float64).tolist()
        yield from map(list, zip(split.ids[some].tolist(), actual, rounded(predictions[some]), strict=True))


def _of_classes(
    predictions: NDArray[np.float64], split: Split, names: Sequence[str], threshold: float
) -> Iterator[list[Any]]:
    for some in _parts(len(predictions)):
        predicted, chances = predicted_classes(predictions[some], threshold), predictions[some].round(6).tolist()
        lines = zip(split.ids[some].tolist(), np.asarray(split.y[some]), predicted, chances, strict=True)
        for row, true, guess, each in lines:
            yield [row, names[true], names[guess], *each]


def _parts(n_rows: int) -> Iterator[slice]:
    for start in range(0, n_rows, ROWS_AT_ONCE):
        yield slice(start, start + ROWS_AT_ONCE)


def rounded(numbers: Iterable[float]) -> list[float]:
    """Numbers to nine significant digits: those behind come from computing in the target's unit, and mean nothing."""
    return [float(f"{number:.{DIGITS}g}") for number in numbers]
