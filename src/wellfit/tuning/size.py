"""How many trials train as one pack: as many as this network trains fastest with on this machine."""

import hashlib
import json
import os
import platform
from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch

from wellfit.files import project_root, write_json
from wellfit.params import Params
from wellfit.training.pack import can_pack, pack_key
from wellfit.training.setup import TrainingData, begin, begin_pack

LARGEST = 128
PAYS_FROM = 1.05  # times as fast: below, a larger pack or more threads are not worth it
SECONDS = 0.15  # of steps of each candidate, after a first one that does not count


class Size(NamedTuple):
    """What was found to be fastest.

    Attributes:
        members: K of a pack; 1: trials train one by one.
        threads: CPU threads of torch; None: as ``train.threads`` has it.
        rate: steps of members a second.
    """

    members: int
    threads: int | None
    rate: float

    def describe(self) -> str:
        """In words."""
        what = "trials one by one" if self.members == 1 else f"up to {self.members} trials as one pack"
        return what if self.threads is None else f"{what}, with {self.threads} CPU threads"


def choose_size(params: Params, data: TrainingData, n_trials: int) -> Size:
    """Measures steps of this network, one model and packs, with one thread and with all.

    It is measured once for a network on a machine and then remembered below ``.wellfit``: the size decides which trials
    know of which, and a study that is repeated is to come out the same.

    Args:
        params: the configuration of a trial.
        data: what it trains on.
        n_trials: still to come; packs hold no more than half of them, so that the sampler learns from the others.
    """
    if not can_pack(params) or n_trials < 1:
        return Size(1, None, 0.0)
    if params.tune.pack != "auto":
        return Size(params.tune.pack, params.train.threads, 0.0)
    limit = max(1, min(LARGEST, n_trials // 2 // params.tune.processes))
    memory = project_root() / ".wellfit" / "packs.json"
    key = _key(params, data, limit)
    known = json.loads(memory.read_text()) if memory.is_file() else {}
    if key not in known:
        known[key] = fastest(lambda members: _step(params, data, members), limit, _thread_counts(params, data))
        write_json(memory, known)
    members, threads, rate = known[key]
    torch.set_num_threads(threads)
    return Size(members, threads, rate)


def fastest(step: Callable[[int], Callable[[], None]], limit: int, thread_counts: list[int]) -> Size:
    """Doubles the pack, for each number of threads, as long as that pays.

    Args:
        step: makes a function that takes a step of so many members; of one it is that of a single model.
        limit: most members.
        thread_counts: to try, the first of them for a single model.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(thread_counts[0])
    best = Size(1, thread_counts[0], _rate(step(1), 1))
    for threads in thread_counts:
        torch.set_num_threads(threads)
        previous, members = 0.0, 4
        while members <= limit:
            rate = _rate(step(members), members)
            if rate > PAYS_FROM * best.rate:
                best = Size(members, threads, rate)
            if rate < PAYS_FROM * previous:
                break
            previous, members = rate, 2 * members
    torch.set_num_threads(before)
    return best


def _rate(step: Callable[[], None], members: int) -> float:
    """Steps of members a second, of the fastest step: what else the machine does makes others slower."""
    step()
    times: list[float] = []
    while len(times) < 3 or sum(times) < SECONDS:
        started = perf_counter()
        step()
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
    if params.train.threads is not None or data.train.x.device.type != "cpu":
        return [params.train.threads or torch.get_num_threads()]
    return sorted({1, os.cpu_count() or 1} if params.tune.processes == 1 else {1})


def _key(params: Params, data: TrainingData, limit: int) -> str:
    what = [pack_key(params), str(data.train.x.device), _thread_counts(params, data), limit, len(data.train.y)]
    machine = [torch.__version__, platform.processor() or platform.machine(), os.cpu_count()]
    return hashlib.sha256(json.dumps([*what, *machine]).encode()).hexdigest()[:16]
