"""Losses, by the name in ``loss.name``."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from wellfit.data.store import Meta
from wellfit.errors import WellfitError
from wellfit.training.config import LossConfig


class Loss:
    """The mean loss over the rows of each of K members, as torch defines it.

    Args:
        configs: the section ``loss`` of each member, with the same ``name`` and ``class_weights``; ``auto`` is
            cross-entropy for classes and the squared error for numbers.
        meta: what is known of the data.
        device: where outputs and targets are.

    Raises:
        WellfitError: the number of classes does not fit the loss or its weights.
    """

    def __init__(self, configs: Sequence[LossConfig], meta: Meta, device: torch.device) -> None:
        self.name = configs[0].name
        if self.name == "auto":
            self.name = "cross_entropy" if meta.task == "classification" else "mse"
        if self.name == "bce" and len(meta.class_names) != 2:
            raise WellfitError(
                f"loss.name bce is for two classes, but {meta.name} has {len(meta.class_names)}; use cross_entropy "
                "(params.yaml)"
            )
        self._weights = _class_weights(configs[0], meta, device)
        self._mean, self._std = meta.target_mean or 0.0, meta.target_std or 1.0
        self._label_smoothing = [config.label_smoothing for config in configs]
        self._smoothing, self._gamma, self._delta = (
            _setting([getattr(config, name) for config in configs], device)
            for name in ("label_smoothing", "focal_gamma", "delta")
        )

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
            are in standard deviations of the target, but for ``msle``.
        """
        if outputs.ndim == 2 and self._weights is None and weights is None:
            return self._plain(outputs, targets, "mean")  # in one call: of a small network's step, 5 % less
        losses = self._plain(outputs, targets, "none")
        if self._weights is not None and self.name != "cross_entropy":  # whose losses have it in them already
            losses = losses * self._weights[targets]
        if weights is not None:
            losses = losses * weights
        return losses.sum(-1) / self.weight_sum(targets, weights)

    def _plain(self, outputs: Tensor, targets: Tensor, reduction: Literal["mean", "none"]) -> Tensor:
        """The loss of each row, (K, n), or their mean, (), without weights (but for cross-entropy's of classes)."""
        match self.name:
            case "cross_entropy":
                return self._cross_entropy(outputs, targets, reduction)
            case "bce":
                smoothed = targets * (1 - self._smoothing) + self._smoothing / 2
                return functional.binary_cross_entropy_with_logits(outputs[..., 0], smoothed, reduction=reduction)
            case "focal":
                losses = self._of_rows(functional.cross_entropy, outputs, targets)
                wrong = -torch.expm1(-losses)  # probability of the other classes
                # At exactly zero a power below 1 has no finite slope.
                losses = wrong.clamp_min(1e-8) ** self._gamma * losses
                return losses.mean() if reduction == "mean" else losses
            case "msle":
                predicted = self._in_own_unit(outputs[..., 0])
                # Below 0, where there is no logarithm, it goes on as a straight line: a slope leads back.
                logarithm = torch.where(predicted > 0, predicted.clamp_min(0).log1p(), predicted)
                # Rounding may have put a target of 0 below it.
                return functional.mse_loss(
                    logarithm, self._in_own_unit(targets).clamp_min(0).log1p(), reduction=reduction
                )
            case "mae":
                return functional.l1_loss(outputs[..., 0], targets, reduction=reduction)
            case "huber" | "smooth_l1":
                error = (outputs[..., 0] - targets).abs()
                within = error.clamp(max=self._delta)  # squares up to delta, straight lines beyond
                losses = within * (error - within / 2)
                losses = losses / self._delta if self.name == "smooth_l1" else losses
                return losses.mean() if reduction == "mean" else losses
        return functional.mse_loss(outputs[..., 0], targets, reduction=reduction)

    def _cross_entropy(self, outputs: Tensor, targets: Tensor, reduction: Literal["mean", "none"]) -> Tensor:
        if reduction == "mean":
            return functional.cross_entropy(outputs, targets, self._weights, label_smoothing=self._label_smoothing[0])
        plain = partial(functional.cross_entropy, weight=self._weights)
        if not any(self._label_smoothing):
            return self._of_rows(plain, outputs, targets)
        # It is linear in the smoothing, of which torch takes one for all rows.
        sharp, even = (self._of_rows(partial(plain, label_smoothing=s), outputs, targets) for s in (0.0, 1.0))
        return torch.lerp(sharp, even, self._smoothing)

    @staticmethod
    def _of_rows(loss: Callable[..., Tensor], outputs: Tensor, targets: Tensor) -> Tensor:
        """Calls a loss of torch, for which members are more rows."""
        return loss(outputs.flatten(0, -2), targets.flatten(), reduction="none").view(targets.shape)

    def weight_sum(self, targets: Tensor, weights: Tensor | None) -> Tensor:
        """The sum of row weights that the mean divides by, (K,).

        The mean over several batches is the sum of their means, each times its share of the sum of weights. Rows of
        weight 0 are left out; where all are, the sum is a tiny number, so that the mean is 0.

        Args:
            targets: (K, n) of the rows.
            weights: (K, n) how much each row counts, or None where all count alike.
        """
        row_weights = torch.ones(targets.shape, device=targets.device) if weights is None else weights
        if self._weights is not None and self.name != "focal":
            row_weights = row_weights * self._weights[targets]
        return row_weights.sum(-1).clamp_min(torch.finfo(row_weights.dtype).tiny)

    def check(self, targets: Tensor) -> None:
        """Refuses targets that the loss is not made for.

        Args:
            targets: (n,) of a split.

        Raises:
            WellfitError: a target below zero, and the loss is ``msle``.
        """
        if self.name == "msle" and (lowest := self._in_own_unit(targets).min().item()) < -1e-6 * self._std:
            raise WellfitError(
                f"loss.name msle needs targets >= 0, got {lowest:g}; use mse, huber or mae (params.yaml)"
            )

    def _in_own_unit(self, targets: Tensor) -> Tensor:
        return targets * self._std + self._mean


def _setting(values: Sequence[float], device: torch.device) -> Tensor | float:
    """(K, 1) a setting of each member; of a single one as a number, which is quicker to use."""
    return values[0] if len(values) == 1 else torch.tensor(values, dtype=torch.float32, device=device)[:, None]


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
