"""The section ``train`` of ``params.yaml`` with its rules, and what the loop remembers of each member."""

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple, get_args

import numpy as np
from pydantic import Field

from wellfit.config import Config, Count, CountOrZero, PositiveOrZero, Rule, Seed, auto_or_between
from wellfit.data.meta import HEAVY, Meta
from wellfit.errors import WellfitError
from wellfit.metrics.names import is_higher_better

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
# Where train.batch_size is auto.
BATCH_OF_IMAGES = 64
SMALLEST_BATCH, LARGEST_BATCH = 32, 256  # on tables, powers of two
REMEMBERED = ("epoch", "best", "best_epoch", "active", "failure")  # of members, from epoch to epoch
MONITORS = {"classification": get_args(ClassMonitor), "regression": get_args(NumberMonitor)}


class TrainConfig(Config):
    epochs: Count
    batch_size: Annotated[Literal["auto"] | int, auto_or_between(1, 1_000_000)]
    accumulate: Count
    patience: Count | None
    min_delta: PositiveOrZero
    monitor: Monitor
    seed: Seed
    seeds: int = Field(ge=1, le=1000)
    fold: CountOrZero
    ensemble: int = Field(ge=0, le=1000)
    device: Literal["auto", "cpu", "cuda", "mps"]
    threads: int | None = Field(ge=1, le=1024)
    precision: Literal["fp32", "bf16", "auto"]
    compile: bool

    def rows_per_batch(self, meta: Meta) -> int:
        """Rows of a forward pass; auto: on tables, about the square root of all training rows."""
        if self.batch_size != "auto":
            return self.batch_size
        if meta.kind in HEAVY:
            return BATCH_OF_IMAGES
        root = 2 ** round(math.log2(meta.split_sizes["train"]) / 2)
        return int(min(LARGEST_BATCH, max(SMALLEST_BATCH, root)))

    def rows_per_step(self, meta: Meta) -> int:
        """Rows whose gradients make an optimizer step."""
        return self.rows_per_batch(meta) * self.accumulate


RULES = [
    Rule(
        ("train.monitor", "data.name", "data.task"),
        lambda p, data: data.task is not None and p.train.monitor not in ("val/loss", *MONITORS[data.task]),
        "train.monitor {train.monitor} is not a score of a {task} (data.name {data.name}); use val/loss",
    ),
    Rule(
        ("train.fold", "data.folds"),
        lambda p, _: p.train.fold >= (p.data.folds or 1),
        "train.fold must be 0 to data.folds - 1, and 0 where that is null, got {train.fold}",
    ),
    Rule(
        ("train.seeds", "train.ensemble"),
        lambda p, _: p.train.seeds > 1 and p.train.ensemble == 0,
        "train.seeds {train.seeds} needs train.ensemble >= 1, for other seeds are models of the ensemble, got 0",
    ),
    Rule(
        ("data.folds", "model.name", "model.freeze"),
        lambda p, _: p.data.folds is not None and not p.model.entry.packs,
        "data.folds trains the models of all folds as one pack, which model.name {model.name} does not; set it to null",
    ),
    Rule(
        ("data.folds", "train.compile"),
        lambda p, _: p.data.folds is not None and p.train.compile,
        "data.folds needs train.compile false, got {train.compile}",
    ),
    Rule(
        ("train.batch_size", "model.norm"),
        lambda p, _: p.model.norm == "batch" and p.train.batch_size == 1,
        "train.batch_size 1 leaves model.norm batch one row to learn from; raise it, or use model.norm none",
    ),
]


class Epoch(NamedTuple):
    """What an epoch brought to K members.

    Attributes:
        number: (K,) of the epoch of each member, counted from 1.
        metrics: each (K,).
        improved: (K,) bool, which members have a new best.
    """

    number: np.ndarray
    metrics: dict[str, np.ndarray]
    improved: np.ndarray

    def of(self, member: int) -> dict[str, float]:
        """The metrics of one member."""
        return {name: float(values[member]) for name, values in self.metrics.items()}


class Members:
    """Early stopping, last epochs and failures of K members, as vectors of length K.

    Args:
        configs: the section ``train`` of each member, with the same ``monitor``.

    Attributes:
        epoch: (K,) the number of epochs that each member has trained.
        best: (K,) the best value of ``train.monitor``.
        best_epoch: (K,) the epoch of that value, 0 before the first one.
        active: (K,) bool, which members go on. Whoever iterates the epochs may clear it.
        failure: (K,) which metric was not finite and when, or None.
    """

    def __init__(self, configs: Sequence[TrainConfig]) -> None:
        size = len(configs)
        self.monitor = configs[0].monitor
        self._sign = -1.0 if is_higher_better(self.monitor) else 1.0
        self._patience = np.array([np.inf if each.patience is None else each.patience for each in configs])
        self._min_delta = np.array([each.min_delta for each in configs])
        self._epochs = np.array([each.epochs for each in configs])
        self.epoch = np.zeros(size, int)
        self.best = np.full(size, np.inf) * self._sign
        self.best_epoch = np.zeros(size, int)
        self.active = np.ones(size, bool)
        self.failure = np.full(size, None)

    def state_dict(self) -> dict[str, list[Any]]:
        """What it remembers of each member."""
        return {name: getattr(self, name).tolist() for name in REMEMBERED}

    def load_state_dict(self, state: dict[str, list[Any]]) -> None:
        """Takes over what :meth:`state_dict` said."""
        for name in REMEMBERED:
            getattr(self, name)[:] = state[name]

    def change(self, kept: Sequence[int], added: Sequence[TrainConfig]) -> None:
        """Goes on with some of the members, in this order, and with new ones behind them."""
        new = vars(Members(added)) if added else None
        for name, values in vars(self).items():
            if isinstance(values, np.ndarray):
                rows = values[list(kept)]
                setattr(self, name, np.concatenate([rows, new[name]]) if new else rows)

    def observe(self, metrics: dict[str, np.ndarray]) -> np.ndarray:
        """Takes an epoch's metrics in, and stops members.

        A member stops at its last epoch, when its patience has run out, or when a metric is not finite.

        Args:
            metrics: each (K,).

        Returns:
            (K,) bool, which members have a new best.

        Raises:
            WellfitError: ``train.monitor`` is not defined for the validation rows.
        """
        if self.monitor not in metrics:
            raise WellfitError(
                f"train.monitor {self.monitor} is not defined for these validation rows (msle: a target is below 0; "
                "roc_auc: a single class occurs); use val/loss (params.yaml)"
            )
        for name, values in metrics.items():
            for k in np.flatnonzero(self.active & ~np.isfinite(values)):
                self.failure[k] = f"{name} is {values[k]} in epoch {self.epoch[k]}"
                self.active[k] = False
        values = metrics[self.monitor]
        better = self._sign * values < self._sign * self.best - self._min_delta
        improved: np.ndarray = self.active & better
        self.best[improved] = values[improved]
        self.best_epoch[improved] = self.epoch[improved]
        self.active &= (self.epoch - self.best_epoch < self._patience) & (self.epoch < self._epochs)
        return improved
