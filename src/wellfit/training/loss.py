"""Losses of one model or of each member of a pack."""

import torch
from torch import Tensor
from torch.nn import functional

from wellfit.training.config import LossConfig


def mean_loss(config: LossConfig, outputs: Tensor, targets: Tensor) -> Tensor:
    """The mean loss over rows.

    Args:
        config: the section ``loss``; ``auto`` goes by the targets.
        outputs: (n, C) logits, or (n, 1) predictions of a regression.
        targets: (n,) class indices int64, or float32 numbers.

    Returns:
        () float32: cross-entropy (``torch.nn.CrossEntropyLoss``) or squared error (``torch.nn.MSELoss``).
    """
    if targets.dtype == torch.int64:
        return functional.cross_entropy(outputs, targets, label_smoothing=config.label_smoothing)
    return functional.mse_loss(outputs.squeeze(-1), targets)
