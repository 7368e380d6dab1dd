"""The training loop, for one network or a pack of them."""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from wellfit.interruptions import check, preferably_whole
from wellfit.training.members import Epoch, Members
from wellfit.training.schedule import Schedule

if TYPE_CHECKING:
    from wellfit.training.folds import Folds
    from wellfit.training.learner import Learner
    from wellfit.training.stream import Stream

WHOLE_SECONDS = 1.0  # that an interruption waits for the end of an epoch, at which a snapshot is written


def fit(learner: "Learner", order: "BatchOrder", schedule: Schedule, members: Members) -> Iterator[Epoch]:
    """Trains until every member has stopped, and yields each epoch as it ends.

    Between two epochs the learner stands still. Whoever iterates may log, save the weights of members that improved,
    stop a member by ``members.active[k] = False``, or put new members in the place of those that have stopped.
    """
    while members.active.any():
        check()
        started = perf_counter()
        members.epoch += 1
        with preferably_whole(WHOLE_SECONDS):
            lrs = schedule.epoch(members.epoch)  # (steps, K)
            learner.begin_epoch(order.sizes, lrs)
            for rows, lr in zip(order.epoch(members.epoch), lrs, strict=True):
                learner.step(rows, lr)
                check()
            metrics = learner.finish_epoch(members.epoch)
            seconds = np.full(learner.size, perf_counter() - started)
            metrics |= learner.validate() | {"lr": lrs[-1]}

        improved = members.observe(metrics)
        schedule.observe(members.epoch, metrics[members.monitor])
        timing = {"seconds": seconds, "samples_per_second": order.rows / seconds}
        yield Epoch(members.epoch.copy(), metrics | timing, improved)


def batch_sizes(rows: int, batch_size: int) -> list[int]:
    """Sizes of the batches that rows are cut into; the last one holds what is left."""
    full, rest = divmod(rows, batch_size)
    if rest == 1 and full:  # batch norm cannot learn from one row: it joins the batch before
        return [batch_size] * (full - 1) + [batch_size + 1]
    return [batch_size] * full + [rest] * (rest > 0)


class BatchOrder:
    """The order in which each member sees the training rows: a new permutation for every epoch.

    It depends only on the member's seed, its fold and the epoch, so a member of a pack sees the rows in the order in
    which it would see them alone.

    An epoch has as many rows in each fold, those of fold 0, so that members of all folds take the same steps. A fold
    with a row more leaves one out, another one in each epoch. A fold with fewer begins anew. So it is in each window of
    rows that stay on disk.

    Args:
        rows: of an epoch: number of training rows, of fold 0 where there are folds.
        batch_size: rows of a step; the last step of an epoch has what is left.
        seeds: one for each member.
        device: where the indices are needed.
        folds: of a cross-validation; None: all members see all rows.
        fold: of each member, where there are folds.
        stream: of rows that stay on disk, whose windows follow each other; None: all rows are in memory.

    Attributes:
        sizes: rows of each step of an epoch.
        steps: how many there are.
    """

    def __init__(
        self,
        rows: int,
        batch_size: int,
        seeds: Sequence[int],
        device: torch.device,
        folds: "Folds | None" = None,
        fold: Sequence[int] = (),
        *,
        stream: "Stream | None" = None,
    ) -> None:
        self.rows, self._seeds, self._device = rows, list(seeds), device
        self._folds, self._fold = folds, list(fold) or [0] * len(seeds)
        self._stream = stream
        self._windows = stream.windows if stream else [torch.arange(len(folds.fold) if folds else rows)]
        self.sizes = batch_sizes(rows, batch_size)
        self.steps = len(self.sizes)

    def change(self, kept: Sequence[int], added: Sequence[int], fold: Sequence[int] = ()) -> None:
        """Goes on with some of the members, in this order, and with the seeds and folds of new ones behind them."""
        self._seeds = [self._seeds[k] for k in kept] + list(added)
        self._fold = [self._fold[k] for k in kept] + (list(fold) or [0] * len(added))

    def epoch(self, numbers: np.ndarray) -> Iterator[Tensor]:
        """Indices of each step of an epoch, (K, B) int64.

        Args:
            numbers: (K,) of each member's epoch, counted from 1.
        """
        wanted = list(zip(self._seeds, self._fold, numbers.tolist(), strict=True))
        orders = {each: self._order(*each) for each in set(wanted)}
        rest = torch.empty(len(wanted), 0, dtype=torch.int64, device=self._device)
        sizes = list(self.sizes)
        for window in range(len(self._windows)):
            if self._stream:
                self._stream.enter(window)
            parts = {each: next(order) for each, order in orders.items()}
            rows = torch.stack([parts[each] for each in wanted]).to(self._device)
            rest = torch.cat([rest, rows], dim=1) if rest.numel() else rows
            complete = [size for size, end in zip(sizes, accumulate(sizes), strict=True) if end <= rest.shape[1]]
            *batches, rest = rest.split([*complete, rest.shape[1] - sum(complete)], dim=1)
            del sizes[: len(complete)]
            yield from batches

    def _order(self, seed: int, fold: int, epoch: int) -> Iterator[Tensor]:
        """The rows of each window; of rows that are in memory there is one."""
        generator = self._generator(seed, epoch)
        trains = [self._folds.trains(each).cpu() for each in (fold, 0)] if self._folds else None
        for window in self._windows:
            own = of_fold_0 = window
            if trains:
                own, of_fold_0 = (window[each[window]] for each in trains)
                if not len(own):  # of a fold that is older than the others, and has few rows
                    own = trains[0].nonzero().flatten()
            passes = max(1, -(-len(of_fold_0) // len(own)))
            shuffled = torch.cat([own[torch.randperm(len(own), generator=generator)] for _ in range(passes)])
            yield shuffled[: len(of_fold_0)]

    @staticmethod
    def _generator(seed: int, epoch: int) -> torch.Generator:
        # Mixed by numpy, so that (seed 0, epoch 1) and (seed 1, epoch 0) share nothing.
        mixed = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(mixed >> np.uint64(1)))
