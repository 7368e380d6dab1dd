"""The training loop, for one model or a pack of them."""

from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from wellfit.errors import WellfitError
from wellfit.training.metrics import is_higher_better
from wellfit.training.schedule import Schedule


class Learner(Protocol):
    """K members that step together; ``single.py`` has the pack of one."""

    size: int

    def step(self, rows: Tensor, lr: np.ndarray) -> None: ...
    def finish_epoch(self) -> dict[str, np.ndarray]: ...
    def validate(self) -> dict[str, np.ndarray]: ...
    def weights(self, member: int) -> dict[str, Tensor]: ...


class Epoch(NamedTuple):
    """What an epoch brought: each metric (K,), and which members have a new best, (K,) bool."""

    number: int
    metrics: dict[str, np.ndarray]
    improved: np.ndarray

    def of(self, member: int) -> dict[str, float]:
        """The metrics of one member."""
        return {name: float(values[member]) for name, values in self.metrics.items()}


class Members:
    """What the loop remembers of each of K members, as vectors of length K.

    Args:
        size: K.
        monitor: the validation metric that decides, such as ``val/loss``.
        patience: epochs without improvement before a member stops; None: never.
        min_delta: smallest change that counts as improvement, in the metric's unit.
    """

    def __init__(self, size: int, monitor: str, patience: int | None, min_delta: float) -> None:
        self.monitor = monitor
        self._sign = -1.0 if is_higher_better(monitor) else 1.0
        self._patience = np.inf if patience is None else patience
        self._min_delta = min_delta
        self.best = np.full(size, np.inf) * self._sign
        self.best_epoch = np.zeros(size, int)
        self.active = np.ones(size, bool)
        self.failure: list[str | None] = [None] * size

    def observe(self, epoch: int, metrics: dict[str, np.ndarray]) -> np.ndarray:
        """Updates best values and stops members whose patience has run out or whose numbers blew up.

        Returns:
            Which members have a new best, (K,) bool.

        Raises:
            WellfitError: the validation rows leave ``train.monitor`` undefined.
        """
        if self.monitor not in metrics:
            raise WellfitError(
                f"train.monitor {self.monitor} is not defined for these validation rows (msle: a target is below 0; "
                "roc_auc: a single class occurs); use val/loss (params.yaml)"
            )
        for name, values in metrics.items():
            for k in np.flatnonzero(self.active & ~np.isfinite(values)):
                self.failure[k] = f"{name} is {values[k]} in epoch {epoch}"
                self.active[k] = False
        values = metrics[self.monitor]
        better = self._sign * values < self._sign * self.best - self._min_delta
        improved: np.ndarray = self.active & better
        self.best[improved] = values[improved]
        self.best_epoch[improved] = epoch
        self.active &= epoch - self.best_epoch < self._patience
        return improved


def batch_sizes(rows: int, batch_size: int) -> list[int]:
    """Sizes of the batches that rows are cut into; the last one holds what is left."""
    full, rest = divmod(rows, batch_size)
    if rest == 1 and full:  # batch norm cannot learn from one row: it joins the batch before
        return [batch_size] * (full - 1) + [batch_size + 1]
    return [batch_size] * full + [rest] * (rest > 0)


class BatchOrder:
    """The order in which each member sees the training rows: a fresh permutation for every epoch.

    It depends on the member's seed and the epoch alone, so a resumed run or a pack sees what a single run saw.

    Args:
        rows: number of training rows.
        batch_size: rows a step; the last step of an epoch has what is left.
        seeds: one for each member.
    """

    def __init__(self, rows: int, batch_size: int, seeds: Sequence[int], device: torch.device) -> None:
        self.rows, self._seeds, self._device = rows, seeds, device
        self._sizes = batch_sizes(rows, batch_size)
        self.steps = len(self._sizes)

    def epoch(self, number: int) -> Iterator[Tensor]:
        """Indices of each step of an epoch, (K, B) int64."""
        orders = [torch.randperm(self.rows, generator=self._generator(seed, number)) for seed in self._seeds]
        yield from torch.stack(orders).to(self._device).split(self._sizes, dim=1)

    @staticmethod
    def _generator(seed: int, epoch: int) -> torch.Generator:
        # Mixed by numpy, so that (seed 0, epoch 1) and (seed 1, epoch 0) share nothing.
        mixed = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(mixed >> np.uint64(1)))


def fit(learner: Learner, order: BatchOrder, schedule: Schedule, members: Members) -> Iterator[Epoch]:
    """Trains until every member has stopped, and hands over each epoch as it ends.

    It is a generator: whoever iterates logs, saves the best weights, or prunes by clearing ``members.active[k]``,
    while the learner stands still at the end of that epoch.
    """
    for number in range(1, schedule.epochs + 1):
        started = perf_counter()
        first = (number - 1) * schedule.steps
        for step, rows in enumerate(order.epoch(number), start=first):
            lr = schedule.lr(step)
            learner.step(rows, lr)
        metrics = learner.finish_epoch()
        seconds = np.full(learner.size, perf_counter() - started)
        metrics |= learner.validate() | {"lr": lr}

        improved = members.observe(number, metrics)
        schedule.observe(number, metrics[members.monitor])
        timing = {"seconds": seconds, "samples_per_second": order.rows / seconds}
        yield Epoch(number, metrics | timing, improved)
        if not members.active.any():
            return
