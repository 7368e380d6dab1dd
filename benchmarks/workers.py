"""How much faster two one-core workers complete a study than one: the efficiency is half of the ratio.

Needs a PostgreSQL database of its own, an idle machine of two cores, and the processed data:

    python benchmarks/workers.py postgresql://me@localhost/studies --set data.name=moons --set tune.n_trials=128
"""

import argparse
import os
import subprocess
import sys
import time
import uuid


def seconds(workers: int, storage: str, settings: list[str]) -> float:
    """From the start of the workers to the end of the last one, each on a core of its own."""
    chosen = [f"tune.storage={storage}", f"tune.study=workers-{uuid.uuid4().hex[:8]}", "train.threads=1", *settings]
    command = [sys.executable, "-m", "wellfit", "worker", *(part for each in chosen for part in ("--set", each))]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    began = time.monotonic()
    started = [
        subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.DEVNULL,
            preexec_fn=lambda core=core: os.sched_setaffinity(0, {core}),
        )
        for core in sorted(os.sched_getaffinity(0))[:workers]
    ]
    if any(process.wait() for process in started):
        raise SystemExit("a worker failed; its own words stand above")
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("storage")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    for _ in range(args.repeats):
        one, two = (seconds(count, args.storage, args.set) for count in (1, 2))
        print(f"one worker {one:.1f} s, two {two:.1f} s, efficiency {one / two / 2:.2f}", flush=True)


if __name__ == "__main__":
    main()
