"""Scores of predictions on the test split.

Every score takes a weight for each row. A bootstrap resample is such a vector, the number of times that each row was
drawn, so nothing is copied or sorted again for it.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.data.meta import Task
from wellfit.errors import WellfitError
from wellfit.metrics.intervals import Scores, Values
from wellfit.metrics.rankings import ClassRankings
from wellfit.metrics.scores import (
    FloatArray,
    IntArray,
    Rankings,
    class_margins,
    class_scores,
    confusion_matrices,
    error_scores,
    mean_of_defined,
    mean_squared_log_error,
    precision_recall_f1,
)
from wellfit.metrics.threshold import DEFAULT_THRESHOLD, predicted_classes

# In the order of ``metrics.json``.
CLASS_SCORES = (
    *("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "log_loss", "roc_auc", "ece"),
    *("precision", "recall", "f1", "average_precision"),
)
MANY_CLASSES = 50  # from here on, comparing the rows of each class is faster than going through all rankings
FIFTHS = ("lowest fifth", "second fifth", "middle fifth", "fourth fifth", "highest fifth")


class ClassRow(NamedTuple):
    """A line of the per-class report; ``support`` is the number of the class's rows."""

    class_name: str
    precision: float
    recall: float
    f1: float
    support: int


class ClassificationScores:
    """The scores of one set of class probabilities as a function of the rows' weights.

    What does not depend on the weights, such as the order of the rows by probability, is worked out once.

    Args:
        y: (n,) true class indices.
        probabilities: (n, C), each row sums to 1.
        calibration_bins: bins of ``ece``.
        threshold: of `wellfit.metrics.threshold.predicted_classes`.

    Raises:
        WellfitError: there are no rows, or a probability is NaN or infinite.
    """

    def __init__(
        self, y: IntArray, probabilities: FloatArray, calibration_bins: int, threshold: float = DEFAULT_THRESHOLD
    ) -> None:
        _check_finite(probabilities, "probabilities")
        self._classes = probabilities.shape[1]
        self._y, self._predicted = y, predicted_classes(probabilities, threshold)
        self._row_loss = _log_losses(y, probabilities)
        confidence, self._bin = confidence_bins(probabilities, calibration_bins)
        self._overconfidence = confidence - (probabilities.argmax(axis=1) == y)
        self._rankings: ClassRankings | Rankings
        if self._classes >= MANY_CLASSES:
            self._rankings = ClassRankings(probabilities, y)
        else:
            ranked = np.array([1]) if self._classes == 2 else np.arange(self._classes)
            self._rankings = Rankings(probabilities.T[ranked], y == ranked[:, np.newaxis])

    def __call__(self, weights: FloatArray) -> Values:
        """The scores of `wellfit.metrics.scores.class_scores`, and four of the probabilities.

        Args:
            weights: (n,) or (K, n) not negative, not all zero.

        Returns:
            ``log_loss`` (nats); ``roc_auc`` (two classes: of class 1; more: mean of one class against the rest; NaN
            where a single class occurs) and ``average_precision`` likewise; ``ece``, the expected calibration error:
            |accuracy - mean confidence| of a bin, averaged over the rows (Guo et al. 2017); and the others. A number
            each, or (K,).
        """
        rows = np.atleast_2d(weights)
        y, predicted = (np.broadcast_to(each, rows.shape) for each in (self._y, self._predicted))
        scores = class_scores(class_margins(y, predicted, self._classes, rows))
        roc_auc, average_precision = map(mean_of_defined, self._areas(rows))
        total = rows.sum(axis=1)
        gaps = [np.abs(np.bincount(self._bin, self._overconfidence * row)).sum() for row in rows]
        scores |= {
            "log_loss": (self._row_loss * rows).sum(axis=1) / total,
            "roc_auc": roc_auc,
            "ece": gaps / total,
            "average_precision": average_precision,
        }
        return _like(weights, {name: scores[name] for name in CLASS_SCORES})

    def _areas(self, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
        """ROC AUC and average precision of each ranked class, (K, ranked classes) each."""
        if isinstance(self._rankings, ClassRankings):
            return self._rankings.areas(rows)
        areas = np.array([self._rankings.areas(row) for row in rows])
        return areas[:, 0], areas[:, 1]


def _like(weights: FloatArray, scores: dict[str, FloatArray]) -> Values:
    """Scores (K,) of weights (K, n); of weights (n,) the only number of each."""
    return {name: values if weights.ndim == 2 else float(values[0]) for name, values in scores.items()}


def regression_scores(y: FloatArray, prediction: FloatArray, weights: FloatArray | None) -> Values:
    """Errors in the target's unit, and the share of its variance that is explained.

    Args:
        y: (n,) true values.
        prediction: (n,).
        weights: (n,) or (K, n) not negative, not all zero, or None for equal weights.

    Returns:
        ``rmse``, ``mae``, ``r2`` and ``msle`` as ``sklearn.metrics`` defines them, a number each, or (K,); ``r2`` is
        NaN where ``y`` does not vary. In ``msle`` a prediction below 0 counts as 0; it is NaN where a value of ``y`` is
        below 0.

    Raises:
        WellfitError: there are no rows, or a prediction is NaN or infinite.
    """
    _check_finite(prediction, "predictions")
    weights = np.ones(y.shape) if weights is None else weights
    rows = np.atleast_2d(weights)
    y, prediction = (np.broadcast_to(each, rows.shape) for each in (y, prediction))
    scores = error_scores(y, prediction - y, rows)
    scores["msle"] = mean_squared_log_error(y, prediction, rows) if (y >= 0).all() else np.full(len(rows), np.nan)
    return _like(weights, scores)


def scores_of(
    task: Task,
    y: NDArray[Any],
    predictions: FloatArray,
    calibration_bins: int,
    threshold: float = DEFAULT_THRESHOLD,
) -> Scores:
    """The scores of predictions as a function of the rows' weights, (n,) or (K, n).

    Args:
        task: classification or regression.
        y: (n,) true class indices or values.
        predictions: (n, C) probabilities, or (n,) numbers.
        calibration_bins: bins of ``ece``.
        threshold: of `wellfit.metrics.threshold.predicted_classes`.

    Raises:
        WellfitError: there are no rows, or a prediction is NaN or infinite.
    """
    if task == "classification":
        return ClassificationScores(np.asarray(y), predictions, calibration_bins, threshold)
    return partial(regression_scores, np.asarray(y, np.float64), predictions)


def main_scores_of(task: Task, y: NDArray[Any], predictions: FloatArray) -> Scores:
    """The two scores that models are compared by, as a function of the rows' weights, (n,) or (K, n).

    Each is a mean over the rows of what is worked out once, so that a thousand resamples take a moment.

    Args:
        task: classification or regression.
        y: (n,) true class indices or values.
        predictions: (n, C) probabilities, or (n,) numbers.

    Returns:
        A function that gives ``accuracy`` and ``log_loss``, or ``rmse`` and ``mae``; the first is the main one.

    Raises:
        WellfitError: there are no rows, or a prediction is NaN or infinite.
    """
    _check_finite(predictions, "predictions")
    if task == "classification":
        hits = (predictions.argmax(axis=1) == y).astype(np.float64)
        parts = {"accuracy": hits, "log_loss": _log_losses(np.asarray(y), predictions)}
    else:
        errors = predictions - np.asarray(y, np.float64)
        parts = {"rmse": np.square(errors), "mae": np.abs(errors)}

    def scores(weights: FloatArray) -> Values:
        rows = np.atleast_2d(weights)
        means = {name: np.array([row @ part / row.sum() for row in rows]) for name, part in parts.items()}
        return _like(weights, means if task == "classification" else means | {"rmse": np.sqrt(means["rmse"])})

    return scores


def _log_losses(y: IntArray, probabilities: FloatArray) -> FloatArray:
    """-log of the probability given to the true class, (n,)."""
    eps = np.finfo(np.float64).eps
    losses: FloatArray = -np.log(probabilities[np.arange(len(y)), y].clip(eps, 1 - eps))
    return losses


def confusion_counts(y: IntArray, predicted: IntArray, n_classes: int) -> IntArray:
    """How often each class was taken for each, (C, C): rows are the true classes, columns the predicted ones."""
    counts: IntArray = confusion_matrices(y[np.newaxis], predicted[np.newaxis], n_classes)[0].astype(np.int64)
    return counts


def per_class_report(
    y: IntArray,
    probabilities: FloatArray,
    class_names: Sequence[str],
    weights: NDArray[np.float32] | None = None,
    threshold: float = DEFAULT_THRESHOLD,
) -> list[ClassRow]:
    """Precision, recall and F1 of each class, zero where undefined, and its number of rows.

    Args:
        y: (n,) true class indices.
        probabilities: (n, C).
        class_names: C names.
        weights: (n,) how much each row counts in the scores, or None where all count alike.
        threshold: of `wellfit.metrics.threshold.predicted_classes`.
    """
    classes, predicted = len(class_names), predicted_classes(probabilities, threshold)
    row_weights = None if weights is None else weights.astype(np.float64)
    margins = class_margins(y[np.newaxis], predicted[np.newaxis], classes, row_weights)
    columns = [scores[0].tolist() for scores in precision_recall_f1(margins)]
    support = np.bincount(y, minlength=classes).tolist()
    return [ClassRow(*row) for row in zip(class_names, *columns, support, strict=True)]


def fifths_of(y: FloatArray, values: FloatArray) -> IntArray:
    """Which of `FIFTHS` of the true values each value lies in, (n,).

    Args:
        y: (m,) true values.
        values: (n,) true or predicted ones.
    """
    return np.searchsorted(np.quantile(y, [0.2, 0.4, 0.6, 0.8]), values)


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


def _check_finite(outputs: FloatArray, what: str) -> None:
    if len(outputs) == 0:
        raise WellfitError("evaluate needs at least one test row, got none; raise data.test_fraction")
    broken = np.flatnonzero(~np.isfinite(outputs.reshape(len(outputs), -1)).all(axis=1))
    if len(broken):
        raise WellfitError(
            f"{what} must be finite, got NaN or infinity in {len(broken)} of {len(outputs)} rows (first: {broken[0]}); "
            "train again, perhaps with a lower optim.lr"
        )
