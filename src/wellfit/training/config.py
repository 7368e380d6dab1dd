"""Sections of ``params.yaml``: ``loss``, ``regularize``, ``optim``, ``schedule``, ``train``, ``track``, ``lr_find``."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PlainSerializer, PlainValidator, model_validator
from pydantic_core import PydanticCustomError

from wellfit.config import Config, Widths

ClassMonitor = Literal[
    "val/accuracy",
    "val/balanced_accuracy",
    "val/precision",
    "val/recall",
    "val/f1",
    "val/macro_f1",
    "val/roc_auc",
    "val/average_precision",
]
NumberMonitor = Literal["val/rmse", "val/mae", "val/r2", "val/msle"]
Monitor = Literal["val/loss", ClassMonitor, NumberMonitor]


def _class_weights(value: Any) -> Any:
    if isinstance(value, list) and value:
        if all(type(v) in (int, float) and 0 < v < math.inf for v in value):
            return tuple(float(v) for v in value)
    elif value in ("none", "balanced") or isinstance(value, tuple):
        return value
    rule = "must be none, balanced, or a list of numbers > 0, one for each class"
    raise PydanticCustomError("class_weights", rule)


class LossConfig(Config):
    name: Literal["auto", "cross_entropy", "bce", "focal", "mse", "mae", "huber", "smooth_l1", "msle"]
    label_smoothing: float = Field(ge=0, lt=1)
    class_weights: Annotated[
        Literal["none", "balanced"] | tuple[float, ...],
        PlainValidator(_class_weights),
        PlainSerializer(lambda value: value),
    ]
    focal_gamma: float = Field(ge=0)
    delta: float = Field(gt=0)


class OptimConfig(Config):
    name: Literal["adamw", "adam", "nadam", "radam", "sgd", "rmsprop", "adagrad", "lamb", "lion", "muon"]
    lr: float = Field(gt=0)
    weight_decay: float = Field(ge=0)
    decay: Literal["auto", "decoupled", "coupled"]
    decay_all: bool
    l1: float = Field(ge=0)
    momentum: float = Field(ge=0, lt=1)
    nesterov: bool
    beta1: float = Field(ge=0, lt=1)
    beta2: float = Field(ge=0, lt=1)
    alpha: float = Field(ge=0, lt=1)
    eps: float = Field(gt=0)
    clip_norm: float | None = Field(gt=0)
    clip_value: float | None = Field(gt=0)
    max_norm: float | None = Field(gt=0)

    @property
    def is_decoupled(self) -> bool:
        """Whether weight decay shrinks the weights themselves (Loshchilov and Hutter 2019), or adds to the gradient."""
        if self.decay == "auto":
            return self.name in ("adamw", "lion", "muon")
        return self.decay == "decoupled"


class ScheduleConfig(Config):
    name: Literal[
        "constant",
        "step",
        "multi_step",
        "exponential",
        "linear",
        "polynomial",
        "cosine",
        "cosine_restarts",
        "one_cycle",
        "cyclic",
        "plateau",
    ]
    warmup_epochs: int = Field(ge=0)
    step_epochs: int = Field(ge=1)
    milestones: Annotated[Widths, Field(min_length=1)]
    gamma: float = Field(gt=0, lt=1)
    decay: float = Field(gt=0, le=1)
    power: float = Field(gt=0)
    restart_epochs: int = Field(ge=1)
    restart_factor: int = Field(ge=1)
    cycle_epochs: int = Field(ge=1)
    cycle_mode: Literal["triangular", "triangular2", "exp_range"]
    rise: float = Field(gt=0, lt=1)
    start_factor: float = Field(gt=0, le=1)
    end_factor: float = Field(gt=0, le=1)
    patience: int = Field(ge=0)
    threshold: float = Field(ge=0)
    min_lr: float = Field(ge=0)


class RegularizeConfig(Config):
    input_noise: float = Field(ge=0)
    mixup: float = Field(ge=0)
    cutmix: float = Field(ge=0)
    average: Literal["none", "ema", "swa"]
    ema_decay: float = Field(gt=0, lt=1)
    swa_start: float = Field(ge=0, lt=1)


class TrainConfig(Config):
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    accumulate: int = Field(ge=1)
    patience: int | None = Field(ge=1)
    min_delta: float = Field(ge=0)
    monitor: Monitor
    seed: int = Field(ge=0, lt=2**32)
    device: Literal["auto", "cpu", "cuda", "mps"]
    threads: int | None = Field(ge=1)
    precision: Literal["fp32", "bf16", "auto"]
    compile: bool

    @property
    def rows_per_step(self) -> int:
        """Rows whose gradients make an optimizer step."""
        return self.batch_size * self.accumulate


class TrackConfig(Config):
    layers: bool
    tensorboard: bool


class LrFindConfig(Config):
    low: float = Field(gt=0)
    high: float
    steps: int = Field(ge=50, le=100_000)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low must be < high, got low {self.low:g} and high {self.high:g}")
        return self
