"""The section ``train`` of ``params.yaml``, and its rules."""

from typing import Literal, get_args

from pydantic import Field

from wellfit.config import Config, Rule

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
MONITORS = {"classification": get_args(ClassMonitor), "regression": get_args(NumberMonitor)}


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


RULES = [
    Rule(
        ("train.monitor", "data.name", "data.task"),
        lambda p, data: data.task is not None and p.train.monitor not in ("val/loss", *MONITORS[data.task]),
        "train.monitor {train.monitor} is not a score of a {task} (data.name {data.name}); use val/loss",
    ),
    Rule(
        ("train.batch_size", "model.norm"),
        lambda p, _: p.model.norm == "batch" and p.train.batch_size == 1,
        "train.batch_size 1 leaves model.norm batch one row to learn from; raise it, or use model.norm none",
    ),
]
