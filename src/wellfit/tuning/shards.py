"""A pack in several processes, one for each core, that train its members epoch by epoch in step.

Threads of torch share the work of each operation and wait for each other after it. An operation on small networks takes
as long as the waiting. Members need nothing of each other, so processes that share them out wait once an epoch. What a
member becomes does not depend on who trains it.

The processes are forks of this one, which has read the data and imported torch by then. With a GPU in the machine torch
does not let the fork of a process that has computed gradients compute some, too, as in a notebook after a training; all
members train here then.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from wellfit.errors import WellfitError
from wellfit.settings.params import Params
from wellfit.training.members import Epoch, Members
from wellfit.training.pack import can_pack
from wellfit.training.record import TIMING
from wellfit.training.runtime import be_deterministic
from wellfit.training.setup import Training, TrainingData, begin
from wellfit.tuning.size import Size, rate, steps_of

SIGNALS = (signal.SIGINT, signal.SIGTERM)

Weights = dict[str, Tensor]


class Shard:
    """Members that train together in one process, with the weights of the best epoch of each.

    Args:
        data: what they train on.
    """

    def __init__(self, data: TrainingData) -> None:
        self._data = data
        self._training: Training
        self._best: list[Weights | None] = []
        self._step: Callable[[], None]

    def begin(self, members: Sequence[Params], threads: int | None) -> None:
        """Begins to train configurations of one `wellfit.training.pack.pack_key`, in place of those of before.

        Args:
            members: K configurations.
            threads: of their pack; None: it is a single model, which has its own.
        """
        if threads is not None:
            torch.set_num_threads(threads)  # a single model before may have had others
        self._training = begin(members, self._data, packed=threads is not None)
        self._best = [None] * len(members)

    def change(self, kept: Sequence[int], added: Sequence[Params], threads: int | None) -> None:
        """Goes on with some of the members, in this order, and with new ones behind them."""
        if not kept:
            self.begin(added, threads)
            return
        self._training.change(kept, added)
        self._best = [self._best[k] for k in kept] + [None] * len(added)

    def epoch(self) -> Epoch:
        """Trains all of them for an epoch."""
        epoch = next(self._training.epochs)
        for k in np.flatnonzero(epoch.improved).tolist():
            self._best[k] = self._training.learner.weights(k)
        return epoch

    def weights(self, member: int) -> Weights | None:
        """Those of the best epoch of a member; None where there is none."""
        return self._best[member]

    def check(self) -> None:
        """Sees whether this process can train.

        Raises:
            RuntimeError: it cannot.
        """
        torch.ones((), requires_grad=True).backward()

    def prepare(self, params: Params, members: int) -> None:
        """Gets ready to be measured with a pack."""
        torch.set_num_threads(1)
        self._step = steps_of(params, self._data, members)

    def rate(self, members: int) -> float:
        """Steps of members a second, of the pack that was prepared."""
        return rate(self._step, members)


class Here:
    """The shard of this process, spoken to like the others."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._asked: tuple[str, tuple[Any, ...]] = "", ()

    def ask(self, what: str, *args: Any) -> None:
        """Says what is to be done, by the name of a method of the shard."""
        self._asked = what, args

    def answer(self) -> Any:
        """Does it, and returns what came of it."""
        what, args = self._asked
        return getattr(self._shard, what)(*args)

    def stop(self) -> None:
        """Does nothing: this process goes on."""


class There:
    """A shard in a process of its own.

    Args:
        shard: what it begins with.
    """

    def __init__(self, shard: Shard) -> None:
        context = multiprocessing.get_context("fork")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=[shard, other, self._connection], daemon=True)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until it has handlers of its own
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        other.close()

    def ask(self, what: str, *args: Any) -> None:
        """Says what is to be done, by the name of a method of the shard; it begins at once."""
        try:
            self._connection.send((what, args))
        except OSError:
            raise self._gone() from None

    def answer(self) -> Any:
        """Waits for what came of it.

        Raises:
            WellfitError: it raised one.
            ChildProcessError: it raised another error, or has ended.
        """
        try:
            answer = self._connection.recv()
        except (EOFError, OSError):
            raise self._gone() from None
        if isinstance(answer, Exception):
            raise answer
        return _as(torch.from_numpy, answer)

    def stop(self) -> None:
        """Ends the process."""
        self._process.terminate()  # it keeps nothing
        self._process.join()
        self._connection.close()

    def _gone(self) -> ChildProcessError:
        self._process.join()
        return ChildProcessError(f"a process that trained trials beside this one ended: {self._process.exitcode}")


def _serve(shard: Shard, connection: Connection, other: Connection) -> None:
    """What the process of a shard does, until the one that asks is gone."""
    other.close()  # else this process would keep the end open that is to tell it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal goes to all processes
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    with suppress(EOFError, OSError):
        while True:
            what, args = connection.recv()
            try:
                answer = _as(lambda tensor: tensor.numpy(force=True), getattr(shard, what)(*args))
            except WellfitError as error:
                answer = error
            except Exception as error:  # of any kind, and not all bear to be sent
                answer = ChildProcessError(f"in a process beside this one, {type(error).__name__}: {error}")
            connection.send(answer)


def _as(change: Callable[[Any], Any], answer: Any) -> Any:
    """Weights as tensors or as arrays: a tensor would be sent as a file that both processes have open."""
    return {name: change(value) for name, value in answer.items()} if isinstance(answer, dict) else answer


def all_of(shards: Sequence[Here | There], what: str, args: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Asks each and waits for all of the answers; this process does its part while the others do theirs.

    Args:
        shards: that of this process first, if it is among them.
        what: a method of :class:`Shard`.
        args: of each.
    """
    for shard, each in zip(shards, args, strict=True):
        shard.ask(what, *each)
    answers: list[Any] = []
    for shard in shards:
        try:
            answers.append(shard.answer())
        except (WellfitError, ChildProcessError) as error:  # once nobody has more to say
            answers.append(error)
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


class Shards:
    """The processes that share the members of packs, this one among them; a context manager that ends the others.

    Args:
        data: what they train on.
        count: of processes; there is this one only where it cannot be forked.
    """

    def __init__(self, data: TrainingData, count: int = 1) -> None:
        if count > 1:
            be_deterministic()  # it imports for two seconds, which each fork would do again
        others = [There(Shard(data)) for _ in range(count - 1)]
        try:
            all_of(others, "check", [()] * len(others))
        except ChildProcessError:
            for shard in others:
                shard.stop()
            others = []
        self._all: list[Here | There] = [Here(Shard(data)), *others]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for shard in self._all:
            shard.stop()

    def __len__(self) -> int:
        return len(self._all)

    def rate(self, params: Params, members: int) -> float:
        """Steps of members a second, of a pack that all share.

        Args:
            params: the configuration of a member.
            members: K.
        """
        shares = [len(share) for share in np.array_split(range(members), len(self)) if len(share)]
        busy = self._all[: len(shares)]
        all_of(busy, "prepare", [(params, share) for share in shares])
        return float(sum(all_of(busy, "rate", [(share,) for share in shares])))

    def begin(self, members: Sequence[Params], size: Size) -> "SharedTraining":
        """A training of configurations of one `wellfit.training.pack.pack_key`.

        Args:
            members: K configurations.
            size: how many processes share them, and the threads of each; a single model has its own.
        """
        return SharedTraining(members, size.threads, self._all[: size.processes])


class SharedTraining:
    """A training that begins when ``epochs`` is iterated: what :class:`wellfit.training.setup.Training` is, in parts.

    Args:
        members: K configurations.
        threads: of the pack of each process; a single model has its own.
        shards: which share the members.

    Attributes:
        members: what the loop remembers of all of them.
        epochs: of all of them, as they end. The metrics of a member that has stopped are NaN once nobody trains it.
    """

    def __init__(self, members: Sequence[Params], threads: int, shards: Sequence[Here | There]) -> None:
        self.members = Members([params.train for params in members])
        self.epochs: Iterator[Epoch] = self._fit()
        self._threads = threads if len(members) > 1 else None
        self._shards = shards
        self._parts = [part.tolist() for part in np.array_split(range(len(members)), len(shards))]
        self._each("begin", [([members[k] for k in part], self._threads) for part in self._parts])

    def weights(self, member: int) -> Weights | None:
        """Those of the best epoch of a member; None where there is none."""
        for shard, part in zip(self._shards, self._parts, strict=True):
            if member in part:
                shard.ask("weights", part.index(member))
                found: Weights | None = shard.answer()
        return found

    def change(self, kept: Sequence[int], added: Sequence[Params]) -> None:
        """Goes on with some of the members of a pack, between two epochs, and with new ones behind them.

        Args:
            kept: indices of those that stay, rising.
            added: the configuration of each new one, which goes to the process that has the fewest.
        """
        self.members.change(kept, [params.train for params in added])
        stay = [[i for i, k in enumerate(part) if k in kept] for part in self._parts]
        self._parts = [[kept.index(k) for k in part if k in kept] for part in self._parts]
        join: list[list[Params]] = [[] for _ in self._shards]
        for k, params in enumerate(added, start=len(kept)):
            fewest = min(range(len(self._parts)), key=lambda shard: len(self._parts[shard]))
            self._parts[fewest].append(k)
            join[fewest].append(params)
        self._each("change", [(old, new, self._threads) for old, new in zip(stay, join, strict=True)])

    def _fit(self) -> Iterator[Epoch]:
        while self.members.active.any():
            metrics: dict[str, np.ndarray] = {}
            for part, epoch in self._each("epoch", [() for _ in self._shards], self.members.active):
                for name, values in epoch.metrics.items():
                    metrics.setdefault(name, np.full(len(self.members.active), np.nan))[part] = values
            self.members.epoch += 1
            improved = self.members.observe({name: metrics[name] for name in metrics if name not in TIMING})
            yield Epoch(self.members.epoch.copy(), metrics, improved)

    def _each(
        self, what: str, args: Sequence[tuple[Any, ...]], wanted: np.ndarray | None = None
    ) -> list[tuple[list[int], Any]]:
        """Asks all processes that have members.

        Args:
            what: a method of :class:`Shard`.
            args: of each process.
            wanted: (K,) bool, of the members one of which a process must have; None: any.

        Returns:
            The members of each of them, and its answer.
        """
        busy = [
            (shard, each, part)
            for shard, each, part in zip(self._shards, args, self._parts, strict=True)
            if (part if wanted is None else wanted[part].any())
        ]
        answers = all_of([shard for shard, _, _ in busy], what, [each for _, each, _ in busy])
        return [(part, answer) for (_, _, part), answer in zip(busy, answers, strict=True)]


def processes_for(params: Params, data: TrainingData, members: int) -> int:
    """How many processes may share a pack: one for each core, each with two members at least.

    One, where this process cannot be forked, or where others work on the study with packs of their own.

    Args:
        params: the configuration.
        data: what it trains on.
        members: of the largest pack.
    """
    is_free = params.tune.processes == 1 and params.train.threads is None
    if not (is_free and can_pack(params) and sys.platform == "linux" and data.train.x.device.type == "cpu"):
        return 1
    return max(1, min(os.cpu_count() or 1, members // 2))
