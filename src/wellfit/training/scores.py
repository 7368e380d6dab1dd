"""Loss and scores of K members over a split, from the outputs of all its rows."""

import numpy as np
import torch
from torch import Tensor

from wellfit.data.store import Meta
from wellfit.models.head import class_logits
from wellfit.training.loss import Loss
from wellfit.training.metrics import classification_scores, regression_scores


class Scores:
    """Scores outputs for the task of the data.

    Args:
        meta: what is known of the data.
        loss: of the members.
    """

    def __init__(self, meta: Meta, loss: Loss) -> None:
        self._loss = loss
        self._target_std, self._target_mean = meta.target_std or 1.0, meta.target_mean or 0.0

    def __call__(
        self, outputs: Tensor, targets: Tensor, weights: Tensor | None, *, ranked: bool
    ) -> dict[str, np.ndarray]:
        """Each (K,), ``loss`` first.

        Args:
            outputs: (K, n, C) of the networks.
            targets: (K, n).
            weights: (K, n) how much each row counts, or None where all count alike.
            ranked: whether rows are sorted for the scores that look at their order.
        """
        loss = {"loss": self._loss(outputs, targets, weights).cpu().numpy()}
        if targets.dtype == torch.int64:
            return loss | classification_scores(class_logits(outputs), targets, weights, ranked=ranked)
        return loss | regression_scores(outputs, targets, self._target_std, self._target_mean, weights)
