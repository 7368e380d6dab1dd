"""How many members train at once, and on how many cores: as this network trains fastest on this machine."""

import hashlib
import json
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from wellfit.files import project_root, write_text
from wellfit.machine import core_count
from wellfit.manifest import sealed, unsealed
from wellfit.settings.params import Params
from wellfit.training.memory import most_members
from wellfit.training.pack import can_pack, pack_key

if TYPE_CHECKING:
    from wellfit.training.cores import Cores
    from wellfit.training.setup import Training, TrainingData

DOUBLED = (4, 8, 16, 32, 64, 128)  # members of the packs that are measured
PAYS_FROM = 1.05  # times as fast: below, a larger pack is not worth it
CORES_PAY_FROM = 1.15  # the same for more cores, which have less to give where another process wants them, too
SECONDS = 0.08  # of steps that are measured, after a first one that does not count
LONG = 1.0  # seconds of a step that is measured once


class Size(NamedTuple):
    """What was found to be fastest.

    Attributes:
        members: K of a pack; 1: they are not packed.
        threads: CPU threads of each process; a network that trains alone in one has those of ``train.threads``.
        rate: steps of members a second; 0: not measured.
        processes: that share the members of a pack, or train one network each.
    """

    members: int
    threads: int
    rate: float
    processes: int = 1

    @property
    def at_once(self) -> int:
        """Members that train at once, at most."""
        return self.members if self.members > 1 else self.processes

    def describe(self, what: str = "trials") -> str:
        """In words, of trials or of other trainings."""
        cores = f"with {self.threads} CPU thread{'s' * (self.threads > 1)}"
        if self.processes > 1:
            cores = f"in {self.processes} processes"
        if self.members > 1:
            return f"up to {self.members} {what} as one pack, {cores}"
        return f"{what} one by one" + f", {cores}" * (self.processes > 1)


class CoreUse(NamedTuple):
    """How a training uses cores: threads of torch in each of some processes."""

    threads: int
    processes: int

    @property
    def cores(self) -> int:
        """That are busy at once."""
        return self.threads * self.processes


def processes_for(params: Params, data: "TrainingData", members: int) -> int:
    """How many processes may share the members of trainings: one a core.

    One where the threads are set, where a compiler is at work, and where this process cannot be forked: with a GPU in
    the machine, torch does not let the fork of a process that has computed gradients compute some.

    Args:
        params: the configuration.
        data: what it trains on.
        members: so many processes at most.
    """
    may_fork = sys.platform == "linux" and data.train.device.type == "cpu" and not torch.cuda.is_available()
    if not may_fork or params.train.threads is not None or params.train.compile:
        return 1
    return max(1, min(core_count(), members, most_members(params, data)))


def sizes_up_to(limit: int) -> list[int]:
    """The sizes of packs that are worth measuring, and 1 for no pack."""
    return [1, *(members for members in DOUBLED if members <= limit)]


def choose_size(params: Params, data: "TrainingData", sizes: Sequence[int], cores: "Cores") -> Size:
    """Measures steps of this network, alone and in packs, on one core and on all.

    What was measured is kept in ``.wellfit/packs.json`` for this network on this machine: the size decides which trials
    know of which, and a study that is repeated is to come out the same.

    Args:
        params: the configuration of a member.
        data: what it trains on.
        sizes: K, rising; of a single size only the use of cores is measured.
        cores: the processes there are.
    """
    sizes = list(sizes) if can_pack(params) else [1]
    fitting = most_members(params, data)
    sizes = [members for members in sizes if members <= fitting] or sizes[:1]
    uses = _core_uses(params, data, len(cores), packs=sizes != [1])
    if len(sizes) == len(uses) == 1:
        return Size(sizes[0], uses[0].threads, 0.0)

    def measure(members: int, use: CoreUse) -> float:
        together = members if members > 1 else use.processes
        return cores.rate(params, together, Size(members, use.threads, 0.0, use.processes), packed=members > 1)

    memory, key = project_root() / ".wellfit" / "packs.json", _key(params, data, sizes, uses)
    known = _remembered(memory)
    if key not in known:
        before = torch.get_num_threads()
        known[key] = fastest(measure, sizes, uses)
        torch.set_num_threads(before)
        write_text(memory, sealed(known))
    return known[key]


def fastest(measure: Callable[[int, CoreUse], float], sizes: Sequence[int], uses: Sequence[CoreUse]) -> Size:
    """Tries one size after the other, with each use of cores, as long as the larger pack pays.

    Args:
        measure: steps of members a second, of packs of so many; of 1 it is a network in each process.
        sizes: K, rising.
        uses: of cores, the fewest first.
    """
    best, best_use = Size(sizes[0], uses[0].threads, 0.0), uses[0]
    for use in uses:
        previous = 0.0
        for members in sizes:
            # What pays on one core pays on more. Threads of a network that is not packed are its own.
            if members < best.members or (members == 1 and best.rate and use.processes == 1):
                continue
            found = measure(members, use)
            if found > (PAYS_FROM if use.cores == best_use.cores else CORES_PAY_FROM) * best.rate:
                best, best_use = Size(members, use.threads, found, use.processes), use
            if members > 1 and found < PAYS_FROM * previous:
                break
            previous = found if members > 1 else 0.0
    return best


def steps_per_second(training: "Training") -> float:
    """Steps of members a second, of a training that is of no use afterwards."""
    learner, size = training.learner, training.learner.size
    rows = next(training.order.epoch(np.ones(size, int)))
    lr = np.full(size, 1e-6)

    def step() -> None:
        learner.step(rows, lr)
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # else only its launch is timed

    return size / fastest_seconds(step)


def fastest_seconds(step: Callable[[], None]) -> float:
    """Seconds of the fastest of some calls: the others are slower by what else the machine does."""
    step()
    times: list[float] = []
    while not times or sum(times) < SECONDS or (len(times) < 3 and sum(times) < LONG):
        started = perf_counter()
        step()
        times.append(perf_counter() - started)
    return min(times)


def _remembered(memory: Path) -> dict[str, Size]:
    """What was measured before; nothing of a file that is not as it was written."""
    try:
        found = unsealed(memory.read_text(encoding="utf-8")).items()
        return {key: Size(int(k), int(threads), float(rate), int(count)) for key, (k, threads, rate, count) in found}
    except (OSError, TypeError, ValueError):
        return {}


def _core_uses(params: Params, data: "TrainingData", processes: int, *, packs: bool) -> list[CoreUse]:
    """To try: one core, then all."""
    threads, is_cpu = params.train.threads, data.train.device.type == "cpu"
    if threads is not None or not is_cpu:
        return [CoreUse(threads or torch.get_num_threads(), 1)]
    if processes > 1 and not params.train.compile:
        return [CoreUse(1, 1), CoreUse(1, processes)]
    all_threads = core_count() if packs else 1
    return list(dict.fromkeys([CoreUse(1, 1), CoreUse(all_threads, 1)]))


def _key(params: Params, data: "TrainingData", sizes: Sequence[int], uses: Sequence[CoreUse]) -> str:
    what = [pack_key(params), str(data.train.device), uses, sizes, len(data.train.y)]
    machine = [torch.__version__, platform.processor() or platform.machine(), core_count()]
    return hashlib.sha256(json.dumps([*what, *machine]).encode()).hexdigest()[:16]
