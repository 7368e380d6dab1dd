"""Scores of predictions on the test split, and how far chance may have moved them.

Every score takes a weight for each row. A bootstrap resample is such a vector, the number of times that each row was
drawn, so nothing is copied or sorted again for it.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.errors import WellfitError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

COVERAGE = 0.95


class ClassRow(NamedTuple):
    """A line of the per-class report; ``support`` is the number of the class's rows."""

    class_name: str
    precision: float
    recall: float
    f1: float
    support: int


def classification_scores(
    y: IntArray, probabilities: FloatArray, weights: FloatArray | None, calibration_bins: int
) -> dict[str, float]:
    """The scores of class probabilities, as :class:`ClassificationScores` defines them.

    Args:
        y: (n,) true class indices.
        probabilities: (n, C), each row sums to 1; the predicted class is the most probable one.
        weights: (n,) not negative, or None for equal weights.
        calibration_bins: bins of ``ece``.

    Raises:
        WellfitError: there are no rows, or a probability is NaN or infinite.
    """
    scores = ClassificationScores(y, probabilities, calibration_bins)
    return scores(np.ones(len(y)) if weights is None else weights)


class ClassificationScores:
    """The scores of one set of class probabilities as a function of the rows' weights.

    What does not depend on the weights, such as the order of the rows by probability, is worked out once.

    Args:
        y: (n,) true class indices.
        probabilities: (n, C), each row sums to 1; the predicted class is the most probable one.
        calibration_bins: bins of ``ece``.

    Raises:
        WellfitError: there are no rows, or a probability is NaN or infinite.
    """

    def __init__(self, y: IntArray, probabilities: FloatArray, calibration_bins: int) -> None:
        _check_finite(probabilities, "probabilities")
        self._classes = probabilities.shape[1]
        predicted = probabilities.argmax(axis=1)
        self._cell = y * self._classes + predicted
        own = probabilities[np.arange(len(y)), y]
        eps = np.finfo(np.float64).eps
        self._row_loss = -np.log(own.clip(eps, 1 - eps))
        confidence, self._bin = confidence_bins(probabilities, calibration_bins)
        self._overconfidence = confidence - (predicted == y)
        ranked = [1] if self._classes == 2 else range(self._classes)
        self._rankings = [_rank(y == c, probabilities[:, c]) for c in ranked]

    def __call__(self, weights: FloatArray) -> dict[str, float]:
        """The scores, with the definitions of ``sklearn.metrics`` under ``sample_weight``.

        A class counts as occurring when its rows have a weight above zero.

        Args:
            weights: (n,) not negative, not all zero.

        Returns:
            ``accuracy``, ``balanced_accuracy`` (mean recall of the classes that occur), ``macro_f1`` (over the classes
            that occur or are predicted), ``weighted_f1``, ``log_loss`` (nats), ``roc_auc`` (two classes: of class 1;
            more: mean of one class against the rest; NaN where a single class occurs) and ``ece``, the expected
            calibration error: |accuracy - mean confidence| of a bin, averaged over the rows (Guo et al. 2017);
            ``precision``, ``recall`` and ``f1`` (two classes: of class 1; more: mean over the classes that occur or are
            predicted; 0 where there is nothing to divide by) and ``average_precision`` (two classes: of class 1; more:
            mean of one class against the rest over those that occur; NaN where class 1 of two does not).
        """
        total = weights.sum()
        confusion = np.bincount(self._cell, weights, minlength=self._classes**2).reshape(self._classes, self._classes)
        hits, true, predicted = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
        precision, recall, f1 = _ratio(hits, predicted), _ratio(hits, true), _ratio(2 * hits, true + predicted)
        areas = [ranking.areas(weights) for ranking in self._rankings]
        counted = true + predicted > 0
        reported = np.array([False, True]) if self._classes == 2 else counted
        return {
            "accuracy": float(hits.sum() / total),
            "balanced_accuracy": float(recall[true > 0].mean()),
            "macro_f1": float(f1[counted].mean()),
            "weighted_f1": float((f1 * true).sum() / total),
            "log_loss": float((self._row_loss * weights).sum() / total),
            "roc_auc": _mean_of_defined([area for area, _ in areas]),
            "ece": float(np.abs(np.bincount(self._bin, self._overconfidence * weights)).sum() / total),
            "precision": float(precision[reported].mean()),
            "recall": float(recall[reported].mean()),
            "f1": float(f1[reported].mean()),
            "average_precision": _mean_of_defined([area for _, area in areas]),
        }


def regression_scores(y: FloatArray, prediction: FloatArray, weights: FloatArray | None) -> dict[str, float]:
    """Errors in the target's unit, and the share of its variance that is explained.

    Args:
        y: (n,) true values.
        prediction: (n,).
        weights: (n,) not negative, not all zero, or None for equal weights.

    Returns:
        ``rmse``, ``mae``, ``r2`` and ``msle`` as ``sklearn.metrics`` defines them; ``r2`` is NaN where ``y`` does not
        vary. ``msle`` takes a prediction below 0 for 0, and is NaN where a value of ``y`` is below 0.

    Raises:
        WellfitError: there are no rows, or a prediction is NaN or infinite.
    """
    _check_finite(prediction, "predictions")
    weights = np.ones(len(y)) if weights is None else weights
    error, total = y - prediction, weights.sum()
    squares = (weights * error**2).sum()
    variation = (weights * (y - (weights * y).sum() / total) ** 2).sum()
    varies = np.ptp(y[weights > 0]) > 0  # rounding can leave a constant target with a variation above zero
    return {
        "rmse": float(np.sqrt(squares / total)),
        "mae": float((weights * np.abs(error)).sum() / total),
        "r2": float(1 - squares / variation) if varies else float("nan"),
        "msle": float("nan") if (y < 0).any() else float((weights * _log_error(y, prediction) ** 2).sum() / total),
    }


def bootstrap_intervals(
    scores: Callable[[FloatArray], dict[str, float]],
    n_rows: int,
    resamples: int,
    seed: int,
    weights: NDArray[np.float32] | None = None,
) -> dict[str, float | None]:
    """Scores with 95 % percentile bootstrap intervals over the rows (Efron 1979).

    Resamples in which a score is undefined do not count for that score. An interval is stretched to hold its
    estimate: chance can only add to ``ece``, a sum of absolute values, so that resamples of it may all lie above.

    Args:
        scores: from weights (n_rows,) to named scores: a :class:`ClassificationScores`, or :func:`regression_scores`
            with its first two arguments bound.
        n_rows: rows to draw from, as many as are drawn.
        resamples: number of resamples.
        seed: of the draws; the same seed gives the same intervals to the last bit.
        weights: (n_rows,) how much each row counts, or None where all count alike.

    Returns:
        ``NAME``, ``NAME_low`` and ``NAME_high`` for each score; all three None where the score is undefined.
    """
    random = np.random.default_rng(seed)
    own = np.ones(n_rows) if weights is None else weights.astype(np.float64)
    estimates = scores(own)
    drawn = {name: np.empty(resamples) for name in estimates}
    for i in range(resamples):
        counts = np.bincount(random.integers(n_rows, size=n_rows), minlength=n_rows)
        resample = counts * own
        for name in drawn:
            drawn[name][i] = np.nan
        if resample.any():  # else only rows that weigh nothing were drawn
            for name, value in scores(resample).items():
                drawn[name][i] = value
    result: dict[str, float | None] = {}
    for name, estimate in estimates.items():
        low, high = _interval(estimate, drawn[name])
        result |= {name: None if np.isnan(estimate) else estimate, f"{name}_low": low, f"{name}_high": high}
    return result


def confusion_counts(y: IntArray, predicted: IntArray, n_classes: int) -> IntArray:
    """How often each class was taken for each, (C, C): rows are the true classes, columns the predicted ones."""
    return np.bincount(y * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)


def per_class_report(
    y: IntArray, probabilities: FloatArray, class_names: Sequence[str], weights: NDArray[np.float32] | None = None
) -> list[ClassRow]:
    """Precision, recall and F1 of each class, zero where undefined, and its number of rows.

    Args:
        y: (n,) true class indices.
        probabilities: (n, C).
        class_names: C names.
        weights: (n,) how much each row counts in the scores, or None where all count alike.
    """
    classes, guess = len(class_names), probabilities.argmax(axis=1)
    confusion = np.bincount(y * classes + guess, weights, minlength=classes**2).reshape(classes, classes)
    hits, true, predicted = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    support = np.bincount(y, minlength=classes)
    columns = _ratio(hits, predicted), _ratio(hits, true), _ratio(2 * hits, true + predicted), support
    return [
        ClassRow(name, float(precision), float(recall), float(f1), int(rows))
        for name, precision, recall, f1, rows in zip(class_names, *columns, strict=True)
    ]


def confidence_bins(probabilities: FloatArray, bins: int) -> tuple[FloatArray, IntArray]:
    """The probability of the predicted class, and which of the equal bins of 0 to 1 it falls into.

    Args:
        probabilities: (n, C).
        bins: number of bins; each holds its upper edge.

    Returns:
        Confidence (n,) and bin (n,), from 0 to ``bins`` - 1.
    """
    confidence = probabilities.max(axis=1)
    inner_edges = np.linspace(0, 1, bins + 1)[1:-1]
    return confidence, np.searchsorted(inner_edges, confidence)


def wilson_interval(share: FloatArray, rows: IntArray) -> tuple[FloatArray, FloatArray]:
    """95 % interval of shares (Wilson 1927), which stays within 0 and 1 and holds for few rows.

    Args:
        share: (n,) from 0 to 1.
        rows: (n,) that each is a share of, at least 1.
    """
    z = 1.959964
    center = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z / (1 + z**2 / rows) * np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    return center - half, center + half


class _Ranking(NamedTuple):
    """The rows of one class and the others, in an order that makes areas under curves cumulative sums."""

    positives: IntArray  # (p,) rows of the class, by rising score
    negatives: IntArray  # (m,) other rows, by rising score
    below: IntArray  # (p,) how many negatives score lower than each positive
    below_or_tied: IntArray  # (p,)
    positives_below: IntArray  # (p,) how many positives score lower than each

    def areas(self, weights: FloatArray) -> tuple[float, float]:
        """Areas under the ROC curve and, as average precision sums it up, under that of precision and recall.

        The first is the weighted share of the pairs of a positive and a negative that stand in the right order, where
        ties are half; the second the mean over the positives of the precision among the rows that score as high as
        each, or higher. NaN where there are no such pairs or positives.
        """
        positive = weights[self.positives]
        hits, misses = _cumulated(positive), _cumulated(weights[self.negatives])
        n_hits, n_misses, below = hits[-1], misses[-1], misses[self.below]
        if n_hits == 0:
            return float("nan"), float("nan")
        hits_as_high = n_hits - hits[self.positives_below]
        average_precision = (positive * _ratio(hits_as_high, hits_as_high + n_misses - below)).sum() / n_hits
        if n_misses == 0:
            return float("nan"), float(average_precision)
        pairs_in_order = (positive * (below + misses[self.below_or_tied])).sum() / 2
        return float(pairs_in_order / (n_hits * n_misses)), float(average_precision)


def _cumulated(weights: FloatArray) -> FloatArray:
    """Sums of the first 0, 1, 2, ... weights."""
    sums = np.zeros(len(weights) + 1)
    np.cumsum(weights, out=sums[1:])
    return sums


def _rank(is_class: NDArray[np.bool_], score: FloatArray) -> _Ranking:
    positives, negatives = (
        rows[np.argsort(score[rows])] for rows in (np.flatnonzero(is_class), np.flatnonzero(~is_class))
    )
    below = np.searchsorted(score[negatives], score[positives], side="left")
    below_or_tied = np.searchsorted(score[negatives], score[positives], side="right")
    positives_below = np.searchsorted(score[positives], score[positives], side="left")
    return _Ranking(positives, negatives, below, below_or_tied, positives_below)


def _mean_of_defined(values: list[float]) -> float:
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")


def _log_error(y: FloatArray, prediction: FloatArray) -> FloatArray:
    error: FloatArray = np.log1p(y) - np.log1p(prediction.clip(0))
    return error


def _interval(estimate: float, drawn: FloatArray) -> tuple[float | None, float | None]:
    defined = drawn[~np.isnan(drawn)]
    if np.isnan(estimate) or len(defined) == 0:
        return None, None
    low, high = np.quantile(defined, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return min(float(low), estimate), max(float(high), estimate)


def _ratio(part: NDArray[np.generic], whole: NDArray[np.generic]) -> FloatArray:
    """``part / whole``, zero where ``whole`` is zero."""
    ratio: FloatArray = np.divide(part, whole, out=np.zeros(len(whole)), where=whole != 0)
    return ratio


def _check_finite(outputs: FloatArray, what: str) -> None:
    if len(outputs) == 0:
        raise WellfitError("evaluate needs at least one test row, got none; raise data.test_fraction")
    broken = np.flatnonzero(~np.isfinite(outputs.reshape(len(outputs), -1)).all(axis=1))
    if len(broken):
        raise WellfitError(
            f"{what} must be finite, got NaN or infinity in {len(broken)} of {len(outputs)} rows (first: {broken[0]}); "
            "train again, perhaps with a lower optim.lr"
        )
