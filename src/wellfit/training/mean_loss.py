"""The mean of a loss over rows, which members with settings of their own share."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from wellfit.data.meta import Meta
from wellfit.errors import WellfitError
from wellfit.training.loss import LossConfig, Reduction


class MeanLoss:
    """The mean loss over the rows of each of K members, as torch defines it.

    Args:
        configs: the section ``loss`` of each member, with the same ``name`` and ``class_weights``.
        meta: what is known of the data.
        device: where outputs and targets are.

    Raises:
        WellfitError: the number of classes does not fit the loss or its weights.
    """

    def __init__(self, configs: Sequence[LossConfig], meta: Meta, device: torch.device) -> None:
        self._name = configs[0].name
        self._entry = configs[0].entry(meta.task)
        if self._entry.one_logit and len(meta.class_names) != 2:
            raise WellfitError(
                f"loss.name {self._name} is for two classes, but {meta.name} has {len(meta.class_names)}; use "
                "cross_entropy (params.yaml)"
            )
        self._weights = _class_weights(configs[0], meta, device)
        self._mean, self._std = meta.target_mean or 0.0, meta.target_std or 1.0
        self._settings: dict[str, Any] = {
            key: _setting([getattr(config, key) for config in configs], device) for key in self._entry.reads
        }
        if self._entry.takes_class_weights:
            self._settings["class_weights"] = self._weights

    def __call__(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """The loss of a batch or of a whole split.

        Args:
            outputs: (K, n, C) logits, (K, n, 1) the logit of the second class (``bce``), or (K, n, 1) standardized
                predictions. Of a single member without K, as all that follows.
            targets: (K, n) class indices int64, or float32 standardized numbers.
            weights: (K, n) how much each row counts, or None where all count alike.

        Returns:
            (K,) float32, the weighted mean of each member. Class weights weigh rows likewise, as
            ``torch.nn.CrossEntropyLoss`` has it; ``focal`` does not divide by them (Lin et al. 2017). Losses of numbers
            are in standard deviations of the target, transformed where it is, but for ``msle``.
        """
        if outputs.ndim == 2 and self._weights is None and weights is None:
            return self._plain(outputs, targets, "mean")  # in one call: of a small network's step, 5 % less
        losses = self._plain(outputs, targets, "none")
        if self._weights is not None and not self._entry.takes_class_weights:
            losses = losses * self._weights[targets]
        if weights is not None:
            losses = losses * weights
        return losses.sum(-1) / self.weight_sum(targets, weights)

    def _plain(self, outputs: Tensor, targets: Tensor, reduction: Reduction) -> Tensor:
        """The loss of each row, (K, n), or their mean, (), without weights of rows."""
        if self._entry.has_one_output:
            outputs = outputs[..., 0]
        if self._entry.in_own_unit:
            outputs, targets = self._in_own_unit(outputs), self._in_own_unit(targets)
        return self._entry.function(outputs, targets, reduction, **self._settings)

    def weight_sum(self, targets: Tensor, weights: Tensor | None) -> Tensor | float:
        """The sum of row weights that the mean divides by, (K,), or one number for all members.

        The mean over several batches is the sum of their means, each times its share of the sum of weights. Rows of
        weight 0 are left out; where all are, the sum is a tiny number, so that the mean is 0.

        Args:
            targets: (K, n) of the rows.
            weights: (K, n) how much each row counts, or None where all count alike.
        """
        row_weights = weights
        if self._weights is not None and self._entry.divides_by_class_weights:
            by_class = self._weights[targets]
            row_weights = by_class if weights is None else weights * by_class
        if row_weights is None:
            return float(targets.shape[-1])
        return row_weights.sum(-1).clamp_min(torch.finfo(row_weights.dtype).tiny)

    def check(self, targets: Tensor) -> None:
        """Refuses targets that the loss is not defined for.

        Args:
            targets: (n,) of a split.

        Raises:
            WellfitError: a target is too low.
        """
        if self._entry.lowest_target == -math.inf:
            return
        lowest = self._in_own_unit(targets).min().item()
        if lowest < self._entry.lowest_target - 1e-6 * self._std:
            raise WellfitError(
                f"loss.name {self._name} needs targets >= {self._entry.lowest_target:g}, got {lowest:g}; use mse, "
                "huber or mae (params.yaml)"
            )

    def _in_own_unit(self, targets: Tensor) -> Tensor:
        return targets * self._std + self._mean


def _setting(values: Sequence[float], device: torch.device) -> Tensor | float:
    """(K, 1) a setting of each member; as a number, which is quicker to use, of a single one or where all are zero."""
    if len(values) == 1 or not any(values):
        return values[0]
    return torch.tensor(values, dtype=torch.float32, device=device)[:, None]


def _class_weights(config: LossConfig, meta: Meta, device: torch.device) -> Tensor | None:
    """(C,) weights by class, or None for equal ones."""
    chosen = config.class_weights
    if chosen == "none" or meta.task != "classification":
        return None
    if chosen == "balanced":  # as scikit-learn's class_weight="balanced": every class weighs the same in total
        n_rows, n_classes = sum(meta.class_counts), len(meta.class_counts)
        chosen = tuple(n_rows / (n_classes * count) for count in meta.class_counts)
    if len(chosen) != len(meta.class_names):
        names = ", ".join(meta.class_names)
        raise WellfitError(
            f"loss.class_weights must have one number for each of the {len(meta.class_names)} classes ({names}), "
            f"got {len(chosen)} (params.yaml)"
        )
    return torch.tensor(chosen, dtype=torch.float32, device=device)
