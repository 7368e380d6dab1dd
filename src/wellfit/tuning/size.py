"""How many trials train as one pack: as many as this network trains fastest with on this machine."""

import hashlib
import json
import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple, Protocol

import numpy as np
import torch

from wellfit.errors import WellfitError
from wellfit.files import project_root, read_json, write_json
from wellfit.settings.params import Params
from wellfit.training.pack import can_pack, pack_key
from wellfit.training.setup import TrainingData, begin
from wellfit.tuning.space import TuneConfig

DOUBLED = (4, 8, 16, 32, 64, 128)  # members of the packs that are measured
PAYS_FROM = 1.05  # times as fast: below, a larger pack is not worth it
CORES_PAY_FROM = 1.25  # the same for more cores, which have less to give once another process wants them, too
SECONDS = 0.08  # of steps of each candidate, after a first one that does not count


class Size(NamedTuple):
    """What was found to be fastest.

    Attributes:
        members: K of a pack; 1: they train one by one.
        threads: CPU threads of a pack; a single model has those of ``train.threads``.
        rate: steps of members a second; 0: not measured.
        processes: that share the members of a pack.
    """

    members: int
    threads: int
    rate: float
    processes: int = 1

    def describe(self, what: str = "trials") -> str:
        """In words, of trials or of other trainings."""
        if self.members == 1:
            return f"{what} one by one"
        cores = f"with {self.threads} CPU thread{'s' * (self.threads > 1)}"
        if self.processes > 1:
            cores = f"in {self.processes} processes"
        return f"up to {self.members} {what} as one pack, {cores}"


class Way(NamedTuple):
    """How a pack uses cores: threads of torch in each of some processes."""

    threads: int
    processes: int

    @property
    def cores(self) -> int:
        """That are busy at once."""
        return self.threads * self.processes


class Crew(Protocol):
    """Processes that can share a pack."""

    def __len__(self) -> int: ...
    def rate(self, params: Params, members: int) -> float: ...


def sizes_up_to(limit: int) -> list[int]:
    """The sizes that are worth measuring, a single model among them."""
    return [1, *(members for members in DOUBLED if members <= limit)]


def sizes_of_study(tune: TuneConfig) -> list[int]:
    """What may be packs of a study: no more than half of the trials, so that the sampler learns from the others."""
    return sizes_up_to(tune.n_trials // 2 // tune.processes) if tune.pack == "auto" else [tune.pack]


def choose_size(params: Params, data: TrainingData, sizes: Sequence[int], crew: Crew | None = None) -> Size:
    """Measures steps of this network, one model and packs, on one core and on all.

    What was measured is remembered below ``.wellfit`` for this network on this machine: the size decides which trials
    know of which, and a study that is repeated is to come out the same.

    Args:
        params: the configuration of a member.
        data: what it trains on.
        sizes: K, rising; of a single size only the cores are measured.
        crew: processes that can share a pack, the better way to use more cores; None: there is this one only.
    """
    ways = _ways(params, data, 1 if crew is None else len(crew))
    sizes = list(sizes) if can_pack(params) else [1]
    if sizes == [1] or len(sizes) == len(ways) == 1:
        return Size(sizes[0], ways[0].threads, 0.0)

    def measure(members: int, way: Way) -> float:
        if crew is not None and way.processes > 1:
            return crew.rate(params, members)
        torch.set_num_threads(way.threads)
        return rate(steps_of(params, data, members), members)

    memory, key = project_root() / ".wellfit" / "packs.json", _key(params, data, sizes, ways)
    known = _remembered(memory)
    if key not in known:
        before = torch.get_num_threads()
        known[key] = fastest(measure, sizes, ways)
        torch.set_num_threads(before)
        write_json(memory, known)
    return known[key]


def fastest(measure: Callable[[int, Way], float], sizes: Sequence[int], ways: Sequence[Way]) -> Size:
    """Tries one size after the other, in each way, as long as the larger pack pays.

    Args:
        measure: steps of members a second, of packs of so many; of one it is a single model, with its own threads.
        sizes: K, rising.
        ways: to use cores, the fewest first.
    """
    best, best_way = Size(sizes[0], ways[0].threads, 0.0), ways[0]
    for way in ways:
        previous = 0.0
        for members in sizes:
            if members < best.members or (members == 1 and best.rate):  # what pays on one core pays on more
                continue
            found = measure(members, way)
            if found > (PAYS_FROM if way.cores == best_way.cores else CORES_PAY_FROM) * best.rate:
                best, best_way = Size(members, way.threads, found, way.processes), way
            if members > 1 and found < PAYS_FROM * previous:
                break
            previous = found if members > 1 else 0.0
    return best


def _remembered(memory: Path) -> dict[str, Size]:
    """What was measured before; nothing of a file that is not as it was written."""
    try:
        found = read_json(memory).items()
        return {key: Size(int(k), int(threads), float(rate), int(count)) for key, (k, threads, rate, count) in found}
    except (OSError, WellfitError, AttributeError, TypeError, ValueError):
        return {}


def rate(step: Callable[[], None], members: int) -> float:
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


def steps_of(params: Params, data: TrainingData, members: int) -> Callable[[], None]:
    """A function that takes a step of so many members; of one it is that of a single model."""
    training = begin([params] * members, data, packed=members > 1)
    rows = next(training.order.epoch(np.ones(members, int)))
    lr = np.full(members, params.optim.lr)

    def step() -> None:
        training.learner.step(rows, lr)

    return step


def _ways(params: Params, data: TrainingData, processes: int) -> list[Way]:
    """To try for packs: one core, then all."""
    if params.train.threads is not None or data.train.x.device.type != "cpu":
        return [Way(params.train.threads or torch.get_num_threads(), 1)]
    cores = (os.cpu_count() or 1) if params.tune.processes == 1 else 1
    return list(dict.fromkeys([Way(1, 1), Way(1, processes) if processes > 1 else Way(cores, 1)]))


def _key(params: Params, data: TrainingData, sizes: Sequence[int], ways: Sequence[Way]) -> str:
    what = [pack_key(params), str(data.train.x.device), ways, sizes, len(data.train.y)]
    machine = [torch.__version__, platform.processor() or platform.machine(), os.cpu_count()]
    return hashlib.sha256(json.dumps([*what, *machine]).encode()).hexdigest()[:16]
