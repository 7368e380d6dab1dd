"""From how much work a step on do CPU threads pay? The measurement behind THREADS_PAY_FROM in wellfit.training.runtime.

Networks from the smallest to a large one take steps with one thread and with as many as there are cores, in alternating
rounds of one process. Printed for each: multiply-adds of a forward pass over a batch, milliseconds a step, and the
ratio; above 1 the threads pay.

    python benchmarks/threads.py
"""

import json
import statistics
import warnings
from pathlib import Path

import torch
from synthetic import learner, seconds_a_step

from wellfit.machine import core_count

ROUNDS = 7
RESULTS = Path(__file__).parent / "results" / "threads.json"
CASES: list[tuple[str, tuple[int, ...], list[int], int]] = [
    # model, shape of a sample, widths, batch
    ("mlp", (2,), [64, 64], 32),
    ("mlp", (64,), [128, 64], 64),
    ("mlp", (64,), [256, 256], 64),
    ("mlp", (64,), [512, 512], 64),
    ("mlp", (8,), [256, 256, 256], 256),
    ("mlp", (784,), [512, 512], 100),
    ("cnn", (1, 8, 8), [16, 32], 64),
    ("cnn", (1, 8, 8), [32, 64, 128], 64),
    ("cnn", (1, 28, 28), [8, 16], 64),
    ("cnn", (1, 28, 28), [32, 64, 128], 64),
]


def main() -> None:
    rows = [measure(*case) for case in CASES]
    cores = core_count()
    for row in sorted(rows, key=lambda row: row["multiply_adds"]):
        print(
            f"{row['network']:<38} {row['multiply_adds']:9.2e} multiply-adds  1 thread {row['one_ms']:7.3f} ms  "
            f"{cores} threads {row['all_ms']:7.3f} ms  ratio {row['ratio']:.2f} "
            f"({row['ratio_low']:.2f} to {row['ratio_high']:.2f})"
        )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"torch": torch.__version__, "cores": cores, "cases": rows}, indent=2) + "\n")


def measure(model: str, shape: tuple[int, ...], widths: list[int], batch: int) -> dict[str, float | str]:
    single = learner(model, shape, widths, batch)
    times: dict[int, list[float]] = {1: [], core_count(): []}
    for number in range(ROUNDS + 1):
        for threads, seconds in times.items():
            torch.set_num_threads(threads)
            taken = seconds_a_step(single, batch)
            if number:  # the first round warms up
                seconds.append(taken)
    one, many = times.values()
    ratios = sorted(a / b for a, b in zip(one, many, strict=True))
    return {
        "network": f"{model} {'x'.join(map(str, shape))} {'-'.join(map(str, widths))} batch {batch}",
        "multiply_adds": float(single.multiply_adds),
        "one_ms": 1000 * statistics.median(one),
        "all_ms": 1000 * statistics.median(many),
        "ratio": statistics.median(ratios),
        "ratio_low": ratios[0],
        "ratio_high": ratios[-1],
    }


if __name__ == "__main__":
    warnings.simplefilter("error")
    main()
