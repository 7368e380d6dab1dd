"""Learning rates: a table of one value a step, and the plateau, which looks at the validation metric."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    PolynomialLR,
    ReduceLROnPlateau,
    StepLR,
)

from wellfit.training.config import ScheduleConfig


class Schedule:
    """The learning rate of each of K members at each step.

    Args:
        plans: of each member.
        steps: optimizer steps an epoch.
        higher_is_better: direction of the metric that ``plateau`` watches.
    """

    def __init__(self, plans: Sequence["Plan"], steps: int, *, higher_is_better: bool) -> None:
        self.steps = steps
        self._mode: Literal["min", "max"] = "max" if higher_is_better else "min"
        self._members = [self._member(plan) for plan in plans]

    def _member(self, plan: "Plan") -> "_Member":
        plateau = _plateau(plan.config, plan.lr, self._mode) if plan.config.name == "plateau" else None
        return _Member(lr_table(plan.config, plan.lr, plan.epochs, self.steps), plan.config.warmup_epochs, plateau)

    def change(self, kept: Sequence[int], added: Sequence["Plan"]) -> None:
        """Goes on with some of the members, in this order, and with new ones behind them."""
        self._members = [self._members[k] for k in kept] + [self._member(plan) for plan in added]

    def lr(self, epochs: np.ndarray, step: int) -> np.ndarray:
        """Learning rates, shape (K,).

        Args:
            epochs: (K,) the epoch of each member, counted from 1; past its last the rate stays what it was.
            step: of the epoch, counted from 0.
        """
        steps = (epochs - 1) * self.steps + step
        return np.array([m.lr(at) for m, at in zip(self._members, steps.tolist(), strict=True)])

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

    def lr(self, step: int) -> float:
        lr = float(self.table[min(step, len(self.table) - 1)])
        return lr if self.plateau is None else lr * self.plateau.optimizer.param_groups[0]["lr"]


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
    after = _stepped(lambda optimizer: _scheduler(config, optimizer, steps, max(1, span)), lr, max(1, span))
    if not warmup:
        return after
    full = config.warmup_epochs * steps  # longer than `warmup` where the run ends before it is warm
    rise = _stepped(lambda optimizer: LinearLR(optimizer, 1 / (full + 1), total_iters=full), float(after[0]), warmup)
    return np.concatenate([rise, after[:span]])


def _stepped(make: Callable[[SGD], LRScheduler], lr: float, steps: int) -> np.ndarray:
    """What a scheduler does to the learning rate of an optimizer, before each of so many steps."""
    optimizer = SGD([torch.zeros(1)], lr=lr)
    scheduler = make(optimizer)
    optimizer.step()  # nothing has a gradient: this only tells the scheduler that its order is right
    table = np.empty(steps)
    for step in range(steps):
        table[step] = optimizer.param_groups[0]["lr"]
        if step + 1 < steps:  # OneCycleLR refuses a step past its end
            scheduler.step()
    return table


def _scheduler(config: ScheduleConfig, optimizer: SGD, steps: int, span: int) -> LRScheduler:
    lr = optimizer.param_groups[0]["lr"]
    match config.name:
        case "step":
            return StepLR(optimizer, step_size=config.step_epochs * steps, gamma=config.gamma)
        case "multi_step":
            return MultiStepLR(optimizer, [epoch * steps for epoch in config.milestones], gamma=config.gamma)
        case "exponential":
            return ExponentialLR(optimizer, gamma=config.decay ** (1 / steps))
        case "linear":
            return LinearLR(optimizer, start_factor=1.0, end_factor=config.end_factor, total_iters=span)
        case "polynomial":
            return PolynomialLR(optimizer, total_iters=span, power=config.power)
        case "cosine":
            return CosineAnnealingLR(optimizer, T_max=span, eta_min=config.min_lr)
        case "cosine_restarts":
            first = config.restart_epochs * steps
            return CosineAnnealingWarmRestarts(optimizer, first, T_mult=config.restart_factor, eta_min=config.min_lr)
        case "one_cycle":
            return OneCycleLR(
                optimizer,
                max_lr=lr,
                total_steps=max(2, span),  # a cycle of one step would divide by zero
                pct_start=config.rise,
                div_factor=1 / config.start_factor,
                final_div_factor=config.start_factor / config.end_factor,
                cycle_momentum=False,
            )
        case "cyclic":
            return CyclicLR(
                optimizer,
                base_lr=lr * config.start_factor,
                max_lr=lr,
                step_size_up=config.cycle_epochs * steps / 2,  # type: ignore[arg-type]  # it takes halves
                mode=config.cycle_mode,
                gamma=config.decay ** (1 / steps),
                cycle_momentum=False,
            )
        case "constant" | "plateau":
            return ConstantLR(optimizer, factor=1.0)


def _plateau(config: ScheduleConfig, lr: float, mode: Literal["min", "max"]) -> ReduceLROnPlateau:
    """Works on a factor that starts at 1, so that warm-up and plateau multiply."""
    return ReduceLROnPlateau(
        SGD([torch.zeros(1)], lr=1.0),
        mode=mode,
        factor=config.gamma,
        patience=config.patience,
        threshold=config.threshold,
        min_lr=config.min_lr / lr,
    )
