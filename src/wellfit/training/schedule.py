"""Learning rates: a table of one value a step, and the plateau, which looks at the validation metric.

Also the section ``schedule`` of ``params.yaml``, its rules, and the schedules it can name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from wellfit.config import Config, Count, CountOrZero, Counts, OneOf, Positive, PositiveOrZero, Rule

if TYPE_CHECKING:
    from torch.optim import SGD
    from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau


class Span(NamedTuple):
    """What a schedule runs over.

    Attributes:
        lr: the peak, ``optim.lr``.
        steps: optimizer steps an epoch.
        total: steps of the schedule, warm-up left out.
    """

    lr: float
    steps: int
    total: int


class Entry(NamedTuple):
    """A schedule.

    Attributes:
        scheduler: class of ``torch.optim.lr_scheduler``; `LambdaLR` takes any formula.
        arguments: what it takes.
        reads: keys of the section that it depends on, besides ``warmup_epochs``.
        is_plateau: whether rates also fall where ``train.monitor`` does not get better.
    """

    scheduler: str
    arguments: Callable[[ScheduleConfig, Span], dict[str, Any]]
    reads: tuple[str, ...] = ()
    is_plateau: bool = False


SCHEDULES = {
    "constant": Entry("ConstantLR", lambda c, span: {"factor": 1.0}),
    "step": Entry(
        "StepLR", lambda c, span: {"step_size": c.step_epochs * span.steps, "gamma": c.gamma}, ("step_epochs", "gamma")
    ),
    "multi_step": Entry(
        "MultiStepLR",
        lambda c, span: {"milestones": [epoch * span.steps for epoch in c.milestones], "gamma": c.gamma},
        ("milestones", "gamma"),
    ),
    "exponential": Entry("ExponentialLR", lambda c, span: {"gamma": c.decay ** (1 / span.steps)}, ("decay",)),
    "linear": Entry(
        "LinearLR",
        lambda c, span: {"start_factor": 1.0, "end_factor": c.end_factor, "total_iters": span.total},
        ("end_factor",),
    ),
    "polynomial": Entry("PolynomialLR", lambda c, span: {"total_iters": span.total, "power": c.power}, ("power",)),
    "cosine": Entry("CosineAnnealingLR", lambda c, span: {"T_max": span.total, "eta_min": c.min_lr}, ("min_lr",)),
    "cosine_restarts": Entry(
        "CosineAnnealingWarmRestarts",
        lambda c, span: {"T_0": c.restart_epochs * span.steps, "T_mult": c.restart_factor, "eta_min": c.min_lr},
        ("restart_epochs", "restart_factor", "min_lr"),
    ),
    "one_cycle": Entry(
        "OneCycleLR",
        lambda c, span: {
            "max_lr": span.lr,
            "total_steps": max(2, span.total),  # a cycle of one step would divide by zero
            "pct_start": c.rise,
            "div_factor": 1 / c.start_factor,
            "final_div_factor": c.start_factor / c.end_factor,
            "cycle_momentum": False,
        },
        ("rise", "start_factor", "end_factor"),
    ),
    "cyclic": Entry(
        "CyclicLR",
        lambda c, span: {
            "base_lr": span.lr * c.start_factor,
            "max_lr": span.lr,
            "step_size_up": c.cycle_epochs * span.steps / 2,
            "mode": c.cycle_mode,
            "gamma": c.decay ** (1 / span.steps),
            "cycle_momentum": False,
        },
        ("start_factor", "cycle_epochs", "cycle_mode", "decay"),
    ),
    "plateau": Entry(
        "ConstantLR", lambda c, span: {"factor": 1.0}, ("gamma", "patience", "threshold", "min_lr"), is_plateau=True
    ),
}


class ScheduleConfig(Config):
    name: Annotated[str, OneOf(SCHEDULES)]
    warmup_epochs: CountOrZero
    step_epochs: Count
    milestones: Annotated[Counts, Field(min_length=1)]
    gamma: float = Field(gt=0, lt=1)
    decay: float = Field(gt=0, le=1)
    power: Positive
    restart_epochs: Count
    restart_factor: Count
    cycle_epochs: Count
    cycle_mode: Literal["triangular", "triangular2", "exp_range"]
    rise: float = Field(gt=0, lt=1)
    start_factor: float = Field(gt=0, le=1)
    end_factor: float = Field(gt=0, le=1)
    patience: CountOrZero
    threshold: PositiveOrZero
    min_lr: PositiveOrZero


RULES = [
    Rule(
        ("schedule.warmup_epochs", "train.epochs"),
        lambda p, _: p.schedule.warmup_epochs >= p.train.epochs,
        "schedule.warmup_epochs must be < train.epochs, got {schedule.warmup_epochs} and {train.epochs}; 0 is no "
        "warm-up",
    ),
    Rule(
        ("schedule.name", "schedule.min_lr", "optim.lr"),
        lambda p, _: "min_lr" in SCHEDULES[p.schedule.name].reads and p.schedule.min_lr > p.optim.lr,
        "schedule.min_lr must be <= optim.lr with schedule.name {schedule.name}, got {schedule.min_lr:g} and "
        "{optim.lr:g}",
    ),
    Rule(
        ("schedule.milestones",),
        lambda p, _: list(p.schedule.milestones) != sorted(set(p.schedule.milestones)),
        "schedule.milestones must rise, got {schedule.milestones}",
    ),
]


class Schedule:
    """The learning rate of each of K members at each step.

    Args:
        plans: of each member.
        steps: optimizer steps an epoch.
        higher_is_better: direction of the metric that ``plateau`` watches.
    """

    def __init__(self, plans: Sequence[Plan], steps: int, *, higher_is_better: bool) -> None:
        self.steps = steps
        self._mode: Literal["min", "max"] = "max" if higher_is_better else "min"
        self._members = [self._member(plan) for plan in plans]

    def _member(self, plan: Plan) -> _Member:
        plateau = _plateau(plan.config, plan.lr, self._mode) if SCHEDULES[plan.config.name].is_plateau else None
        return _Member(lr_table(plan.config, plan.lr, plan.epochs, self.steps), plan.config.warmup_epochs, plateau)

    def change(self, kept: Sequence[int], added: Sequence[Plan]) -> None:
        """Goes on with some of the members, in this order, and with new ones behind them."""
        self._members = [self._members[k] for k in kept] + [self._member(plan) for plan in added]

    def state_dict(self) -> list[dict[str, Any] | None]:
        """What each member's plateau remembers; None of the other schedules, which look at the epoch alone."""
        plateaus = [member.plateau for member in self._members]
        return [
            None if each is None else each.state_dict() | {"factor_now": each.optimizer.param_groups[0]["lr"]}
            for each in plateaus
        ]

    def load_state_dict(self, state: list[dict[str, Any] | None]) -> None:
        """Takes over what :meth:`state_dict` said."""
        for member, remembered in zip(self._members, state, strict=True):
            if member.plateau is not None and remembered is not None:
                remembered = dict(remembered)
                member.plateau.optimizer.param_groups[0]["lr"] = remembered.pop("factor_now")
                member.plateau.load_state_dict(remembered)

    def epoch(self, numbers: np.ndarray) -> np.ndarray:
        """Learning rates of each step of an epoch, shape (steps, K).

        Args:
            numbers: (K,) of each member's epoch, counted from 1; past its last the rate stays what it was.
        """
        firsts = (numbers - 1) * self.steps
        lrs = [member.lrs(first, self.steps) for member, first in zip(self._members, firsts.tolist(), strict=True)]
        return np.stack(lrs, axis=1)

    def observe(self, epochs: np.ndarray, monitored: np.ndarray) -> None:
        """Shows the plateaus the monitored metric of an epoch, shape (K,). Warm-up epochs do not count."""
        for member, epoch, value in zip(self._members, epochs, monitored, strict=True):
            if member.plateau is not None and epoch > member.warmup_epochs:
                member.plateau.step(float(value))


class Plan(NamedTuple):
    """What decides a learning rate: the section ``schedule``, the peak ``optim.lr``, and how many epochs there are."""

    config: ScheduleConfig
    lr: float
    epochs: int


class _Member(NamedTuple):
    table: np.ndarray  # (epochs * steps,)
    warmup_epochs: int
    plateau: ReduceLROnPlateau | None

    def lrs(self, first: int, count: int) -> np.ndarray:
        lrs: np.ndarray = self.table[np.arange(first, first + count).clip(max=len(self.table) - 1)]
        return lrs if self.plateau is None else lrs * self.plateau.optimizer.param_groups[0]["lr"]


def lr_table(config: ScheduleConfig, lr: float, epochs: int, steps: int) -> np.ndarray:
    """Every learning rate of a run, read off torch's own schedulers stepped on a dummy optimizer.

    Args:
        config: the section ``schedule``.
        lr: the peak, ``optim.lr``.
        epochs: epochs of the run.
        steps: optimizer steps an epoch.

    Returns:
        Learning rate of each step, shape (epochs * steps,). Warm-up rises linearly and reaches the schedule's own first
        value with the first step after it; ``plateau`` is constant here.
    """
    if config.min_lr == 0:  # then all rates go up and down with the peak, and trials share a table
        return lr * _table(config, 1.0, epochs, steps)
    return _table(config, lr, epochs, steps)


@lru_cache(maxsize=256)
def _table(config: ScheduleConfig, lr: float, epochs: int, steps: int) -> np.ndarray:
    total = epochs * steps
    warmup = min(config.warmup_epochs * steps, total)
    span = total - warmup
    entry, total_steps = SCHEDULES[config.name], max(1, span)
    after = _stepped(entry.scheduler, entry.arguments(config, Span(lr, steps, total_steps)), lr, total_steps)
    if not warmup:
        return after
    full = config.warmup_epochs * steps  # longer than `warmup` where the run ends before it is warm
    rise = _stepped("LinearLR", {"start_factor": 1 / (full + 1), "total_iters": full}, float(after[0]), warmup)
    return np.concatenate([rise, after[:span]])


def _stepped(name: str, arguments: dict[str, Any], lr: float, steps: int) -> np.ndarray:
    """What a scheduler of torch does to the learning rate of an optimizer, before each of so many steps."""
    from torch.optim import lr_scheduler

    optimizer = _dummy_optimizer(lr)
    scheduler: LRScheduler = getattr(lr_scheduler, name)(optimizer, **arguments)
    optimizer.step()  # nothing has a gradient: this only tells the scheduler that its order is right
    table = np.empty(steps)
    for step in range(steps):
        table[step] = optimizer.param_groups[0]["lr"]
        if step + 1 < steps:  # OneCycleLR refuses a step past its end
            scheduler.step()
    return table


def _plateau(config: ScheduleConfig, lr: float, mode: Literal["min", "max"]) -> ReduceLROnPlateau:
    """Works on a factor that starts at 1, so that warm-up and plateau multiply."""
    from torch.optim.lr_scheduler import ReduceLROnPlateau

    return ReduceLROnPlateau(
        _dummy_optimizer(1.0),
        mode=mode,
        factor=config.gamma,
        patience=config.patience,
        threshold=config.threshold,
        min_lr=config.min_lr / lr,
    )


def _dummy_optimizer(lr: float) -> SGD:
    import torch

    return torch.optim.SGD([torch.zeros(1)], lr=lr)
