"""Numbers of the trainings of several seeds, epoch by epoch."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

History = Sequence[Mapping[str, float]]


def mean_over_seeds(histories: Sequence[History], metric: str) -> NDArray[np.float64]:
    """The mean of a metric in each epoch over the seeds that came as far, (epochs,); NaN where none has a value."""
    mean: NDArray[np.float64] = np.ma.masked_invalid(table_of(histories, metric)).mean(axis=0).filled(np.nan)
    return mean


def table_of(histories: Sequence[History], metric: str) -> NDArray[np.float64]:
    """(seeds, epochs), NaN where there is no value."""
    table = np.full((len(histories), max(map(len, histories), default=0)), np.nan)
    for row, history in zip(table, histories, strict=True):
        row[: len(history)] = [epoch.get(metric, np.nan) for epoch in history]
    return table


def has_value(histories: Sequence[History], metrics: Sequence[str]) -> bool:
    """Whether one of the metrics is a number in one of the epochs."""
    return any(np.isfinite(table_of(histories, metric)).any() for metric in metrics)


def later_values(histories: Sequence[History], metrics: Sequence[str], first_epochs: float) -> NDArray[np.float64]:
    """The finite values after the first epochs, and the last of each history."""
    start = int(np.ceil(first_epochs * max(map(len, histories), default=0)))
    later = [epoch for history in histories for epoch in history[min(start, len(history) - 1) :]]
    values: NDArray[np.float64] = np.array([epoch.get(metric, np.nan) for metric in metrics for epoch in later])
    return values[np.isfinite(values)]
