"""Scores, each defined once, of K sets of predictions at a time.

They are those of ``sklearn.metrics``, where a row's weight is its ``sample_weight``. `wellfit.training.metrics` calls
them for the K members of a pack, `wellfit.metrics.predictions` for the predictions of the test split.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


def confusion_matrices(
    targets: IntArray, predicted: IntArray, classes: int, weights: FloatArray | None = None
) -> FloatArray:
    """How often, or with what weight, each class was taken for each.

    Args:
        targets: (K, n) true class indices.
        predicted: (K, n) predicted class indices.
        classes: C.
        weights: (K, n), or None for equal weights.

    Returns:
        (K, C, C): rows are the true classes, columns the predicted ones.
    """
    members = len(targets)
    cells = (np.arange(members)[:, np.newaxis] * classes + targets) * classes + predicted
    row_weights = None if weights is None else weights.ravel()
    counts = np.bincount(cells.ravel(), row_weights, minlength=members * classes**2)
    return counts.reshape(members, classes, classes).astype(np.float64)


class Margins(NamedTuple):
    """Sums of confusion matrices, (K, C) each, that all scores of predicted classes follow from.

    Attributes:
        hits: rows of a class that are predicted as such.
        true: rows of a class.
        predicted: rows that are predicted as a class.
    """

    hits: FloatArray
    true: FloatArray
    predicted: FloatArray


def margins_of(confusion: FloatArray) -> Margins:
    """The margins of confusion matrices, (K, C, C)."""
    return Margins(np.diagonal(confusion, axis1=1, axis2=2), confusion.sum(2), confusion.sum(1))


def class_margins(targets: IntArray, predicted: IntArray, classes: int, weights: FloatArray | None = None) -> Margins:
    """The margins of `confusion_matrices`, without the matrices: those of a thousand classes have a million cells."""
    members = len(targets)
    first = np.arange(members)[:, np.newaxis] * classes

    def count(found: IntArray, counted: FloatArray | None) -> FloatArray:
        row_weights = None if counted is None else counted.ravel()
        counts = np.bincount((first + found).ravel(), row_weights, minlength=members * classes)
        return counts.reshape(members, classes).astype(np.float64)

    right = (targets == predicted).astype(np.float64)
    hits = right if weights is None else right * weights
    return Margins(count(targets, hits), count(targets, weights), count(predicted, weights))


def class_scores(margins: Margins) -> dict[str, FloatArray]:
    """Scores of predicted classes.

    A class occurs when the weights of its rows sum to more than zero.

    Args:
        margins: of K confusion matrices of C classes.

    Returns:
        Each (K,). ``accuracy``, ``balanced_accuracy`` (mean recall of the classes that occur), ``macro_f1`` (over the
        classes that occur or are predicted), ``weighted_f1``. ``precision``, ``recall`` and ``f1``: of class 1 where
        there are two classes, else the mean over the classes that occur or are predicted; 0 where there is nothing to
        divide by (``zero_division=0``).
    """
    precision, recall, f1 = precision_recall_f1(margins)
    hits, true, predicted = margins
    counted = true + predicted > 0

    def of_classes(scores: FloatArray) -> FloatArray:
        found: FloatArray = scores[:, 1] if scores.shape[1] == 2 else np.mean(scores, axis=1, where=counted)
        return found

    total = true.sum(1)
    return {
        "accuracy": hits.sum(1) / total,
        "balanced_accuracy": np.mean(recall, axis=1, where=true > 0),
        "precision": of_classes(precision),
        "recall": of_classes(recall),
        "f1": of_classes(f1),
        "macro_f1": np.mean(f1, axis=1, where=counted),
        "weighted_f1": (f1 * true).sum(1) / total,
    }


def precision_recall_f1(margins: Margins) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Precision, recall and F1 of each class, (K, C) each; 0 where there is nothing to divide by."""
    hits, true, predicted = margins
    return ratio(hits, predicted), ratio(hits, true), ratio(2 * hits, true + predicted)


class Rankings:
    """Rows in the order of their scores, for the areas under curves.

    The order does not depend on the rows' weights, so that a bootstrap sorts once.

    Args:
        scores: (R, n) of R rankings.
        is_class: (R, n) which rows are positive.
    """

    def __init__(self, scores: NDArray[np.floating], is_class: BoolArray) -> None:
        negative = -scores
        self._rows = np.argsort(negative, axis=1)  # the highest score first
        self._first = scores.shape[1] * np.arange(len(scores))[:, np.newaxis]
        order = self._rows + self._first
        self._hit = is_class.take(order)
        self._tied = _tied_with_next(negative.take(order))

    def areas(self, weights: FloatArray | None = None) -> tuple[FloatArray, FloatArray]:
        """ROC AUC and average precision, (R,) each; NaN where they are undefined.

        Args:
            weights: (n,) or (R, n), or None for equal weights.
        """
        hit, miss = self._hit, ~self._hit
        if weights is not None:
            row_weights = weights.take(self._rows if weights.ndim == 1 else self._rows + self._first)
            hit, miss = hit * row_weights, miss * row_weights
        positives, negatives = self._cumulated(hit), self._cumulated(miss)
        gained, lost = (hit, miss) if self._tied is None else (np.diff(positives, axis=1), np.diff(negatives, axis=1))
        n_positives, n_negatives = positives[:, -1], negatives[:, -1]
        area = (lost * (positives[:, 1:] + positives[:, :-1])).sum(1) / 2
        precision = (gained * ratio(positives[:, 1:], positives[:, 1:] + negatives[:, 1:])).sum(1)
        return ratio_or_nan(area, n_positives * n_negatives), ratio_or_nan(precision, n_positives)

    def _cumulated(self, values: NDArray[np.generic]) -> FloatArray:
        """Sums before the first row and up to each row, (R, n + 1); rows of equal score are added at their last."""
        sums = np.zeros((len(values), values.shape[1] + 1))
        np.cumsum(values, axis=1, dtype=np.float64, out=sums[:, 1:])
        if self._tied is not None:
            sums[:, 1:-1][self._tied] = 0.0
            np.maximum.accumulate(sums, axis=1, out=sums)
        return sums


def _tied_with_next(falling: NDArray[np.floating]) -> BoolArray | None:
    """Whether a row's score equals that of the next row, (R, n - 1); None where no two are equal."""
    tied: BoolArray = falling[:, :-1] == falling[:, 1:]
    return tied if tied.any() else None


def mean_of_defined(values: FloatArray) -> FloatArray:
    """The mean over the last axis without NaN; NaN where all are."""
    defined = ~np.isnan(values)
    return ratio_or_nan(np.where(defined, values, 0.0).sum(-1), defined.sum(-1).astype(np.float64))


def error_scores(
    target: FloatArray, error: FloatArray, weights: FloatArray, unit: float = 1.0
) -> dict[str, FloatArray]:
    """Scores of predicted numbers.

    Args:
        target: (K, n) true values.
        error: (K, n) what the predictions are off by.
        weights: (K, n) not negative, not all zero.
        unit: by which ``rmse`` and ``mae`` are multiplied.

    Returns:
        ``rmse``, ``mae`` and ``r2``, (K,) each; ``r2`` is NaN where the target is constant.
    """
    total = weights.sum(1)
    squares = (weights * error**2).sum(1)
    mean = (weights * target).sum(1) / total
    variation = (weights * (target - mean[:, np.newaxis]) ** 2).sum(1)
    r2 = 1 - ratio(squares, variation)
    return {
        "rmse": unit * np.sqrt(squares / total),
        "mae": unit * (weights * np.abs(error)).sum(1) / total,
        "r2": np.where((variation > 0) & _varies(target, weights), r2, np.nan),
    }


def _varies(target: FloatArray, weights: FloatArray) -> BoolArray:
    """Whether the rows with a weight have different targets, (K,); rounding can leave equal ones with a variation."""
    counts = weights > 0
    if counts.all():  # without a mask it is five times as fast
        span = np.ptp(target, axis=1)
    else:
        span = target.max(axis=1, where=counts, initial=-np.inf) - target.min(axis=1, where=counts, initial=np.inf)
    different: BoolArray = np.greater(span, 0)
    return different


def mean_squared_log_error(target: FloatArray, prediction: FloatArray, weights: FloatArray) -> FloatArray:
    """``msle``, (K,), in which a prediction below 0 counts as 0; the targets are not below 0."""
    difference = np.log1p(prediction.clip(0)) - np.log1p(target)
    found: FloatArray = (weights * difference**2).sum(1) / weights.sum(1)
    return found


def ratio(part: NDArray[np.generic], whole: NDArray[np.generic]) -> FloatArray:
    """``part / whole``, 0 where ``whole`` is 0."""
    found: FloatArray = np.divide(part, whole, out=np.zeros(np.shape(part)), where=whole != 0)
    return found


def ratio_or_nan(part: FloatArray, whole: FloatArray) -> FloatArray:
    """``part / whole``, NaN where ``whole`` is 0."""
    found: FloatArray = np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole != 0)
    return found
