"""Losses: the section ``loss`` of ``params.yaml``, its rules, and the losses it can name."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field, PlainSerializer, PlainValidator
from pydantic_core import PydanticCustomError

from wellfit.config import LARGEST, Config, OneOf, Positive, PositiveOrZero, Rule

if TYPE_CHECKING:
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
