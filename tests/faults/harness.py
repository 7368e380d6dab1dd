"""Rounds of a kind of fault: each has a random stream and a folder of its own, and is judged by what it leaves."""

import random
import shutil
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from .outcomes import EQUAL, FAILED, NO_EFFECT, ONE_LINE, SKIPPED, Broken
from .project import Template

OUTCOMES = (EQUAL, ONE_LINE, NO_EFFECT, SKIPPED, FAILED)


@dataclass
class Round:
    """One fault.

    Attributes:
        random: the same for the same kind, seed and number.
        folder: empty, for this round alone.
        template: the project to copy.
        did: what was done, for the message of a failure.
    """

    random: random.Random
    folder: Path
    template: Template
    did: list[str] = field(default_factory=list)


class Kind(NamedTuple):
    """A kind of fault: what a round of it does, which returns its outcome, and how many rounds there are by default."""

    play: Callable[[Round], str]
    rounds: int


def play(
    kinds: Mapping[str, Kind], numbers: Mapping[str, Sequence[int]], seed: int, folder: Path, template: Template
) -> bool:
    """Plays all rounds, prints a table of what came of them, and returns whether none failed."""
    counts = {name: Counter[str]() for name in kinds}
    seconds = dict.fromkeys(kinds, 0.0)
    for name, kind in kinds.items():
        started = time.monotonic()
        for number in numbers[name]:
            counts[name][_play_one(name, kind, seed, number, folder, template)] += 1
        seconds[name] = time.monotonic() - started
    width = max(map(len, kinds))
    print(f"{'kind':{width}}  rounds", *(f"{each:>13}" for each in OUTCOMES), "seconds")
    for name, found in counts.items():
        cells = (f"{found[each]:13}" for each in OUTCOMES)
        print(f"{name:{width}}  {found.total():6}", *cells, f"{seconds[name]:7.0f}")
    return not any(found[FAILED] for found in counts.values())


def _play_one(name: str, kind: Kind, seed: int, number: int, root: Path, template: Template) -> str:
    folder = root / f"{name}-{seed}-{number}"
    folder.mkdir(parents=True)
    now = Round(random.Random(f"{name} {seed} {number}"), folder, template)
    try:
        outcome = kind.play(now)
    except Exception as error:
        reason = str(error) if isinstance(error, Broken) else traceback.format_exc()
        print(f"FAILED: {name}, seed {seed}, round {number}: {'; '.join(now.did)}\n  {reason}\n  kept: {folder}")
        print(f"  again: make faults SEED={seed} KIND={name} ROUND={number}", flush=True)
        return FAILED
    shutil.rmtree(folder)
    return outcome
