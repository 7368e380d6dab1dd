"""Scores of an epoch, from the outputs of all its rows at once."""

import numpy as np
import torch
from torch import Tensor

HIGHER_IS_BETTER = frozenset({"accuracy", "balanced_accuracy", "macro_f1", "r2"})


def is_higher_better(monitor: str) -> bool:
    """Whether a metric such as ``val/accuracy`` is to rise."""
    return monitor.rsplit("/", 1)[-1] in HIGHER_IS_BETTER


def classification_scores(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> dict[str, np.ndarray]:
    """Scores that follow from the confusion matrix.

    Args:
        outputs: (K, n, C) logits of K members.
        targets: (K, n) class indices.

    Returns:
        ``accuracy``, ``balanced_accuracy`` (mean recall of the classes that occur) and ``macro_f1`` (over the classes
        that occur or are predicted), each (K,), as ``sklearn.metrics`` defines them.
    """
    members, _, classes = outputs.shape
    member = torch.arange(members, device=outputs.device)[:, None]
    cells = (member * classes + targets) * classes + outputs.argmax(-1)
    counts = torch.bincount(
        cells.flatten(), None if weights is None else weights.flatten(), minlength=members * classes**2
    )
    confusion = counts.view(members, classes, classes).cpu().numpy().astype(float)  # rows: true class
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    true, predicted = confusion.sum(2), confusion.sum(1)
    with np.errstate(invalid="ignore"):  # 0 / 0 for a class that does not occur: left out by nanmean
        recall = hits / true
        f1 = 2 * hits / (true + predicted)
    return {
        "accuracy": hits.sum(1) / confusion.sum((1, 2)),
        "balanced_accuracy": np.nanmean(recall, axis=1),
        "macro_f1": np.nanmean(f1, axis=1),
    }


def regression_scores(
    outputs: Tensor, targets: Tensor, target_std: float, weights: Tensor | None = None
) -> dict[str, np.ndarray]:
    """Errors in the target's own unit.

    Args:
        outputs: (K, n, 1) predictions of the standardized target by K members.
        targets: (K, n) standardized targets.
        target_std: standard deviation that the target was divided by.

    Returns:
        ``rmse`` and ``mae`` in the target's unit and ``r2``, each (K,), as ``sklearn.metrics`` defines them.
    """
    error = (outputs.squeeze(-1) - targets).cpu().double()  # mps has no float64
    target = targets.cpu().double()
    shares = torch.ones_like(target) if weights is None else weights.cpu().double()
    shares = shares / shares.sum(1, keepdim=True)
    squares = (shares * error.square()).sum(1)
    variation = (shares * (target - (shares * target).sum(1, keepdim=True)).square()).sum(1)
    return {
        "rmse": (target_std * squares.sqrt()).numpy(),
        "mae": (target_std * (shares * error.abs()).sum(1)).numpy(),
        # Of a constant target nothing can be explained: 1 for no error at all, else 0, as scikit-learn has it.
        "r2": torch.where(target.amax(1) > target.amin(1), 1 - squares / variation, (squares == 0).double()).numpy(),
    }
