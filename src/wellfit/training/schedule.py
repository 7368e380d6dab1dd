"""Learning rates: a table of one value a step, and the plateau, which looks at the validation metric."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

from wellfit.training.config import ScheduleConfig


class Schedule:
    """The learning rate of each member at each step.

    Args:
        config: the section ``schedule``.
        lrs: ``optim.lr`` of each of the K members.
        epochs: how many epochs the schedule spans.
        steps: optimizer steps an epoch.
        higher_is_better: direction of the metric that ``plateau`` watches.
    """

    def __init__(
        self, config: ScheduleConfig, lrs: Sequence[float], epochs: int, steps: int, *, higher_is_better: bool
    ) -> None:
        self.epochs, self.steps = epochs, steps
        self._warmup_epochs = config.warmup_epochs
        self._table = np.stack([lr_table(config, lr, epochs, steps) for lr in lrs])  # (K, epochs * steps)
        self._plateaus = []
        if config.name == "plateau":
            mode = "max" if higher_is_better else "min"
            self._plateaus = [_plateau(config, lr, mode) for lr in lrs]

    def lr(self, step: int) -> np.ndarray:
        """Learning rates at a step, counted from 0 over the whole run, shape (K,)."""
        lrs: np.ndarray = self._table[:, step]
        if self._plateaus:
            lrs = lrs * [plateau.optimizer.param_groups[0]["lr"] for plateau in self._plateaus]
        return lrs

    def observe(self, epoch: int, monitored: np.ndarray) -> None:
        """Shows the plateau the monitored metric of an epoch, shape (K,). Warm-up epochs do not count."""
        if epoch > self._warmup_epochs:
            for plateau, value in zip(self._plateaus, monitored, strict=False):
                plateau.step(float(value))


def lr_table(config: ScheduleConfig, lr: float, epochs: int, steps: int) -> np.ndarray:
    """Every learning rate of a run, read off torch's own schedulers stepped on a dummy optimizer.

    Args:
        config: the section ``schedule``.
        lr: the peak, ``optim.lr``.
        epochs: epochs of the run.
        steps: optimizer steps an epoch.

    Returns:
        Learning rate of each step, shape (epochs * steps,). Warm-up rises linearly and reaches ``lr`` with the first
        step after it; ``plateau`` is constant here.
    """
    optimizer = SGD([torch.zeros(1)], lr=lr)
    warmup = config.warmup_epochs * steps
    total = epochs * steps
    after = _scheduler(config, optimizer, steps, max(1, total - warmup))
    scheduler: LRScheduler = after
    if warmup:
        rise = LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
        scheduler = SequentialLR(optimizer, [rise, after], milestones=[warmup])
    optimizer.step()  # nothing has a gradient: this only tells the schedulers that their order is right
    table = np.empty(total)
    for step in range(total):
        table[step] = optimizer.param_groups[0]["lr"]
        scheduler.step()
    return table


def _scheduler(config: ScheduleConfig, optimizer: SGD, steps: int, span: int) -> LRScheduler:
    if config.name == "step":
        return StepLR(optimizer, step_size=config.step_epochs * steps, gamma=config.gamma)
    if config.name == "cosine":
        return CosineAnnealingLR(optimizer, T_max=span, eta_min=config.min_lr)
    return ConstantLR(optimizer, factor=1.0)


def _plateau(config: ScheduleConfig, lr: float, mode: str) -> ReduceLROnPlateau:
    """Works on a factor that starts at 1, so that warm-up and plateau multiply."""
    return ReduceLROnPlateau(
        SGD([torch.zeros(1)], lr=1.0),
        mode=mode,  # type: ignore[arg-type]
        factor=config.gamma,
        patience=config.patience,
        threshold=config.threshold,
        min_lr=config.min_lr / lr,
    )
