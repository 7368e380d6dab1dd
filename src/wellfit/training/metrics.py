"""Scores of an epoch, from the outputs of all its rows at once.

They are those of ``sklearn.metrics``, for K members side by side; a weight of a row is its ``sample_weight``.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FloatArray = NDArray[np.float64]

HIGHER_IS_BETTER = frozenset(
    {
        "accuracy",
        "balanced_accuracy",
        "precision",
        "recall",
        "f1",
        "macro_f1",
        "roc_auc",
        "average_precision",
        "r2",
    }
)


def is_higher_better(monitor: str) -> bool:
    """Whether a metric such as ``val/accuracy`` is to rise."""
    return monitor.rsplit("/", 1)[-1] in HIGHER_IS_BETTER


def classification_scores(
    outputs: Tensor, targets: Tensor, weights: Tensor | None = None, *, ranked: bool = True
) -> dict[str, FloatArray]:
    """Scores of the predicted classes and, where they are asked for, of the order that the logits put the rows in.

    Args:
        outputs: (K, n, C) logits of K members.
        targets: (K, n) class indices.
        weights: (n,) or (K, n) not negative, not all zero, or None for equal weights.
        ranked: whether the rows are sorted for ``roc_auc`` and ``average_precision``, which costs more than all else.

    Returns:
        Each (K,). ``accuracy``, ``balanced_accuracy`` (mean recall of the classes that occur) and ``macro_f1`` (over
        the classes that occur or are predicted). ``precision``, ``recall`` and ``f1``: of class 1 where there are two
        classes, else the mean over the classes that occur or are predicted; 0 where there is nothing to divide by
        (``zero_division=0``). ``roc_auc`` and ``average_precision``: of class 1 where there are two classes, else the
        mean of one class against the rest over the classes for which they are defined; left out where they are defined
        for none, as where a single class occurs. A class occurs when its rows weigh more than zero.
    """
    members, rows, classes = outputs.shape
    member = torch.arange(members, device=outputs.device)[:, None]
    cells = (member * classes + targets) * classes + outputs.argmax(-1)
    each = None if weights is None else _numpy(weights.expand(members, rows))
    counts = np.bincount(
        cells.flatten().cpu().numpy(), None if each is None else each.ravel(), minlength=members * classes**2
    )
    confusion = counts.reshape(members, classes, classes).astype(np.float64)  # rows: true class
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    true, predicted = confusion.sum(2), confusion.sum(1)
    counted = true + predicted > 0
    columns = {
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, true),
        "f1": _ratio(2 * hits, true + predicted),
    }
    scores = {
        "accuracy": hits.sum(1) / confusion.sum((1, 2)),
        "balanced_accuracy": np.mean(columns["recall"], axis=1, where=true > 0),
    }
    for name, of_class in columns.items():
        scores[name] = of_class[:, 1] if classes == 2 else np.mean(of_class, axis=1, where=counted)
    scores["macro_f1"] = np.mean(columns["f1"], axis=1, where=counted)
    return scores | _ranking_scores(outputs, targets, each) if ranked else scores


def regression_scores(
    outputs: Tensor, targets: Tensor, target_std: float, target_mean: float, weights: Tensor | None = None
) -> dict[str, FloatArray]:
    """Errors in the target's own unit.

    Args:
        outputs: (K, n, 1) predictions of the standardized target by K members.
        targets: (K, n) standardized targets.
        target_std: standard deviation that the target was divided by.
        target_mean: what was subtracted before.
        weights: (n,) or (K, n) not negative, not all zero, or None for equal weights.

    Returns:
        ``rmse`` and ``mae`` in the target's unit, ``r2``, and ``msle``, which takes a prediction below 0 for 0 and is
        left out where a target is below 0; each (K,).
    """
    target = _numpy(targets)
    error = _numpy(outputs.squeeze(-1)) - target
    weight = np.ones_like(target) if weights is None else _numpy(weights.expand_as(targets))
    total = weight.sum(1)
    squares = (weight * error**2).sum(1)
    mean = (weight * target).sum(1) / total
    variation = (weight * (target - mean[:, np.newaxis]) ** 2).sum(1)
    varies = (variation > 0) & (np.ptp(target, axis=1) > 0)  # rounding can leave a constant one with some variation
    scores = {
        "rmse": target_std * np.sqrt(squares / total),
        "mae": target_std * (weight * np.abs(error)).sum(1) / total,
        # Of a constant target nothing can be explained: 1 for no error at all, else 0, as scikit-learn has it.
        "r2": np.where(varies, 1 - _ratio(squares, variation), squares == 0),
    }
    own_unit = target * target_std + target_mean
    rounding = 1e-6 * (target_std + abs(target_mean))  # of the standardized targets, which are float32
    if own_unit.min() >= -rounding:
        predicted = (target + error) * target_std + target_mean
        difference = np.log1p(predicted.clip(0)) - np.log1p(own_unit.clip(0))
        scores["msle"] = (weight * difference**2).sum(1) / total
    return scores


def _ranking_scores(outputs: Tensor, targets: Tensor, weights: FloatArray | None) -> dict[str, FloatArray]:
    """``roc_auc`` and ``average_precision`` of every member and class at once, from the rows in falling order."""
    members, rows, classes = outputs.shape
    outputs = outputs.float()
    if classes == 2:  # in the order of the probability, which itself rounds to 1 and so makes ties
        score, is_class = outputs[..., 1] - outputs[..., 0], targets == 1
    else:
        score = outputs.log_softmax(-1).transpose(1, 2)
        is_class = targets[:, None] == torch.arange(classes, device=targets.device)[:, None]
    unsorted = -score.contiguous().cpu().numpy().reshape(-1, rows)  # (K * classes or K, n)
    order = np.argsort(unsorted, axis=1) + rows * np.arange(len(unsorted))[:, np.newaxis]
    hit = is_class.contiguous().cpu().numpy().take(order)
    weight = None if weights is None else np.repeat(weights, len(unsorted) // members, axis=0).take(order)
    ties = _ties(unsorted.take(order))
    positives = _cumulate(hit if weight is None else hit * weight, ties)
    negatives = _cumulate(~hit if weight is None else ~hit * weight, ties)
    gained, lost = positives[:, 1:] - positives[:, :-1], negatives[:, 1:] - negatives[:, :-1]
    area = (lost * (positives[:, 1:] + positives[:, :-1])).sum(1) / 2
    precision = (gained * _ratio(positives[:, 1:], positives[:, 1:] + negatives[:, 1:])).sum(1)
    sums = {
        "roc_auc": (area, positives[:, -1] * negatives[:, -1]),
        "average_precision": (precision, positives[:, -1]),
    }
    scores = {}
    for name, (part, whole) in sums.items():
        part, whole = part.reshape(members, -1), whole.reshape(members, -1)
        classes_with_a_value = (whole > 0).sum(1)
        if classes_with_a_value.all():
            scores[name] = _ratio(part, whole).sum(1) / classes_with_a_value
    return scores


def _ties(falling: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    """Whether a row's score is that of the next row, (R, n - 1); None where no two are equal."""
    tied: NDArray[np.bool_] = falling[:, :-1] == falling[:, 1:]
    return tied if tied.any() else None


def _cumulate(values: NDArray[np.generic], ties: NDArray[np.bool_] | None) -> FloatArray:
    """Sums before the first row and up to each row, (R, n + 1); rows of equal score come in together, at their last."""
    sums = np.zeros((len(values), values.shape[1] + 1))
    np.cumsum(values, axis=1, dtype=np.float64, out=sums[:, 1:])
    if ties is not None:
        sums[:, 1:-1][ties] = 0.0
        np.maximum.accumulate(sums, axis=1, out=sums)
    return sums


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """``part / whole``, 0 where ``whole`` is 0."""
    ratio: FloatArray = np.divide(part, whole, out=np.zeros_like(part), where=whole != 0)
    return ratio


def _numpy(tensor: Tensor) -> FloatArray:
    values: FloatArray = tensor.cpu().double().numpy()  # in this order, as mps has no float64
    return values
