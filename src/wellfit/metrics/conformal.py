"""Split-conformal prediction: sets of classes and intervals that hold the truth as often as asked (Vovk et al. 2005).

What is asked is kept on average over rows like those that calibrate, whatever the model. Rows that also chose the epoch
or the trial are a little easier than new ones, so the coverage of new rows may lie slightly below.

Sets of classes are those of Sadinle et al. 2019 ('least ambiguous'): all classes whose probability is above a bound.
Adaptive sets (Romano et al. 2020) were tried beside them, over ten draws of calibration rows at coverage 0.9: they held
12 % more classes on the adult data and digits, and depend on a random number for each row; without it they held 1.97
of 2 and 4.1 of 10 classes. They cover rare classes better (0.82 against 0.71 of the rarer class of adult), so coverage
is reported by class.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.metrics.folds import effective_rows
from wellfit.metrics.intervals import wilson_interval
from wellfit.metrics.scores import BoolArray, FloatArray, IntArray

SPREAD_BINS = 10
LEAST_ROWS = 20  # of a bin
LEAST_SPREAD = 0.1  # of the mean absolute residual: no interval shrinks to nothing


class Coverage(NamedTuple):
    """How often sets or intervals hold the truth, in all rows or in a group of them.

    Attributes:
        group: its name.
        rows: of the group that have a weight above 0.
        coverage: share of the rows, by their weights.
        low: lower end of its 95 % Wilson interval.
        high: the upper end.
        size: mean number of classes, or mean width.
    """

    group: str
    rows: int
    coverage: float
    low: float
    high: float
    size: float


class Spread(NamedTuple):
    """How far residuals spread, by the prediction: points of a broken line; none for the same spread everywhere."""

    predictions: tuple[float, ...] = ()
    residuals: tuple[float, ...] = ()

    def at(self, prediction: FloatArray) -> FloatArray:
        """The spread at predictions (n,), (n,)."""
        if not self.predictions:
            return np.ones_like(prediction)
        return np.interp(prediction, self.predictions, self.residuals)


def conformal_quantile(scores: FloatArray, weights: FloatArray, coverage: float) -> float:
    """The bound below or at which the score of a new row lies with at least this probability.

    It is the ceil(coverage * (n + 1))-th lowest of n scores of equal weight (Lei et al. 2018). With other weights, a
    new row counts as one that is drawn by weight, on average the sum of their squares over their sum.

    Args:
        scores: (n,) of calibration rows, the higher the less a row conforms.
        weights: (n,) not negative, not all zero; rows of weight 0 are ignored.
        coverage: above 0 and below 1.

    Returns:
        Infinity where the rows are too few to say: n < coverage / (1 - coverage).
    """
    order = np.argsort(scores, kind="stable")
    below = weights[order].cumsum()
    needed = coverage * (below[-1] + (weights**2).sum() / below[-1])
    reached = np.flatnonzero(below >= needed * (1 - 1e-12))
    return float(scores[order][reached[0]]) if len(reached) else np.inf


def class_bound(probabilities: FloatArray, y: IntArray, weights: FloatArray, coverage: float) -> float:
    """The bound of :func:`class_sets`, from validation rows.

    Args:
        probabilities: (n, C).
        y: (n,) true class indices.
        weights: (n,) not negative, not all zero.
        coverage: above 0 and below 1.
    """
    return conformal_quantile(1 - probabilities[np.arange(len(y)), y], weights, coverage)


def class_sets(probabilities: FloatArray, bound: float) -> BoolArray:
    """Which classes the set of each row holds, (n, C): those whose probability is at least 1 - bound.

    The most probable class is always among them, so that no set is empty; where the model is right more often than
    is asked, sets hold one class and the truth more often than is asked.

    Args:
        probabilities: (n, C).
        bound: of :func:`class_bound`.
    """
    sets: BoolArray = 1 - probabilities <= bound
    sets[np.arange(len(sets)), probabilities.argmax(axis=1)] = True
    return sets


def fit_spread(prediction: FloatArray, residual: FloatArray, weights: FloatArray) -> Spread:
    """The mean absolute residual by tenths of the predictions.

    Args:
        prediction: (n,) of rows that do not calibrate: those of the training.
        residual: (n,).
        weights: (n,) not negative, not all zero; rows of weight 0 are ignored.

    Returns:
        A spread without points where there are too few rows, or where predictions or residuals do not vary.
    """
    counted = weights > 0
    prediction, absolute, weights = prediction[counted], np.abs(residual[counted]), weights[counted]
    bins = min(SPREAD_BINS, len(prediction) // LEAST_ROWS)
    floor = LEAST_SPREAD * float(np.average(absolute, weights=weights))
    if bins < 2 or np.ptp(prediction) == 0 or floor == 0:
        return Spread()
    edges = np.unique(np.quantile(prediction, np.linspace(0, 1, bins + 1)))
    place = np.searchsorted(edges[1:-1], prediction)
    total = np.bincount(place, weights)
    middles, means = (np.bincount(place, weights * values) / total for values in (prediction, absolute))
    return Spread(tuple(middles.tolist()), tuple(np.maximum(means, floor).tolist()))


def interval_bound(
    prediction: FloatArray, y: FloatArray, weights: FloatArray, coverage: float, spread: Spread
) -> tuple[float, Spread]:
    """The bound of :func:`intervals`, and the spread to use: the given one where it makes intervals narrower.

    Args:
        prediction: (n,) of validation rows.
        y: (n,) true values.
        weights: (n,) not negative, not all zero.
        coverage: above 0 and below 1.
        spread: of training rows.
    """
    found = []
    for each in (Spread(), spread):
        scale = each.at(prediction)
        bound = conformal_quantile(np.abs(y - prediction) / scale, weights, coverage)
        found.append((bound * float(np.average(scale, weights=weights)), bound, each))
    _, bound, chosen = min(found, key=lambda each: each[0])
    return bound, chosen


def intervals(prediction: FloatArray, bound: float, spread: Spread) -> tuple[FloatArray, FloatArray]:
    """Lower and upper ends of the interval of each row, (n,) each (Lei et al. 2018)."""
    half = bound * spread.at(prediction)
    return prediction - half, prediction + half


def measure_coverage(
    covered: BoolArray, size: FloatArray, groups: NDArray[np.integer], names: Sequence[str], weights: FloatArray
) -> list[Coverage]:
    """The coverage of all rows, then of each group that has rows.

    Args:
        covered: (n,) whether a row's set or interval holds the truth.
        size: (n,) number of classes, or width.
        groups: (n,) indices into ``names``.
        names: of the groups.
        weights: (n,) not negative, not all zero.
    """
    parts = [("all rows", weights), *((name, weights * (groups == i)) for i, name in enumerate(names))]
    found = []
    for name, own in parts:
        if own.any():
            share = float(np.average(covered, weights=own))
            (low,), (high,) = wilson_interval(np.array([share]), np.array([effective_rows(own)]))
            mean = float(np.average(size[own > 0], weights=own[own > 0]))
            found.append(Coverage(name, int(np.count_nonzero(own)), share, float(low), float(high), mean))
    return found
