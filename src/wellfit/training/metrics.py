"""Scores of an epoch, of K members side by side, from the outputs of all its rows at once."""

import numpy as np
import torch
from torch import Tensor

from wellfit.data.meta import Meta
from wellfit.data.target import in_own_unit
from wellfit.metrics.scores import (
    FloatArray,
    Rankings,
    class_margins,
    class_scores,
    error_scores,
    mean_of_defined,
    mean_squared_log_error,
)
from wellfit.models.head import class_logits
from wellfit.training.mean_loss import MeanLoss

CLASS_SCORES = ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "macro_f1")


def scores(
    meta: Meta, loss: MeanLoss, outputs: Tensor, targets: Tensor, weights: Tensor | None, *, ranked: bool
) -> dict[str, np.ndarray]:
    """Loss and scores of K members over a split, from the outputs of all its rows, each (K,), ``loss`` first.

    Args:
        meta: what is known of the data.
        loss: of the members.
        outputs: (K, n, C) of the networks.
        targets: (K, n).
        weights: (K, n) how much each row counts, or None where all count alike.
        ranked: whether rows are sorted for the scores that look at their order.
    """
    found = {"loss": loss(outputs, targets, weights).cpu().numpy()}
    if targets.dtype == torch.int64:
        return found | classification_scores(class_logits(outputs), targets, weights, ranked=ranked)
    return found | regression_scores(outputs, targets, meta, weights)


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
        Each (K,): those of `wellfit.metrics.scores.class_scores` but ``weighted_f1``. ``roc_auc`` and
        ``average_precision``: of class 1 where there are two classes, else the mean of one class against the rest over
        the classes for which they are defined; left out where a member has none, as where a single class occurs.
    """
    members, rows, classes = outputs.shape
    row_weights = None if weights is None else _numpy(weights.expand(members, rows))
    predicted = outputs.argmax(-1)
    found = class_scores(class_margins(targets.cpu().numpy(), predicted.cpu().numpy(), classes, row_weights))
    scores = {name: found[name] for name in CLASS_SCORES}
    return scores | _ranking_scores(outputs, targets, row_weights) if ranked else scores


def regression_scores(
    outputs: Tensor, targets: Tensor, meta: Meta, weights: Tensor | None = None
) -> dict[str, FloatArray]:
    """Errors in the target's own unit.

    Args:
        outputs: (K, n, 1) predictions of the standardized target by K members.
        targets: (K, n) standardized targets.
        meta: how they were transformed and standardized.
        weights: (n,) or (K, n) not negative, not all zero, or None for equal weights.

    Returns:
        ``rmse`` and ``mae`` in the target's unit, ``r2``, and ``msle``, in which a prediction below 0 counts as 0 and
        which is left out where a target is below 0; each (K,).
    """
    target = _numpy(targets)
    error = _numpy(outputs.squeeze(-1)) - target
    row_weights = np.ones_like(target) if weights is None else _numpy(weights.expand_as(targets))
    own_target, own_prediction = in_own_unit(meta, target), in_own_unit(meta, target + error)
    unit = meta.target_std or 1.0
    if meta.target_transform is None:
        scores = error_scores(target, error, row_weights, unit=unit)
    else:
        scores = error_scores(own_target, own_prediction - own_target, row_weights)
    # Of a constant target nothing can be explained: 1 for no error at all, else 0, as scikit-learn has it.
    rmse, r2 = scores["rmse"], scores["r2"]
    scores["r2"] = np.where(np.isnan(r2) & ~np.isnan(rmse), rmse == 0, r2)
    rounding = 1e-6 * (unit + abs(meta.target_mean or 0.0))  # of the standardized targets, which are float32
    if own_target.min() >= -rounding:
        scores["msle"] = mean_squared_log_error(own_target.clip(0), own_prediction, row_weights)
    return scores


def _ranking_scores(outputs: Tensor, targets: Tensor, weights: FloatArray | None) -> dict[str, FloatArray]:
    """``roc_auc`` and ``average_precision`` of every member and class at once."""
    members, rows, classes = outputs.shape
    outputs = outputs.float()
    if classes == 2:  # in the order of the probability, which itself rounds to 1 and so makes ties
        score, is_class = outputs[..., 1] - outputs[..., 0], targets == 1
    else:
        score = outputs.log_softmax(-1).transpose(1, 2)  # (K, C, n)
        is_class = targets[:, None] == torch.arange(classes, device=targets.device)[:, None]
    rankings = Rankings(*(each.contiguous().cpu().numpy().reshape(-1, rows) for each in (score, is_class)))
    if weights is not None:
        weights = np.repeat(weights, score.numel() // weights.size, axis=0)
    areas = zip(("roc_auc", "average_precision"), rankings.areas(weights), strict=True)
    means = {name: mean_of_defined(values.reshape(members, -1)) for name, values in areas}
    return {name: values for name, values in means.items() if not np.isnan(values).any()}


def _numpy(tensor: Tensor) -> FloatArray:
    values: FloatArray = tensor.cpu().double().numpy()  # in this order, as mps has no float64
    return values
