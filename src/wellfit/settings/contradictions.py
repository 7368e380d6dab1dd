"""Rules that concern two keys of ``params.yaml`` at once."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, get_args

from wellfit.data.catalog import CATALOG, DataConfig
from wellfit.data.store import Kind, Task
from wellfit.models.config import BUILT_WITH, TORCHVISION, ModelConfig
from wellfit.training.config import ClassMonitor, NumberMonitor

if TYPE_CHECKING:
    from wellfit.settings.params import Params


def contradictions(p: Params, kind: Kind, task: Task | None) -> list[tuple[bool, str]]:
    """What concerns two keys at once.

    Args:
        p: the configuration, each key of it in order.
        kind: images or table.
        task: classification or regression; None as long as the data have not told it.

    Returns:
        Pairs: is the rule broken, and what to say then, with the name of each key that it depends on.
    """
    classes, numbers = task == "classification", task == "regression"
    wrong_monitors = get_args(NumberMonitor) if classes else get_args(ClassMonitor) if numbers else ()
    shares = p.data.val_fraction + p.data.test_fraction
    entry = CATALOG[p.data.name]
    binary = [name for name, other in CATALOG.items() if other.binary_class_names]
    twice = _named_twice(p.data)
    return [
        (
            entry.is_own_table and p.data.target is None,
            f"data.target must name the column to predict, as data.name is {p.data.name}, got null",
        ),
        *(
            (
                not entry.is_own_table and getattr(p.data, key) is not None,
                f"data.{key} names a column of a csv or parquet file, but data.name is {p.data.name}; set it to null",
            )
            for key in ("id", "weight", "group", "time")
        ),
        (
            p.data.task == "binary" and p.data.name not in binary,
            f"data.task binary is for {' and '.join(binary)}, not for data.name {p.data.name}; use auto",
        ),
        (
            entry.task is not None and p.data.task not in ("auto", "binary", entry.task),
            f"data.task {p.data.task} does not fit data.name {p.data.name}, which is a {entry.task}; use auto",
        ),
        (
            bool(twice),
            f"a column has one part, but {twice} has two among data.target, id, weight, group, time, drop, numeric and "
            "categorical",
        ),
        (
            p.data.group is not None and p.data.time is not None,
            f"data.group and data.time exclude each other, got {p.data.group} and {p.data.time}; set one to null",
        ),
        (
            shares >= 1,
            f"data.val_fraction + data.test_fraction must be < 1, got {shares:g}",
        ),
        (
            p.data.augment != "none" and kind != "images",
            f"data.augment needs images, but data.name {p.data.name} is a table; use none",
        ),
        (
            p.model.name not in ("mlp", "linear") and kind != "images",
            f"model.name {p.model.name} needs images, but data.name {p.data.name} is a table; use mlp",
        ),
        (
            p.model.norm == "instance" and p.model.name != "cnn",
            f"model.norm instance is for model.name cnn, got {p.model.name}; use layer",
        ),
        (
            p.model.norm == "none" and p.model.name in TORCHVISION and p.model.name != "vgg11",
            f"model.name {p.model.name} does not learn without norms; use model.norm batch, layer or group",
        ),
        (
            not p.model.norm_first and p.model.name in TORCHVISION,
            f"model.norm_first false is for mlp and cnn, got model.name {p.model.name}",
        ),
        (
            p.model.activation != BUILT_WITH.get(p.model.name, p.model.activation),
            f"model.name {p.model.name} is built with {BUILT_WITH.get(p.model.name)}: set model.activation to it, got "
            f"{p.model.activation}",
        ),
        (
            p.model.channel_dropout > 0 and p.model.name != "cnn",
            f"model.channel_dropout is for model.name cnn, got {p.model.channel_dropout:g} and {p.model.name}; set it "
            "to 0, or use model.dropout",
        ),
        (
            p.model.residual and p.model.name != "mlp",
            f"model.residual true is for model.name mlp, got {p.model.name}",
        ),
        (
            p.model.norm == "group" and any(width % p.model.groups for width in _widths(p.model)),
            f"model.groups must divide every width of the network (model.norm group, {_where_widths_stand(p.model)}), "
            f"got {p.model.groups} and {_widths(p.model)}",
        ),
        (
            p.model.residual and not any(a == b for a, b in pairwise(p.model.hidden)),
            f"model.residual true needs two neighbours of equal width in model.hidden, got {list(p.model.hidden)}",
        ),
        (
            p.loss.name in ("mse", "mae", "huber", "smooth_l1", "msle") and classes,
            f"loss.name {p.loss.name} is for regression, but data.name {p.data.name} has classes; use cross_entropy or "
            "auto",
        ),
        (
            p.loss.name in ("cross_entropy", "bce", "focal") and numbers,
            f"loss.name {p.loss.name} is for classes, but data.name {p.data.name} is a regression; use mse or auto",
        ),
        (
            p.loss.label_smoothing > 0 and numbers,
            f"loss.label_smoothing must be 0 for a regression (data.name {p.data.name}), "
            f"got {p.loss.label_smoothing:g}",
        ),
        (
            p.loss.label_smoothing > 0 and p.loss.name == "focal",
            f"loss.label_smoothing must be 0 with loss.name focal, got {p.loss.label_smoothing:g}",
        ),
        (
            p.loss.class_weights != "none" and numbers,
            f"loss.class_weights must be none for a regression (data.name {p.data.name}), got {p.loss.class_weights}",
        ),
        (
            p.train.monitor in wrong_monitors,
            f"train.monitor {p.train.monitor} is not a score of a {task} (data.name {p.data.name}); use val/loss",
        ),
        (
            p.model.norm == "batch" and p.train.batch_size == 1,
            "train.batch_size 1 leaves model.norm batch one row to learn from; raise it, or use model.norm none",
        ),
        (
            p.regularize.cutmix > 0 and kind != "images",
            f"regularize.cutmix needs images, but data.name {p.data.name} is a table; use mixup",
        ),
        (
            p.regularize.cutmix > 0 and p.regularize.mixup > 0,
            f"regularize.mixup and regularize.cutmix exclude each other, got {p.regularize.mixup:g} and "
            f"{p.regularize.cutmix:g}; set one to 0",
        ),
        (
            p.optim.name == "adamw" and p.optim.decay == "coupled",
            "optim.decay coupled makes adamw adam: use optim.name adam, or optim.decay auto",
        ),
        (
            p.optim.name == "lamb" and p.optim.decay != "auto",
            f"optim.decay must be auto for optim.name lamb, whose decay is a part of its update, got {p.optim.decay}",
        ),
        (
            p.optim.name == "sgd" and p.optim.nesterov and p.optim.momentum == 0,
            "optim.nesterov true needs optim.momentum > 0 with optim.name sgd, got 0",
        ),
        (
            p.schedule.warmup_epochs >= p.train.epochs,
            f"schedule.warmup_epochs must be < train.epochs, got {p.schedule.warmup_epochs} and {p.train.epochs}; "
            "0 is no warm-up",
        ),
        (
            p.schedule.name in ("cosine", "cosine_restarts", "plateau") and p.schedule.min_lr > p.optim.lr,
            f"schedule.min_lr must be <= optim.lr with schedule.name {p.schedule.name}, got {p.schedule.min_lr:g} and "
            f"{p.optim.lr:g}",
        ),
        (
            list(p.schedule.milestones) != sorted(set(p.schedule.milestones)),
            f"schedule.milestones must rise, got {list(p.schedule.milestones)}",
        ),
    ]


def _named_twice(data: DataConfig) -> str:
    """A column that is to be two things at once, or an empty text."""
    roles = [data.target, data.id, data.weight, data.group, data.time, *data.drop, *data.numeric, *data.categorical]
    return next((name for name, count in Counter(roles).items() if name and count > 1), "")


def _widths(model: ModelConfig) -> list[int]:
    if model.name in TORCHVISION:
        return [TORCHVISION[model.name]]
    return list({"cnn": model.channels, "mlp": model.hidden}.get(model.name, ()))


def _where_widths_stand(model: ModelConfig) -> str:
    return {"cnn": "model.channels", "mlp": "model.hidden"}.get(model.name, f"model.name {model.name}")
