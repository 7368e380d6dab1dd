"""Rows that stay on disk against rows in memory: seconds of an epoch, and the memory that a training takes.

Processed data train a network for an epoch, in memory and from disk with `data.memory` of a tenth of their size, in
alternating rounds, each in a process of its own. Before each round the system is told to forget the files. Data of any
size will do; those below 256 MB are encoded once in memory, and from disk with each batch.

    python benchmarks/stream.py data/processed/parquet --set data.name=parquet --set data.target=y
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from time import perf_counter

from wellfit.machine import GIB
from wellfit.settings.params import load_params
from wellfit.training.setup import begin, load_training_data

ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of processed data")
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE of params.yaml")
    parser.add_argument("--memory", type=float, help=argparse.SUPPRESS)  # of one round
    args = parser.parse_args()
    if args.memory is not None:
        print(json.dumps(measured(args.folder, [*args.set, f"data.memory={args.memory}"])))
        return
    size = (args.folder / "x_train.npy").stat().st_size / GIB
    found: dict[str, list[dict[str, float]]] = {"in memory": [], "from disk": []}
    for _ in range(ROUNDS):
        for rounds, memory in zip(found.values(), (2 * size, size / 10), strict=True):
            settings = [part for each in args.set for part in ("--set", each)]
            command = [sys.executable, __file__, str(args.folder), "--memory", f"{memory:.3f}", *settings]
            rounds.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    for name, rounds in found.items():
        seconds, memory = ([each[key] for each in rounds] for key in ("seconds", "gib"))
        middle, ends = statistics.median(seconds), f"{min(seconds):.2f} to {max(seconds):.2f}"
        print(f"{name}: {middle:.2f} s an epoch ({ends}), {statistics.median(memory):.2f} GiB at most")
    pairs = zip(*found.values(), strict=True)
    ratios = sorted(disk["seconds"] / memory["seconds"] for memory, disk in pairs)
    print(f"ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}); {size:.2f} GiB of rows")


def measured(folder: Path, settings: list[str]) -> dict[str, float]:
    """The second of two epochs, and the largest memory of this process."""
    for path in folder.glob("x_*.npy"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    params = load_params(overrides=["train.epochs=2", "schedule.warmup_epochs=0", *settings])
    training = begin([params], load_training_data(params, folder), packed=False)
    next(training.epochs)
    started = perf_counter()
    next(training.epochs)
    return {
        "seconds": perf_counter() - started,
        "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB,
    }


if __name__ == "__main__":
    main()
