"""What a process trains of a training that several share, in this process and in others.

The other processes are forks of this one: they share its data in memory, and have torch imported. A process pool does
not serve, because the networks stay in the process that trains them.
"""

import multiprocessing
import signal
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from wellfit.errors import WellfitError
from wellfit.interruptions import check, end_with_parent
from wellfit.settings.params import Params
from wellfit.training.members import Epoch
from wellfit.training.setup import Training, TrainingData, begin
from wellfit.training.size import steps_per_second
from wellfit.training.tensors import Tensors

SCORED = "scored/"  # before the names of scores of the rows that a shard scores after each epoch
POLL_SECONDS = 0.5  # between two looks for an interruption
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

    def state_dict(self) -> dict[str, Any]:
        """What decides how the members go on, between two epochs, and the weights of their best epochs."""
        return {"training": self._training.state_dict(), "best": self._best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from what :meth:`state_dict` said of the same members; between :meth:`begin` and the first epoch."""
        self._training.load_state_dict(state["training"])
        self._best = state["best"]

    def rate(self) -> float:
        """Steps of members a second of the training that has begun, which is spoilt by it."""
        return steps_per_second(self._training)


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
            self._connection.send((method, tuple(map(_as_arrays, args))))
        except OSError:
            raise self._ended() from None

    def receive(self) -> Any:
        """Waits for what the method returns.

        Raises:
            WellfitError: the method raised one.
            ChildProcessError: it raised another error, or the process has ended.
        """
        try:
            while not self._connection.poll(POLL_SECONDS):
                check()
            answer = self._connection.recv()
        except (EOFError, OSError):
            raise self._ended() from None
        if isinstance(answer, Exception):
            raise answer
        return _as_tensors(answer)

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
    end_with_parent()  # which else is noticed after the epoch
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    torch.set_num_threads(1)  # the threads of the process before are not those of its fork
    with suppress(EOFError, OSError):
        while True:
            method, args = connection.recv()
            try:
                answer = _as_arrays(getattr(shard, method)(*map(_as_tensors, args)))
            except WellfitError as error:
                answer = error
            except Exception as error:  # of any kind, and not all can be sent
                answer = ChildProcessError(f"in a process beside this one, {type(error).__name__}: {error}")
            connection.send(answer)


def _as_arrays(sent: Any) -> Any:
    """A tree with arrays in place of tensors, which would be sent as files that both processes have open."""
    return tree_map_only(Tensor, lambda tensor: tensor.numpy(force=True), sent) if isinstance(sent, dict) else sent


def _as_tensors(received: Any) -> Any:
    """The reverse of :func:`_as_arrays`."""
    return tree_map_only(np.ndarray, torch.from_numpy, received) if isinstance(received, dict) else received
