"""How many trials train as one pack: as many as this network trains fastest with on this machine."""

import hashlib
import json
import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch

from wellfit.errors import WellfitError
from wellfit.files import project_root, read_json, write_json
from wellfit.params import Params
from wellfit.training.pack import can_pack, pack_key
from wellfit.training.setup import TrainingData, begin, begin_pack
from wellfit.tuning.config import TuneConfig

DOUBLED = (4, 8, 16, 32, 64, 128)  # members of the packs that are measured
PAYS_FROM = 1.05  # times as fast: below, a larger pack is not worth it
THREADS_PAY_FROM = 1.25  # the same for more threads, which have less to give once another process wants the cores, too
SECONDS = 0.08  # of steps of each candidate, after a first one that does not count


class Size(NamedTuple):
    """What was found to be fastest.

    Attributes:
        members: K of a pack; 1: they train one by one.
        threads: CPU threads of a pack; a single model has those of ``train.threads``.
        rate: steps of members a second; 0: not measured.
    """

    members: int
    threads: int
    rate: float

    def describe(self, what: str = "trials") -> str:
        """In words, of trials or of other trainings."""
        if self.members == 1:
            return f"{what} one by one"
        return f"up to {self.members} {what} as one pack, with {self.threads} CPU thread{'s' * (self.threads > 1)}"


def sizes_up_to(limit: int) -> list[int]:
    """The sizes that are worth measuring, a single model among them."""
    return [1, *(members for members in DOUBLED if members <= limit)]


def sizes_of_study(tune: TuneConfig) -> list[int]:
    """What may be packs of a study: no more than half of the trials, so that the sampler learns from the others."""
    return sizes_up_to(tune.n_trials // 2 // tune.processes) if tune.pack == "auto" else [tune.pack]


def choose_size(params: Params, data: TrainingData, sizes: Sequence[int]) -> Size:
    """Measures steps of this network, one model and packs, with one thread and with all.

    What was measured is remembered below ``.wellfit`` for this network on this machine: the size decides which trials
    know of which, and a study that is repeated is to come out the same.

    Args:
        params: the configuration of a member.
        data: what it trains on.
        sizes: K, rising; of a single size only the threads are measured.
    """
    thread_counts = _thread_counts(params, data)
    sizes = list(sizes) if can_pack(params) else [1]
    if sizes == [1] or len(sizes) == len(thread_counts) == 1:
        return Size(sizes[0], thread_counts[0], 0.0)
    memory, key = project_root() / ".wellfit" / "packs.json", _key(params, data, sizes, thread_counts)
    known = _remembered(memory)
    if key not in known:
        known[key] = fastest(lambda members: _step(params, data, members), sizes, thread_counts)
        write_json(memory, known)
    return known[key]


def fastest(step: Callable[[int], Callable[[], None]], sizes: Sequence[int], thread_counts: Sequence[int]) -> Size:
    """Tries one size after the other, for each number of threads, as long as the larger pack pays.

    Args:
        step: makes a function that takes a step of so many members; of one it is that of a single model, with its own
            threads.
        sizes: K, rising.
        thread_counts: for packs, rising.
    """
    before, best = torch.get_num_threads(), Size(sizes[0], thread_counts[0], 0.0)
    for threads in thread_counts:
        previous = 0.0
        for members in sizes:
            if members == 1 and best.rate:
                continue
            torch.set_num_threads(threads)
            rate = _rate(step(members), members)
            if rate > (PAYS_FROM if threads == best.threads else THREADS_PAY_FROM) * best.rate:
                best = Size(members, threads, rate)
            if members > 1 and rate < PAYS_FROM * previous:
                break
            previous = rate if members > 1 else 0.0
    torch.set_num_threads(before)
    return best


def _remembered(memory: Path) -> dict[str, Size]:
    """What was measured before; nothing of a file that is not as it was written."""
    try:
        found = read_json(memory).items()
        return {key: Size(int(members), int(threads), float(rate)) for key, (members, threads, rate) in found}
    except (OSError, WellfitError, AttributeError, TypeError, ValueError):
        return {}


def _rate(step: Callable[[], None], members: int) -> float:
    """Steps of members a second, of the fastest step: what else the machine does makes others slower."""

    def finished() -> None:
        step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # else only its launch is timed

    finished()
    times: list[float] = []
    while len(times) < 3 or sum(times) < SECONDS:
        started = perf_counter()
        finished()
        times.append(perf_counter() - started)
    return members / min(times)


def _step(params: Params, data: TrainingData, members: int) -> Callable[[], None]:
    training = begin(params, data) if members == 1 else begin_pack([params] * members, data)
    rows = next(training.order.epoch(np.ones(members, int)))
    lr = np.full(members, params.optim.lr)

    def step() -> None:
        training.learner.step(rows, lr)

    return step


def _thread_counts(params: Params, data: TrainingData) -> list[int]:
    """To try for packs."""
    if params.train.threads is not None or data.train.x.device.type != "cpu":
        return [params.train.threads or torch.get_num_threads()]
    return sorted({1, os.cpu_count() or 1} if params.tune.processes == 1 else {1})


def _key(params: Params, data: TrainingData, sizes: Sequence[int], thread_counts: Sequence[int]) -> str:
    what = [pack_key(params), str(data.train.x.device), thread_counts, sizes, len(data.train.y)]
    machine = [torch.__version__, platform.processor() or platform.machine(), os.cpu_count()]
    return hashlib.sha256(json.dumps([*what, *machine]).encode()).hexdigest()[:16]
