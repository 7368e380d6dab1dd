"""The threshold of the probability above which the second of two classes is predicted (Elkan 2001)."""

from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import PlainSerializer, PlainValidator
from pydantic_core import PydanticCustomError

from wellfit.config import LARGEST
from wellfit.metrics.names import score_name
from wellfit.metrics.scores import FloatArray, IntArray, class_scores, margins_of, ratio

DEFAULT_THRESHOLD = 0.5


class Costs(NamedTuple):
    """What the two mistakes cost, both above 0: a row of the first class taken for the second, and the reverse."""

    false_positive: float
    false_negative: float

    def __str__(self) -> str:
        return f"{{false_positive: {self.false_positive:g}, false_negative: {self.false_negative:g}}}"


def _threshold_rule(value: Any) -> Any:
    if value in ("f1", "balanced_accuracy") or isinstance(value, Costs):
        return value
    if _is_number(value) and 0 < value < 1:
        return float(value)
    if isinstance(value, dict) and value.keys() == set(Costs._fields):
        if all(_is_number(cost) and 0 < cost <= LARGEST for cost in value.values()):
            return Costs(**{name: float(cost) for name, cost in value.items()})
        raise PydanticCustomError("costs", "must have costs > 0 and <= 1e38")
    rule = "must be a number > 0 and < 1, f1, balanced_accuracy, or the costs false_positive and false_negative"
    raise PydanticCustomError("threshold", rule)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


Threshold = Annotated[
    float | Literal["f1", "balanced_accuracy"] | Costs,
    PlainValidator(_threshold_rule),
    PlainSerializer(lambda value: value._asdict() if isinstance(value, Costs) else value),
]


class ThresholdCurve(NamedTuple):
    """A score of predicted classes over the threshold.

    Attributes:
        starts: (m,) from here to the next one the score is the same; rising.
        thresholds: (m,) the middle of each such stretch, above 0 and below 1.
        values: (m,) of the score.
        chosen: the one that is used.
        score: ``f1``, ``balanced_accuracy`` or ``mean_cost``, which is to fall.
    """

    starts: FloatArray
    thresholds: FloatArray
    values: FloatArray
    chosen: float
    score: str

    @property
    def words(self) -> str:
        """The score in print."""
        return score_name(self.score)

    def at(self, threshold: float) -> float:
        """The score at a threshold."""
        return float(self.values[np.searchsorted(self.starts, threshold, side="right") - 1])


def predicted_classes(probabilities: FloatArray, threshold: float) -> IntArray:
    """The class of each row, (n,).

    Of two classes the second where its odds are above those of the threshold, which at 0.5 is the most probable one;
    of more classes always the most probable one.

    Args:
        probabilities: (n, C).
        threshold: above 0 and below 1.
    """
    found: IntArray = probabilities.argmax(axis=1)
    if probabilities.shape[1] == 2:
        first, second = probabilities.T
        found = (second * (1 - threshold) > first * threshold).astype(np.int64)
    return found


def threshold_curve(
    y: IntArray, probability: FloatArray, weights: FloatArray, wanted: str | Costs, chosen: float | None = None
) -> ThresholdCurve:
    """A score at all thresholds that tell rows apart, and the best of these.

    Args:
        y: (n,) 0 or 1.
        probability: (n,) of class 1.
        weights: (n,) not negative, not all zero.
        wanted: ``f1``, ``balanced_accuracy``, or the costs whose mean over the rows is to be low.
        chosen: the threshold that other rows have chosen; None for the best here, of equally good ones the nearest
            to 0.5.
    """
    starts, thresholds, confusion = _confusion_by_threshold(y, probability, weights)
    if isinstance(wanted, Costs):
        mistakes = confusion[:, 0, 1] * wanted.false_positive + confusion[:, 1, 0] * wanted.false_negative
        name, values = "mean_cost", ratio(mistakes, confusion.sum((1, 2)))
    else:
        name, values = wanted, class_scores(margins_of(confusion))[wanted]
    if chosen is None:
        best = values.min() if name == "mean_cost" else values.max()
        good = thresholds[np.isclose(values, best, rtol=1e-12, atol=0)]
        chosen = float(good[np.abs(good - DEFAULT_THRESHOLD).argmin()])
    return ThresholdCurve(starts, thresholds, values, chosen, name)


def _confusion_by_threshold(
    y: IntArray, probability: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Starts and thresholds, (m,) each, and the confusion matrix at each, (m, 2, 2)."""
    counted = weights > 0
    y, probability, weights = y[counted], probability[counted], weights[counted]
    values, place = np.unique(probability, return_inverse=True)
    ends = np.concatenate([[0.0], values, [1.0]])
    middles = (ends[:-1] + ends[1:]) / 2
    positive = np.bincount(place, weights * y, minlength=len(values))
    negative = np.bincount(place, weights * (1 - y), minlength=len(values))
    # At the i-th threshold the first i values are taken for class 0.
    missed, kept = (np.concatenate([[0.0], sums.cumsum()]) for sums in (positive, negative))
    confusion = np.stack([kept, negative.sum() - kept, missed, positive.sum() - missed], axis=1).reshape(-1, 2, 2)
    inside = (middles > 0) & (middles < 1)
    return ends[:-1][inside], middles[inside], confusion[inside]
