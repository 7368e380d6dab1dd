"""Training on all cores: processes that share the members of a training and train them epoch by epoch, in step.

Threads of torch share each operation and wait for each other after it. An operation on a small network takes as long as
the wait. Members do not need each other, so processes that share them wait once an epoch. What a member becomes does
not depend on the process that trains it, and depends on how many members that process has by rounding alone: a product
of 5 matrices may round otherwise than one of 10.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np

from wellfit.errors import WellfitError
from wellfit.interruptions import check
from wellfit.settings.params import Params
from wellfit.training.members import Epoch, Members
from wellfit.training.record import TIMING
from wellfit.training.runtime import be_deterministic
from wellfit.training.setup import TrainingData
from wellfit.training.shards import SCORED, LocalShard, RemoteShard, Weights
from wellfit.training.size import Size
from wellfit.training.tensors import Tensors


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

    def begin(
        self, members: Sequence[Params], size: Size, *, packed: bool, state: Mapping[str, Any] | None = None
    ) -> "SharedTraining":
        """Begins a training whose members the processes share, or goes on with one.

        Args:
            members: K configurations: of one `wellfit.training.pack.pack_key` where they are packed, and no more than
                there are processes where they are not.
            size: how many processes share them, and the threads of each.
            packed: whether those of a process train as a pack.
            state: what `SharedTraining.state_dict` said of a training of the same members; None: it begins.

        Raises:
            WellfitError: what is set does not fit the data.
        """
        return SharedTraining(self, members, size, packed=packed, state=state)

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
    """What :class:`wellfit.training.setup.Training` is, in shares; it begins, or goes on, when ``epochs`` is iterated.

    Args:
        cores: the processes.
        members: K configurations.
        size: how many processes share them, and the threads of each.
        packed: whether those of a process train as a pack.
        state: of a training that goes on.

    Attributes:
        members: what the loop remembers of all of them.
        epochs: of all of them, as they end. The metrics of a member that has stopped are NaN once nobody trains it.
    """

    def __init__(
        self,
        cores: Cores,
        members: Sequence[Params],
        size: Size,
        *,
        packed: bool,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        self.members = Members([params.train for params in members])
        self.epochs: Iterator[Epoch] = self._fit()
        self._cores = cores
        evenly = np.array_split(range(len(members)), size.processes)
        self._shares: list[list[int]] = state["shares"] if state else [share.tolist() for share in evenly]
        threads = size.threads if packed or size.processes > 1 else None
        shares = ([members[k] for k in share] for share in self._shares)
        cores.call("begin", {number: (share, packed, threads) for number, share in enumerate(shares) if share})
        if state:
            self.members.load_state_dict(state["members"])
            cores.call("load_state_dict", {number: (state["shards"][number],) for number in self._taken})

    @property
    def _taken(self) -> list[int]:
        """Numbers of the shards that have members."""
        return [number for number, share in enumerate(self._shares) if share]

    @property
    def busy(self) -> list[int]:
        """Numbers of the shards that have members which train."""
        return [number for number, share in enumerate(self._shares) if self.members.active[share].any()]

    def weights(self, member: int) -> Weights | None:
        """Those of the best epoch of a member, None where there is none; or those it has now, as ``cores`` keeps."""
        number = next(number for number, share in enumerate(self._shares) if member in share)
        found: Weights | None = self._cores.call("weights", {number: (self._shares[number].index(member),)})[number]
        return found

    def state_dict(self) -> dict[str, Any]:
        """What decides how it goes on, between two epochs: tensors, and what JSON can hold."""
        of_shards = self._cores.call("state_dict", dict.fromkeys(self._taken, ()))
        shards = [of_shards.get(number) for number in range(len(self._shares))]
        return {"shares": self._shares, "members": self.members.state_dict(), "shards": shards}

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
            check()
            metrics: dict[str, np.ndarray] = {}
            for number, epoch in self._cores.call("epoch", dict.fromkeys(self.busy, ())).items():
                for name, values in epoch.metrics.items():
                    metrics.setdefault(name, np.full(len(self.members.active), np.nan))[self._shares[number]] = values
            self.members.epoch += 1
            trained = {k: v for k, v in metrics.items() if k not in TIMING and not k.startswith(SCORED)}
            yield Epoch(self.members.epoch.copy(), metrics, self.members.observe(trained))
