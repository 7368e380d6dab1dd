"""No key is read and ignored: each setting, changed, changes the training."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from pydantic.fields import FieldInfo
from torch import Tensor

from wellfit.config import OneOf
from wellfit.models import MODELS, ModelConfig
from wellfit.settings.params import Params
from wellfit.training.loss import LossConfig
from wellfit.training.members import TrainConfig
from wellfit.training.optim import OptimConfig
from wellfit.training.regularize import RegularizeConfig
from wellfit.training.schedule import ScheduleConfig
from wellfit.training.setup import begin, load_training_data

SECTIONS = {
    "model": ModelConfig,
    "loss": LossConfig,
    "regularize": RegularizeConfig,
    "optim": OptimConfig,
    "schedule": ScheduleConfig,
    "train": TrainConfig,
}
NUMBERS = ("mse", "mae", "huber", "smooth_l1", "msle", "val/rmse", "val/mae", "val/r2")
# For each key another value, and what must be set for it to count.
CHANGES: dict[str, str | tuple[str, list[str]]] = {
    "model.hidden": "[8, 8]",
    "model.channels": ("[4, 4]", ["model.name=cnn"]),
    "model.convolutions": ("2", ["model.name=cnn"]),
    "model.dropout": "0.5",
    "model.residual": ("true", ["model.hidden=[8, 8]"]),
    "model.input_dropout": "0.3",
    "model.channel_dropout": ("0.3", ["model.name=cnn"]),
    "model.groups": ("2", ["model.norm=group"]),
    "model.norm_first": "false",
    "model.embedding_size": ("3", ["model.embedding=ple"]),
    "model.embedding_scale": ("1.0", ["model.embedding=periodic"]),
    "model.embedding_width": ("2", ["model.embedding=ple"]),
    "model.embedding_input": ("false", ["model.embedding=ple"]),
    "model.init_std": ("0.5", ["model.init=normal"]),
    "loss.label_smoothing": "0.2",
    "loss.class_weights": "[1, 2, 5]",
    "loss.focal_gamma": ("4.0", ["loss.name=focal"]),
    "loss.delta": ("0.1", ["loss.name=huber"]),
    "regularize.input_noise": "0.5",
    "regularize.mixup": "0.4",
    "regularize.cutmix": ("1.0", ["model.name=cnn"]),
    "regularize.ema_decay": ("0.5", ["regularize.average=ema"]),
    "regularize.swa_start": ("0.0", ["regularize.average=swa"]),
    "optim.lr": "0.02",
    "optim.weight_decay": "0.3",
    "optim.decay_all": "true",
    "optim.l1": "0.05",
    "optim.momentum": ("0.5", ["optim.name=sgd"]),
    "optim.nesterov": ("true", ["optim.name=sgd"]),
    "optim.beta1": "0.5",
    "optim.beta2": "0.9",
    "optim.alpha": ("0.5", ["optim.name=rmsprop"]),
    "optim.eps": "0.1",
    "optim.clip_norm": "0.01",
    "optim.clip_value": "0.001",
    "optim.max_norm": "0.2",
    "schedule.warmup_epochs": "1",
    "schedule.step_epochs": ("1", ["schedule.name=step"]),
    "schedule.milestones": ("[1, 2]", ["schedule.name=multi_step"]),
    "schedule.gamma": ("0.9", ["schedule.name=step", "schedule.step_epochs=1"]),
    "schedule.decay": ("0.5", ["schedule.name=exponential"]),
    "schedule.power": ("1.0", ["schedule.name=polynomial"]),
    "schedule.restart_epochs": ("1", ["schedule.name=cosine_restarts"]),
    "schedule.restart_factor": ("2", ["schedule.name=cosine_restarts", "schedule.restart_epochs=1"]),
    "schedule.cycle_epochs": ("2", ["schedule.name=cyclic"]),
    "schedule.rise": ("0.7", ["schedule.name=one_cycle"]),
    "schedule.start_factor": ("0.5", ["schedule.name=one_cycle"]),
    "schedule.end_factor": ("0.5", ["schedule.name=linear"]),
    "schedule.patience": ("0", ["schedule.name=plateau", "schedule.threshold=0.9"]),
    "schedule.threshold": ("0.9", ["schedule.name=plateau", "schedule.patience=0"]),
    "schedule.min_lr": ("0.002", ["schedule.name=cosine"]),
    "train.epochs": "4",
    "train.batch_size": "16",
    "train.accumulate": "2",
    "train.patience": ("1", ["optim.lr=10.0", "optim.name=sgd"]),
    "train.min_delta": ("5.0", ["train.patience=1"]),
    "train.seed": "1",
}
# What decides where and how fast, not what: tests of runtime.py and of the loop show them. Of categories, which these
# rows do not have, those of embedding.py; of folds and of several models, those of folds.py and of the stages.
ELSEWHERE = {
    "train.device",
    "train.ensemble",
    "train.fold",
    "train.seeds",
    "train.threads",
    "train.monitor",
    "train.compile",
    "model.category",
    "model.category_width",
    "model.weights",
    "model.freeze",
    "model.partial",
    "model.input_size",
    "model.pooled",
    "model.feature_copies",
    "optim.body_lr",
}
# Networks that take long, and what makes all of torchvision's train in a moment.
SLOW = ("resnet34", "resnet50")
BRIEFLY = ["train.epochs=2", "train.batch_size=16", "optim.lr=0.001"]
# A choice that is only another name for the default on these data.
SAME = {("loss.name", "cross_entropy"), ("loss.name", "mse"), ("optim.decay", "coupled"), ("train.precision", "auto")}
Train = Callable[..., tuple[list[dict[str, float]], dict[str, Tensor]]]


def names_of(field: FieldInfo) -> tuple[str, ...]:
    """What may stand in a key that has a fixed set of values."""
    tables = [each.names for each in field.metadata if isinstance(each, OneOf)]
    literals = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    return tuple(*tables) or literals


def choices() -> Iterator[tuple[str, str]]:
    """Every value of every key that has a fixed set of them."""
    for section, config in SECTIONS.items():
        for name, field in config.model_fields.items():
            values = tuple(MODELS) if (section, name) == ("model", "name") else names_of(field)
            for value in values:
                yield f"{section}.{name}", value


def needs(key: str, value: str) -> list[str]:
    """What a choice wants of the other keys."""
    if value in MODELS and MODELS[value].builder.startswith("vision:"):
        return [*BRIEFLY, f"model.activation={MODELS[value].activation or 'relu'}"]
    return {
        ("model.norm", "instance"): ["model.name=cnn"],
        ("regularize.average", "swa"): ["regularize.swa_start=0.0"],
        ("model.init", "zeros"): ["model.norm=none", "model.hidden=[]"],
        ("schedule.name", "plateau"): ["schedule.patience=0", "schedule.threshold=0.9"],
        ("schedule.name", "step"): ["schedule.step_epochs=1"],
        ("schedule.name", "multi_step"): ["schedule.milestones=[1]"],
        ("optim.decay", "coupled"): ["optim.name=adam"],
        ("optim.decay", "decoupled"): ["optim.name=adam", "optim.weight_decay=0.3"],
    }.get((key, value), ["schedule.name=cyclic", "schedule.cycle_epochs=2"] if key == "schedule.cycle_mode" else [])


@pytest.fixture
def train(processed: Callable[..., Path], make_params: Callable[..., Params]) -> Train:
    """Trains three epochs and returns the metrics of each and the last weights."""
    made: dict[str, Path] = {}

    def run(kind: str, *overrides: str) -> tuple[list[dict[str, float]], dict[str, Tensor]]:
        params = make_params(kind, "schedule.name=constant", *overrides)
        if kind not in made:
            made[kind] = processed(kind)
        training = begin([params], load_training_data(params, made[kind]), packed=False)
        history = [epoch.of(0) for epoch in training.epochs]
        assert not training.members.failure[0]
        return history, training.learner.weights(0)

    return run


def differ(one: Any, two: Any) -> bool:
    """Whether two trainings took other steps, or another number of them."""
    (history, weights), (other_history, others) = one, two
    if len(history) != len(other_history) or weights.keys() != others.keys():
        return True
    return any(w.shape != others[name].shape or not torch.equal(w, others[name]) for name, w in weights.items())


def test_every_key_is_tried() -> None:
    fixed = {key for key, _ in choices()}
    keys = {f"{section}.{name}" for section, config in SECTIONS.items() for name in config.model_fields}
    assert keys == set(CHANGES) | fixed | ELSEWHERE
    assert not set(CHANGES) & fixed


def marked(key: str, value: str) -> Any:
    return pytest.param(key, value, marks=[pytest.mark.slow] if value in SLOW else [])


@pytest.mark.parametrize(("key", "value"), [marked(*c) for c in choices() if c[0] not in ELSEWHERE])
def test_every_choice_trains_and_differs_from_the_first(key: str, value: str, train: Train) -> None:
    needs_images = value == "instance" or (value in MODELS and MODELS[value].needs_images)
    kind = "regression" if value in NUMBERS else "images" if needs_images else "table"
    if (key, value) == ("loss.name", "bce"):
        return  # for two classes: tests/stages/test_evaluate.py
    base = needs(key, value)
    changed = train(kind, *base, f"{key}={value}")
    assert changed[0][-1]["train/loss"] < changed[0][0]["train/loss"] * 1.5
    default = next(value for each, value in choices() if each == key)
    if value != default and (key, value) not in SAME:
        assert differ(train(kind, *base, f"{key}={default}"), changed)


@pytest.mark.parametrize("key", list(CHANGES))
def test_every_value_counts(key: str, train: Train) -> None:
    change = CHANGES[key]
    value, base = (change, []) if isinstance(change, str) else change
    kind = "images" if "model.name=cnn" in base else "regression" if "loss.name=huber" in base else "table"
    assert differ(train(kind, *base), train(kind, *base, f"{key}={value}"))
