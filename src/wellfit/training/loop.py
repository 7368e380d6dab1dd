"""The training loop, for one model or a pack of them."""

from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from wellfit.errors import WellfitError
from wellfit.interruptions import check
from wellfit.training.config import TrainConfig
from wellfit.training.metrics import is_higher_better
from wellfit.training.schedule import Schedule
from wellfit.training.tensors import Tensors


class Learner(Protocol):
    """K members that step together: a ``Single``, which is a pack of one, or a ``Pack``."""

    @property
    def size(self) -> int: ...
    def step(self, rows: Tensor, lr: np.ndarray) -> None: ...
    def finish_epoch(self, numbers: np.ndarray) -> dict[str, np.ndarray]: ...
    def score(self, rows: Tensors, *, ranked: bool) -> dict[str, np.ndarray]: ...
    def validate(self) -> dict[str, np.ndarray]: ...
    def weights(self, member: int) -> dict[str, Tensor]: ...


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
    """What the loop remembers of each of K members, as vectors of length K.

    Args:
        configs: the section ``train`` of each member, with the same ``monitor``.
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

    def change(self, kept: Sequence[int], added: Sequence[TrainConfig]) -> None:
        """Goes on with some of the members, in this order, and with new ones behind them."""
        new = vars(Members(added)) if added else None
        for name, values in vars(self).items():
            if isinstance(values, np.ndarray):
                rows = values[list(kept)]
                setattr(self, name, np.concatenate([rows, new[name]]) if new else rows)

    def observe(self, metrics: dict[str, np.ndarray]) -> np.ndarray:
        """Updates best values, and stops members at their last epoch, without patience, or whose numbers blew up.

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
                self.failure[k] = f"{name} is {values[k]} in epoch {self.epoch[k]}"
                self.active[k] = False
        values = metrics[self.monitor]
        better = self._sign * values < self._sign * self.best - self._min_delta
        improved: np.ndarray = self.active & better
        self.best[improved] = values[improved]
        self.best_epoch[improved] = self.epoch[improved]
        self.active &= (self.epoch - self.best_epoch < self._patience) & (self.epoch < self._epochs)
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
        self.rows, self._seeds, self._device = rows, list(seeds), device
        self._sizes = batch_sizes(rows, batch_size)
        self.steps = len(self._sizes)

    def change(self, kept: Sequence[int], added: Sequence[int]) -> None:
        """Goes on with some of the members, in this order, and with the seeds of new ones behind them."""
        self._seeds = [self._seeds[k] for k in kept] + list(added)

    def epoch(self, numbers: np.ndarray) -> Iterator[Tensor]:
        """Indices of each step of an epoch, (K, B) int64.

        Args:
            numbers: (K,) of each member's epoch, counted from 1.
        """
        wanted = list(zip(self._seeds, numbers.tolist(), strict=True))
        orders = {each: torch.randperm(self.rows, generator=self._generator(*each)) for each in set(wanted)}
        yield from torch.stack([orders[each] for each in wanted]).to(self._device).split(self._sizes, dim=1)

    @staticmethod
    def _generator(seed: int, epoch: int) -> torch.Generator:
        # Mixed by numpy, so that (seed 0, epoch 1) and (seed 1, epoch 0) share nothing.
        mixed = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(mixed >> np.uint64(1)))


def fit(learner: Learner, order: BatchOrder, schedule: Schedule, members: Members) -> Iterator[Epoch]:
    """Trains until every member has stopped, and hands over each epoch as it ends.

    It is a generator: whoever iterates logs, saves the best weights, prunes by clearing ``members.active[k]``, or puts
    other members in the place of those that have stopped, while the learner stands still at the end of that epoch.
    """
    while members.active.any():
        started = perf_counter()
        members.epoch += 1
        for step, rows in enumerate(order.epoch(members.epoch)):
            lr = schedule.lr(members.epoch, step)
            learner.step(rows, lr)
            check()
        metrics = learner.finish_epoch(members.epoch)
        seconds = np.full(learner.size, perf_counter() - started)
        metrics |= learner.validate() | {"lr": lr}

        improved = members.observe(metrics)
        schedule.observe(members.epoch, metrics[members.monitor])
        timing = {"seconds": seconds, "samples_per_second": order.rows / seconds}
        yield Epoch(members.epoch.copy(), metrics | timing, improved)
