"""One model on several devices, in the processes of torchrun.

Each process takes its share of the rows of each batch. The losses of a share are weighted as parts of the batch, so the
sum of all gradients is that of one process with the whole batch. All gradients of a network are one tensor
(`wellfit.training.flat`), so one ``all_reduce`` a step adds them up, and there is no need for the buckets of torch's
``DistributedDataParallel``. From equal sums all processes take the same step.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.rendezvous import rendezvous

from wellfit.data.meta import Meta
from wellfit.errors import WellfitError
from wellfit.settings.params import PARAMS_FILE, Params
from wellfit.torchrun import place
from wellfit.training.runtime import choose_device

if TYPE_CHECKING:
    from wellfit.training.setup import Training

BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}
RESTARTS = "TORCHELASTIC_RESTART_COUNT"


class Ranks(NamedTuple):
    """The processes that train a model together.

    Attributes:
        rank: of this one; 0 writes and speaks, the others follow it.
        size: how many there are.

    All methods that communicate must be called by all processes in the same order. They raise a WellfitError where one
    of the others has ended.
    """

    rank: int
    size: int

    def share(self, rows: Tensor) -> Tensor:
        """The rows of a batch or a split that are this process's: no process has more than one above another."""
        return rows[self.rank :: self.size]

    def rows_of(self, rows: int) -> int:
        """How many rows of so many its share has."""
        return len(range(self.rank, rows, self.size))

    def spread(self, part: Tensor, rows: int) -> Tensor:
        """What this process has of its share, (n, C), in its places among so many rows, (rows, C); else zeros."""
        whole = part.new_zeros(rows, *part.shape[1:])
        whole[self.rank :: self.size] = part
        return whole

    def sum(self, tensor: Tensor) -> Tensor:
        """The tensor, to which those of the other processes are added in place: the same bytes in all of them."""
        with _together():
            dist.all_reduce(tensor)
        return tensor

    def broadcast(self, tensor: Tensor) -> None:
        """Puts the numbers that the tensor has in rank 0 in place."""
        with _together():
            dist.broadcast(tensor, 0)

    def broadcast_object(self, value: Any) -> Any:
        """What rank 0 gave."""
        values = [value]
        with _together():
            dist.broadcast_object_list(values)
        return values[0]

    def gather(self, value: Any) -> list[Any]:
        """What all gave, by rank."""
        values: list[Any] = [None] * self.size
        with _together():
            dist.all_gather_object(values, value)
        return values

    def own(self, params: Params) -> Params:
        """The configuration with a seed of this process's own, so that it drops other units than the others do."""
        if self.rank == 0:
            return params
        seed = np.random.SeedSequence([params.train.seed, self.rank]).generate_state(1)[0]
        return params.replace({"train.seed": int(seed)})

    def check_same(self, work: str) -> None:
        """Sees whether all processes do the same.

        Args:
            work: a digest of settings, data and code.

        Raises:
            WellfitError: they do not.
        """
        for rank, other in enumerate(self.gather(work)):
            if other != work:
                raise WellfitError(
                    f"rank {rank} has other settings, data, code or devices than rank {self.rank}: make them the same "
                    "on all machines"
                )

    def leave(self) -> None:
        """Ends the work together."""
        dist.destroy_process_group()


def join(params: Params) -> Ranks | None:
    """Joins the other processes of torchrun; None where there are none.

    Args:
        params: the configuration.

    Raises:
        WellfitError: something that several processes cannot do, or torchrun's variables are incomplete.
    """
    here = place()
    if here.size == 1:
        return None
    if params.train.compile:
        raise WellfitError(f"train.compile must be false with torchrun, got true ({PARAMS_FILE})")
    device = choose_device(params.train.device)
    if device.type not in BACKENDS:
        raise WellfitError(f"torchrun is for train.device cpu and cuda, got {device.type} ({PARAMS_FILE})")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with _together():
        store, *_ = next(rendezvous("env://"))
        # torchrun restarts processes on the same store, where the addresses of those before still stand.
        prefix = f"{here.size} processes, {os.environ.get(RESTARTS, 0)} restarts"
        own = dist.PrefixStore(prefix, store)  # type: ignore[attr-defined]  # it is documented there
        dist.init_process_group(BACKENDS[device.type], store=own, rank=here.rank, world_size=here.size)
    return Ranks(here.rank, here.size)


def as_one(params: Params, meta: Meta, ranks: Ranks | None) -> Params:
    """The configuration of one process that does what all do: its batches have the rows of all of theirs.

    Args:
        params: the configuration of each process.
        meta: what is known of the data.
        ranks: the processes; None: there is one.
    """
    if ranks is None:
        return params
    source = f"{PARAMS_FILE}, times {ranks.size} processes"
    return params.replace({"train.batch_size": params.train.rows_per_batch(meta) * ranks.size}, source)


def follow(training: "Training", ranks: Ranks) -> None:
    """Trains as rank 0 does, and leaves all else to it.

    Signals reach all processes; this one ignores them, so that rank 0 can end the epoch, and ends with rank 0.

    Args:
        training: that has begun.
        ranks: the processes.
    """
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)
    if state := ranks.broadcast_object(None):
        training.load_state_dict(state)
    for _ in training.epochs:
        pass
    ranks.leave()


@contextmanager
def _together() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # of gloo and nccl, whose words are about sockets
        raise WellfitError("another process of this training has ended: what it said is the cause") from error
