"""Training on all cores: processes that share the members of a training and train them epoch by epoch, in step.

Threads of torch share each operation and wait for each other after it. An operation on a small network takes as long as
the wait. Members do not need each other, so processes that share them wait once an epoch. What a member becomes does
not depend on the process that trains it, and depends on how many members that process has by rounding alone: a product
of 5 matrices may round otherwise than one of 10.

The processes are forks of this one: they share its data in memory, and have torch imported. A process pool does not
serve, because the networks stay in the process that trains them.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from time import perf_counter
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from wellfit.errors import WellfitError
from wellfit.settings.params import Params
from wellfit.training.members import Epoch, Members
from wellfit.training.record import TIMING
from wellfit.training.runtime import be_deterministic
from wellfit.training.setup import Training, TrainingData, begin
from wellfit.training.size import Size
from wellfit.training.tensors import Tensors

SCORED = "scored/"  # before the names of scores of the rows that a shard scores after each epoch
SECONDS = 0.08  # of steps that are measured, after a first one that does not count
LONG = 1.0  # seconds of a step that is measured once
SIGNALS = (signal.SIGINT, signal.SIGTERM)

Weights = dict[str, Tensor]


class LocalShard:
    """Members that train in this process: a pack, or one network that is not packed.

    Args:
        data: what they train on.
        scored: rows that are scored after each epoch as the networks predict them; None: none.
        keeps_best: whether to keep the weights of the best epoch of each member.
    """

    def __init__(self, data: TrainingData, scored: Tensors | None = None, *, keeps_best: bool = True) -> None:
        self._data, self._scored, self._keeps_best = data, scored, keeps_best
        self._ranked = len(data.meta.class_names) <= 2  # to rank rows of many classes would take a tenth of an epoch
        self._training: Training
        self._best: list[Weights | None] = []

    def begin(self, members: Sequence[Params], packed: bool, threads: int | None) -> None:
        """Begins a training, in place of the one before.

        Args:
            members: K configurations, of one `wellfit.training.pack.pack_key`; one where it is not packed.
            packed: whether they train as a pack.
            threads: of torch; None: of a network that is not packed, as its settings and its work decide.
        """
        self._packed, self._threads = packed, threads
        if packed:
            torch.set_num_threads(threads or 1)  # a network before may have had others
        self._training = begin(members, self._data, packed=packed)
        if threads and not packed:
            torch.set_num_threads(threads)
        self._best = [None] * len(members)

    def change(self, kept: Sequence[int], added: Sequence[Params]) -> None:
        """Goes on with some of the members, in this order, and with new ones behind them."""
        if not kept:
            self.begin(added, self._packed, self._threads)
        elif added or len(kept) < len(self._best):
            self._training.change(kept, added)
            self._best = [self._best[k] for k in kept] + [None] * len(added)

    def epoch(self) -> Epoch:
        """Trains all members for an epoch. The seconds of a member are its share of those of the pack."""
        epoch = next(self._training.epochs)
        learner = self._training.learner
        if self._keeps_best:
            for k in np.flatnonzero(epoch.improved):
                self._best[k] = learner.weights(int(k))
        metrics = epoch.metrics | {"seconds": epoch.metrics["seconds"] / learner.size}
        if self._scored is not None:
            scores = learner.score(self._scored, ranked=self._ranked)
            metrics |= {SCORED + name: values for name, values in scores.items()}
        return epoch._replace(metrics=metrics)

    def weights(self, member: int) -> Weights | None:
        """Those of the best epoch of a member, None where there is none; or those it has now."""
        found: Weights | None = self._best[member] if self._keeps_best else self._training.learner.weights(member)
        return found

    def rate(self) -> float:
        """Steps of members a second of the training that has begun, which is spoilt by it."""
        learner, size = self._training.learner, self._training.learner.size
        rows = next(self._training.order.epoch(np.ones(size, int)))
        lr = np.full(size, 1e-6)

        def step() -> None:
            learner.step(rows, lr)
            if torch.cuda.is_available():
                torch.cuda.synchronize()  # else only its launch is timed

        return float(size / fastest_seconds(step))


def fastest_seconds(step: Callable[[], None]) -> float:
    """Seconds of the fastest of some calls: the others are slower by what else the machine does."""
    step()
    times: list[float] = []
    while not times or sum(times) < SECONDS or (len(times) < 3 and sum(times) < LONG):
        started = perf_counter()
        step()
        times.append(perf_counter() - started)
    return min(times)


class RemoteShard:
    """A shard in a process of its own.

    Args:
        shard: what the process begins with.
    """

    def __init__(self, shard: LocalShard) -> None:
        context = multiprocessing.get_context("fork")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=[shard, other, self._connection], daemon=True)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until it has handlers of its own
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        other.close()

    def send(self, method: str, args: tuple[Any, ...]) -> None:
        """Calls a method of the shard; the process begins at once."""
        try:
            self._connection.send((method, args))
        except OSError:
            raise self._ended() from None

    def receive(self) -> Any:
        """Waits for what the method returns.

        Raises:
            WellfitError: the method raised one.
            ChildProcessError: it raised another error, or the process has ended.
        """
        try:
            answer = self._connection.recv()
        except (EOFError, OSError):
            raise self._ended() from None
        if isinstance(answer, Exception):
            raise answer
        return _converted(torch.from_numpy, answer)

    def stop(self) -> None:
        """Ends the process."""
        self._process.terminate()  # it keeps nothing
        self._process.join()
        self._connection.close()

    def _ended(self) -> ChildProcessError:
        self._process.join()
        return ChildProcessError(f"a process that trained beside this one ended: {self._process.exitcode}")


def _serve(shard: LocalShard, connection: Connection, other: Connection) -> None:
    """Runs in the process of a remote shard, until the process that calls is gone."""
    other.close()  # else this process would hold the end open that is to tell it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal goes to all processes
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    torch.set_num_threads(1)  # the threads of the process before are not those of its fork
    with suppress(EOFError, OSError):
        while True:
            method, args = connection.recv()
            try:
                answer = _converted(lambda tensor: tensor.numpy(force=True), getattr(shard, method)(*args))
            except WellfitError as error:
                answer = error
            except Exception as error:  # of any kind, and not all can be sent
                answer = ChildProcessError(f"in a process beside this one, {type(error).__name__}: {error}")
            connection.send(answer)


def _converted(convert: Callable[[Any], Any], answer: Any) -> Any:
    """Weights as tensors or as arrays: a tensor would be sent as a file that both processes have open."""
    return {name: convert(value) for name, value in answer.items()} if isinstance(answer, dict) else answer


class Cores:
    """Processes that share the members of trainings, this one among them; a context manager that ends the others.

    Args:
        data: what the members train on.
        processes: how many, as :func:`processes_for` says.
        scored: rows that are scored after each epoch as the networks predict them, as metrics ``scored/...``.
        keeps_best: whether the weights of the best epoch of each member are kept, or those of the last are wanted.

    Example::

        with Cores(data, 2) as cores:
            training = cores.begin(members, size, packed=True)
            for epoch in training.epochs:
                ...
    """

    def __init__(
        self, data: TrainingData, processes: int = 1, *, scored: Tensors | None = None, keeps_best: bool = True
    ) -> None:
        if processes > 1:
            be_deterministic()  # it imports for two seconds, which each fork would do again
        self._local = LocalShard(data, scored, keeps_best=keeps_best)
        self._remote = [RemoteShard(self._local) for _ in range(processes - 1)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for shard in self._remote:
            shard.stop()

    def __len__(self) -> int:
        return 1 + len(self._remote)

    def begin(self, members: Sequence[Params], size: Size, *, packed: bool) -> "SharedTraining":
        """Begins a training whose members the processes share.

        Args:
            members: K configurations: of one `wellfit.training.pack.pack_key` where they are packed, and no more than
                there are processes where they are not.
            size: how many processes share them, and the threads of each.
            packed: whether those of a process train as a pack.

        Raises:
            WellfitError: what is set does not fit the data.
        """
        return SharedTraining(self, members, size, packed=packed)

    def rate(self, params: Params, members: int, size: Size, *, packed: bool) -> float:
        """Steps of members a second.

        Args:
            params: the configuration of each member.
            members: K.
            size: how many processes share them, and the threads of each.
            packed: whether those of a process train as a pack.
        """
        training = self.begin([params] * members, size, packed=packed)
        return float(sum(self.call("rate", dict.fromkeys(training.busy, ())).values()))

    def call(self, method: str, arguments: Mapping[int, tuple[Any, ...]]) -> dict[int, Any]:
        """Calls a method of some shards at once, and waits for all of them.

        Args:
            method: of :class:`LocalShard`.
            arguments: number of a shard, 0 for that of this process, to the arguments.

        Returns:
            Number of a shard to what its method returned.

        Raises:
            WellfitError: a method raised one.
            ChildProcessError: a method of another process raised another error, or the process has ended.
        """
        failures: list[Exception] = []
        for number, args in arguments.items():
            if number:
                self._remote[number - 1].send(method, args)
        answers = {}
        for number, args in arguments.items():
            try:
                remote = self._remote[number - 1] if number else None
                answers[number] = remote.receive() if remote else getattr(self._local, method)(*args)
            except (WellfitError, ChildProcessError) as error:  # raised once no answer is left in a pipe
                failures.append(error)
        if failures:
            raise failures[0]
        return answers


class SharedTraining:
    """A training that begins when ``epochs`` is iterated: what :class:`wellfit.training.setup.Training` is, in shares.

    Args:
        cores: the processes.
        members: K configurations.
        size: how many processes share them, and the threads of each.
        packed: whether those of a process train as a pack.

    Attributes:
        members: what the loop remembers of all of them.
        epochs: of all of them, as they end. The metrics of a member that has stopped are NaN once nobody trains it.
    """

    def __init__(self, cores: Cores, members: Sequence[Params], size: Size, *, packed: bool) -> None:
        self.members = Members([params.train for params in members])
        self.epochs: Iterator[Epoch] = self._fit()
        self._cores = cores
        self._shares = [share.tolist() for share in np.array_split(range(len(members)), size.processes)]
        threads = size.threads if packed or size.processes > 1 else None
        shares = ([members[k] for k in share] for share in self._shares)
        cores.call("begin", {number: (share, packed, threads) for number, share in enumerate(shares) if share})

    @property
    def busy(self) -> list[int]:
        """Numbers of the shards that have members which train."""
        return [number for number, share in enumerate(self._shares) if self.members.active[share].any()]

    def weights(self, member: int) -> Weights | None:
        """Those of the best epoch of a member, None where there is none; or those it has now, as ``cores`` keeps."""
        number = next(number for number, share in enumerate(self._shares) if member in share)
        found: Weights | None = self._cores.call("weights", {number: (self._shares[number].index(member),)})[number]
        return found

    def change(self, kept: Sequence[int], added: Sequence[Params]) -> None:
        """Goes on with some of the members, between two epochs, and with new ones behind them.

        Args:
            kept: indices of those that stay, rising.
            added: the configuration of each new one, which goes to the process that has the fewest.
        """
        self.members.change(kept, [params.train for params in added])
        stay = [[slot for slot, k in enumerate(share) if k in kept] for share in self._shares]
        join: list[list[Params]] = [[] for _ in self._shares]
        self._shares = [[kept.index(k) for k in share if k in kept] for share in self._shares]
        for k, params in enumerate(added, start=len(kept)):
            fewest = min(range(len(self._shares)), key=lambda number: len(self._shares[number]))
            self._shares[fewest].append(k)
            join[fewest].append(params)
        changed = {number: (stay[number], join[number]) for number, share in enumerate(self._shares) if share}
        self._cores.call("change", changed)

    def _fit(self) -> Iterator[Epoch]:
        while self.members.active.any():
            metrics: dict[str, np.ndarray] = {}
            for number, epoch in self._cores.call("epoch", dict.fromkeys(self.busy, ())).items():
                for name, values in epoch.metrics.items():
                    metrics.setdefault(name, np.full(len(self.members.active), np.nan))[self._shares[number]] = values
            self.members.epoch += 1
            trained = {k: v for k, v in metrics.items() if k not in TIMING and not k.startswith(SCORED)}
            yield Epoch(self.members.epoch.copy(), metrics, self.members.observe(trained))


def check_can_train(params: Params, data: TrainingData) -> None:
    """Builds the network and sees whether it fits the data; torch's random numbers and threads stay as they are.

    Raises:
        WellfitError: it does not.
    """
    threads = torch.get_num_threads()
    try:
        with torch.random.fork_rng(devices=[]):
            begin([params], data, packed=False)
    finally:
        torch.set_num_threads(threads)


def processes_for(params: Params, data: TrainingData, members: int) -> int:
    """How many processes may share the members of trainings: one a core.

    One where the threads are set, where a compiler is at work, and where this process cannot be forked: with a GPU in
    the machine, torch does not let the fork of a process that has computed gradients compute some.

    Args:
        params: the configuration.
        data: what it trains on.
        members: so many processes at most.
    """
    may_fork = sys.platform == "linux" and data.train.x.device.type == "cpu" and not torch.cuda.is_available()
    if not may_fork or params.train.threads is not None or params.train.compile:
        return 1
    return max(1, min(os.cpu_count() or 1, members))
