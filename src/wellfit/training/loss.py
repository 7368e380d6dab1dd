"""Losses: the section ``loss`` of ``params.yaml``, its rules, the losses it can name, and their means over rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field, PlainSerializer, PlainValidator
from pydantic_core import PydanticCustomError

from wellfit.config import LARGEST, Config, OneOf, Positive, PositiveOrZero, Rule
from wellfit.errors import WellfitError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from wellfit.data.meta import Meta, Task

Reduction = Literal["mean", "none"]  # to the mean, (), or to the loss of each row, (K, n)


class Entry(NamedTuple):
    """A loss.

    Attributes:
        function: from outputs (K, n, C), or (K, n) where the network has one, targets (K, n), and a reduction to the
            mean, (), or to ``none``, (K, n); then, by name, the settings that it reads, each a number or (K, 1).
        task: what it is for.
        reads: keys of the section that it takes.
        one_logit: whether it takes a single logit, that of the second of two classes.
        takes_class_weights: whether the function has an argument ``class_weights``, (C,) or None. Those of the others
            are multiplied with the losses of rows.
        divides_by_class_weights: whether the mean is a weighted one; else class weights scale the loss.
        in_own_unit: whether it compares targets in their own unit, and not in standard deviations.
        lowest_target: the lowest value that it is defined for, in the target's own unit.
    """

    function: Callable[..., Tensor]
    task: Task
    reads: tuple[str, ...] = ()
    one_logit: bool = False
    takes_class_weights: bool = False
    divides_by_class_weights: bool = True
    in_own_unit: bool = False
    lowest_target: float = -math.inf

    @property
    def has_one_output(self) -> bool:
        """Whether the network puts out one number for a row."""
        return self.one_logit or self.task == "regression"


def _cross_entropy(
    outputs: Tensor,
    targets: Tensor,
    reduction: Reduction,
    label_smoothing: float | Tensor,
    class_weights: Tensor | None = None,
) -> Tensor:
    from torch.nn import functional

    if reduction == "mean":
        assert isinstance(label_smoothing, float)  # of a single member
        return functional.cross_entropy(outputs, targets, class_weights, label_smoothing=label_smoothing)
    plain = partial(functional.cross_entropy, weight=class_weights)
    if isinstance(label_smoothing, float) and label_smoothing == 0:
        return _of_rows(plain, outputs, targets)
    # It is linear in the smoothing, of which torch takes one for all rows.
    sharp, even = (_of_rows(partial(plain, label_smoothing=s), outputs, targets) for s in (0.0, 1.0))
    return sharp.lerp(even, label_smoothing)


def _of_rows(loss: Callable[..., Tensor], outputs: Tensor, targets: Tensor) -> Tensor:
    """Calls a loss of torch, for which members are more rows."""
    return loss(outputs.flatten(0, -2), targets.flatten(), reduction="none").view(targets.shape)


def _bce(logits: Tensor, targets: Tensor, reduction: Reduction, label_smoothing: float | Tensor) -> Tensor:
    from torch.nn import functional

    wanted = targets.to(logits.dtype)
    if not isinstance(label_smoothing, float) or label_smoothing:
        wanted = wanted * (1 - label_smoothing) + label_smoothing / 2
    return functional.binary_cross_entropy_with_logits(logits, wanted, reduction=reduction)


def _focal(outputs: Tensor, targets: Tensor, reduction: Reduction, focal_gamma: float | Tensor) -> Tensor:
    """Lin et al. 2017."""
    losses = _cross_entropy(outputs, targets, "none", 0.0)
    wrong = -(-losses).expm1()  # probability of the other classes
    # At exactly zero a power below 1 has no finite slope.
    return _reduced(wrong.clamp_min(1e-8) ** focal_gamma * losses, reduction)


def _mse(predictions: Tensor, targets: Tensor, reduction: Reduction) -> Tensor:
    from torch.nn import functional

    return functional.mse_loss(predictions, targets, reduction=reduction)


def _mae(predictions: Tensor, targets: Tensor, reduction: Reduction) -> Tensor:
    from torch.nn import functional

    return functional.l1_loss(predictions, targets, reduction=reduction)


def _huber(predictions: Tensor, targets: Tensor, reduction: Reduction, delta: float | Tensor) -> Tensor:
    """Squares up to delta, straight lines beyond."""
    error = (predictions - targets).abs()
    within = error.clamp(max=delta)
    return _reduced(within * (error - within / 2), reduction)


def _smooth_l1(predictions: Tensor, targets: Tensor, reduction: Reduction, delta: float | Tensor) -> Tensor:
    return _reduced(_huber(predictions, targets, "none", delta) / delta, reduction)


def _msle(predictions: Tensor, targets: Tensor, reduction: Reduction) -> Tensor:
    """Below 0, where there is no logarithm, it goes on as a straight line: a slope leads back."""
    logarithm = predictions.clamp_min(0).log1p().where(predictions > 0, predictions)
    return _mse(logarithm, targets.clamp_min(0).log1p(), reduction)  # rounding may have put a target of 0 below it


def _reduced(losses: Tensor, reduction: Reduction) -> Tensor:
    return losses.mean() if reduction == "mean" else losses


LOSSES = {
    "cross_entropy": Entry(_cross_entropy, "classification", ("label_smoothing",), takes_class_weights=True),
    "bce": Entry(_bce, "classification", ("label_smoothing",), one_logit=True),
    "focal": Entry(_focal, "classification", ("focal_gamma",), divides_by_class_weights=False),
    "mse": Entry(_mse, "regression"),
    "mae": Entry(_mae, "regression"),
    "huber": Entry(_huber, "regression", ("delta",)),
    "smooth_l1": Entry(_smooth_l1, "regression", ("delta",)),
    "msle": Entry(_msle, "regression", in_own_unit=True, lowest_target=0.0),
}
AUTO: dict[Task, str] = {"classification": "cross_entropy", "regression": "mse"}


def _class_weights_rule(value: Any) -> Any:
    if isinstance(value, list) and value:
        if all(type(v) in (int, float) and 0 < v <= LARGEST for v in value):
            return tuple(float(v) for v in value)
    elif value in ("none", "balanced") or isinstance(value, tuple):
        return value
    rule = "must be none, balanced, or a list of numbers > 0 and <= 1e38, one for each class"
    raise PydanticCustomError("class_weights", rule)


class LossConfig(Config):
    name: Annotated[str, OneOf(("auto", *LOSSES))]
    label_smoothing: float = Field(ge=0, lt=1)
    class_weights: Annotated[
        Literal["none", "balanced"] | tuple[float, ...],
        PlainValidator(_class_weights_rule),
        PlainSerializer(lambda value: value),
    ]
    focal_gamma: PositiveOrZero
    delta: Positive

    def entry(self, task: Task) -> Entry:
        """The loss, of which ``auto`` is the usual one for the task."""
        return LOSSES[AUTO[task] if self.name == "auto" else self.name]

    def is_usual(self, task: Task) -> bool:
        """Whether it is known what a constant prediction loses."""
        entry = self.entry(task)
        return not entry.in_own_unit and (entry.divides_by_class_weights or self.class_weights == "none")


def _is_for(config: LossConfig, task: Task) -> bool:
    return config.name != "auto" and LOSSES[config.name].task == task


RULES = [
    Rule(
        ("loss.name", "data.name", "data.task"),
        lambda p, data: _is_for(p.loss, "regression") and data.task == "classification",
        "loss.name {loss.name} is for regression, but data.name {data.name} has classes; use cross_entropy or auto",
    ),
    Rule(
        ("loss.name", "data.name", "data.task"),
        lambda p, data: _is_for(p.loss, "classification") and data.task == "regression",
        "loss.name {loss.name} is for classes, but data.name {data.name} is a regression; use mse or auto",
    ),
    Rule(
        ("loss.name", "data.target_transform"),
        lambda p, _: p.loss.name != "auto" and LOSSES[p.loss.name].in_own_unit and p.data.target_transform != "none",
        "loss.name {loss.name} compares targets in their own unit, so data.target_transform must be none, got "
        "{data.target_transform}; use mse with log",
    ),
    Rule(
        ("loss.label_smoothing", "data.name", "data.task"),
        lambda p, data: p.loss.label_smoothing > 0 and data.task == "regression",
        "loss.label_smoothing must be 0 for a regression (data.name {data.name}), got {loss.label_smoothing:g}",
    ),
    Rule(
        ("loss.label_smoothing", "loss.name"),
        lambda p, _: (
            p.loss.label_smoothing > 0
            and _is_for(p.loss, "classification")
            and "label_smoothing" not in LOSSES[p.loss.name].reads
        ),
        "loss.label_smoothing must be 0 with loss.name {loss.name}, got {loss.label_smoothing:g}",
    ),
    Rule(
        ("loss.class_weights", "data.name", "data.task"),
        lambda p, data: p.loss.class_weights != "none" and data.task == "regression",
        "loss.class_weights must be none for a regression (data.name {data.name}), got {loss.class_weights}",
    ),
]


def head_width(loss: str, meta: Meta) -> int:
    """Numbers a network puts out for a row: a logit for each class, or one number.

    Args:
        loss: ``loss.name``.
        meta: what is known of the data.
    """
    has_one_output = meta.task == "regression" or (loss != "auto" and LOSSES[loss].has_one_output)
    return 1 if has_one_output else len(meta.class_names)


class Loss:
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
        import torch

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
    import torch

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
    import torch

    return torch.tensor(chosen, dtype=torch.float32, device=device)
