"""What to turn in ``params.yaml`` against a fault of a training: only what is not turned yet and makes a difference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import groupby, pairwise
from typing import Any, NamedTuple

from wellfit.data.meta import HEAVY, Kind
from wellfit.models import unread_keys
from wellfit.settings.params import Params

Settings = Mapping[str, Any]


class Advice(NamedTuple):
    """A key to turn.

    Attributes:
        verb: what to do with it, such as raise.
        key: of ``params.yaml``.
        helps: whether it changes anything, by the present value.
        value: what it becomes, or how that is found, where the verb leaves it open.
    """

    verb: str
    key: str
    helps: Callable[[Any], bool] = lambda value: True
    value: str = ""


def at_most(limit: float) -> Callable[[Any], bool]:
    """For what can be raised further."""
    return lambda value: bool(value <= limit)


def above(limit: float) -> Callable[[Any], bool]:
    """For what can be lowered further."""
    return lambda value: bool(value > limit)


def is_not(*values: Any) -> Callable[[Any], bool]:
    """For what can be set to one of them."""
    return lambda value: value not in values


def _is_off(value: Any) -> bool:
    return value in (0, None, "none", [])


def _is_on(value: Any) -> bool:
    return not _is_off(value)


LR_FIND = "(pipelines/lr_find.py shows how far)"
LOWER_LR = Advice("lower", "optim.lr", value=LR_FIND)
BATCH_NORM = Advice("use", "model.norm", is_not("batch"), "batch")
OTHER_INIT = Advice("use another", "model.init")
AGAINST: dict[str, tuple[Advice, ...]] = {
    "over-fitting": (
        Advice("raise", "model.dropout", at_most(0.5)),
        Advice("raise", "optim.weight_decay", at_most(0.5)),
        Advice("try", "data.augment", _is_off, "light"),
        Advice("try", "regularize.mixup", _is_off),
        Advice("try", "optim.l1", _is_off),
        Advice("take a smaller network by", "model.hidden", _is_on),
        Advice("take a smaller network by", "model.channels"),
    ),
    "under-fitting": (
        Advice("raise", "optim.lr", value=LR_FIND),
        Advice("raise", "train.epochs"),
        Advice("take a larger network by", "model.hidden"),
        Advice("take a larger network by", "model.channels"),
        Advice("lower", "model.dropout", above(0)),
        Advice("lower", "optim.weight_decay", above(0)),
    ),
    "too much noise": (
        Advice("lower", "model.dropout", above(0)),
        Advice("lower", "model.input_dropout", above(0)),
        Advice("lower", "data.augment", _is_on),
        Advice("lower", "regularize.input_noise", above(0)),
        Advice("lower", "regularize.mixup", above(0)),
        Advice("lower", "regularize.cutmix", above(0)),
    ),
    "an early end": (Advice("raise", "train.epochs"), Advice("raise", "optim.lr")),
    "exploding gradients": (
        LOWER_LR,
        Advice("lower", "optim.clip_norm", _is_on),
        Advice("set", "optim.clip_norm", _is_off),
        BATCH_NORM,
        OTHER_INIT,
    ),
    "learning rate too high": (LOWER_LR, Advice("raise", "train.batch_size")),
    "vanishing gradients": (
        Advice("use", "model.activation", is_not("relu"), "relu"),
        BATCH_NORM,
        Advice("use", "model.residual", is_not(True), "true"),
        OTHER_INIT,
        Advice("take fewer layers by", "model.hidden", lambda widths: len(widths) > 1),
        Advice("take fewer layers by", "model.channels", lambda widths: len(widths) > 1),
    ),
    "no gradients": (OTHER_INIT, Advice("use another", "model.activation"), Advice("use another", "loss.name")),
    "dead units": (
        LOWER_LR,
        BATCH_NORM,
        Advice("use", "model.activation", is_not("leaky_relu", "gelu", "silu"), "leaky_relu or gelu"),
        OTHER_INIT,
    ),
    "rare class": (
        Advice("set", "loss.class_weights", is_not("balanced"), "balanced"),
        Advice("set", "evaluate.threshold", lambda value: value == 0.5, "f1"),
        Advice("set", "train.monitor", is_not("val/average_precision"), "val/average_precision"),
    ),
    "rare first class": (  # F1 and average precision are those of the second one
        Advice("set", "loss.class_weights", is_not("balanced"), "balanced"),
        Advice("set", "evaluate.threshold", lambda value: value == 0.5, "balanced_accuracy"),
    ),
    "few rows to validate": (Advice("set", "data.folds", _is_off, "5"), Advice("raise", "data.val_fraction")),
    "worse than a constant": (Advice("set", "train.monitor", is_not("val/loss"), "val/loss"), LOWER_LR),
}


def advise(fault: str, settings: Settings | None) -> str:
    """Puts advice into words; empty where there is nothing left to turn.

    Args:
        fault: a key of `AGAINST`.
        settings: of `turnable_settings`; None: all that helps is named.
    """
    left = [one for one in AGAINST[fault] if settings is None or (one.key in settings and one.helps(settings[one.key]))]
    said = []
    for verb, group in groupby(left, key=lambda one: one.verb):
        *first, last = (f"{one.key} {one.value}".strip() for one in group)
        said.append(f"{verb} {', '.join(first)} or {last}" if first else f"{verb} {last}")
    return ", or ".join(said)


def turnable_settings(params: Params, kind: Kind, classes: int) -> dict[str, Any]:
    """Dotted keys and values of those settings that make a difference to a training on these data.

    Args:
        params: of the training.
        kind: of the data.
        classes: how many; 0 for a regression.
    """
    idle = {f"model.{key}" for key in unread_keys(params.model, kind)}
    if kind != "images":
        idle |= {"data.augment"}
    if kind not in HEAVY:
        idle |= {"regularize.cutmix"}
    if classes == 0:
        idle |= {"loss.class_weights"}
    if classes != 2:
        idle |= {"evaluate.threshold"}
    if not params.model.entry.packs or params.train.compile:
        idle |= {"data.folds"}
    if params.regularize.cutmix:  # the two exclude each other
        idle |= {"regularize.mixup"}
    if not any(a == b for a, b in pairwise(params.model.hidden)):
        idle |= {"model.residual"}
    return {key: value for key, value in params.flat().items() if key not in idle}
