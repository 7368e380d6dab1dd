"""Losses: one value a row, so that sums are divided once."""

import torch
from torch import Tensor
from torch.nn import functional

from wellfit.training.config import LossConfig


def row_losses(config: LossConfig, outputs: Tensor, targets: Tensor) -> Tensor:
    """The loss of each row.

    Args:
        config: the section ``loss``; ``auto`` goes by the targets.
        outputs: (..., C) logits, or (..., 1) predictions of a regression.
        targets: (...) class indices int64, or float32 numbers.

    Returns:
        (...) float32: cross-entropy (``torch.nn.CrossEntropyLoss``) or squared error (``torch.nn.MSELoss``).
    """
    if targets.dtype == torch.int64:
        losses = functional.cross_entropy(
            outputs.flatten(0, -2), targets.flatten(), reduction="none", label_smoothing=config.label_smoothing
        )
        return losses.view(targets.shape)
    return (outputs.squeeze(-1) - targets).square()
