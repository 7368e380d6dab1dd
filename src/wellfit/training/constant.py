"""What a constant prediction loses, beside which a network has learned something or nothing."""

import torch

from wellfit.data.meta import Meta
from wellfit.training.loss import LossConfig, head_width
from wellfit.training.mean_loss import MeanLoss
from wellfit.training.tensors import Tensors


def constant_loss(config: LossConfig, meta: Meta, rows: Tensors) -> float:
    """The loss of the classes' shares in the training rows, by their weights, or of the mean of the targets.

    Args:
        config: the section ``loss``.
        meta: what is known of the data.
        rows: of any split.
    """
    device = rows.y.device
    outputs = torch.zeros(head_width(config.name, meta), device=device)  # of a standardized target that is its mean
    if meta.task == "classification":
        weighted = torch.tensor(meta.class_counts, dtype=torch.float32, device=device).clamp_min(0.5)
        if config.class_weights == "balanced":
            weighted = torch.ones_like(weighted)
        elif config.class_weights != "none":
            weighted *= torch.tensor(config.class_weights, device=device)
        logits = weighted.log()
        outputs = logits if len(outputs) > 1 else logits[1:] - logits[0]
    loss = MeanLoss([config], meta, device)
    return loss(outputs.expand(len(rows.y), -1), rows.y, rows.weights).item()
