"""What do bf16 and torch.compile bring? The measurement behind BF16_PAYS_FROM in wellfit.training.runtime.

Networks from a small to a large one take training steps with one thread in fp32, in bf16 and compiled, in alternating
rounds of one process. Printed for each: multiply-adds of a forward pass over a batch, milliseconds a step, and the
ratio to fp32; above 1 it pays. Beside the compiled step: seconds that the first one took.

    python benchmarks/precision.py
"""

import json
import os
import statistics
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import torch
from synthetic import learner, seconds_a_step

ROUNDS = 5
RESULTS = Path(__file__).parent / "results" / "precision.json"
VARIANTS = {
    "fp32": {"precision": "fp32"},
    "bf16": {"precision": "bf16"},
    "compiled": {"precision": "fp32", "compile": True},
}
CASES: list[tuple[str, tuple[int, ...], list[int], int]] = [
    # model, shape of a sample, widths, batch
    ("mlp", (64,), [128, 64], 64),
    ("mlp", (64,), [256, 256], 64),
    ("mlp", (64,), [512, 512], 64),
    ("mlp", (784,), [512, 512], 100),
    ("cnn", (1, 8, 8), [16, 32], 64),
    ("cnn", (1, 8, 8), [32, 64, 128], 64),
    ("cnn", (1, 28, 28), [32, 64, 128], 64),
]


def main() -> None:
    torch.set_num_threads(1)
    flags = {name: there for name, there in torch.cpu.get_capabilities().items() if "bf16" in name}
    print(", ".join(f"{name} {there}" for name, there in flags.items()))
    rows = []
    for case in CASES:
        rows.append(measure(*case))
        print(shown(rows[-1]), flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"torch": torch.__version__, "cpu": flags, "cases": rows}, indent=2) + "\n")


def measure(model: str, shape: tuple[int, ...], widths: list[int], batch: int) -> dict[str, float | str]:
    singles = {name: learner(model, shape, widths, batch, **changes) for name, changes in VARIANTS.items()}
    started = perf_counter()
    singles["compiled"].step(torch.arange(batch)[None], np.array([1e-4]))
    row: dict[str, float | str] = {
        "network": f"{model} {'x'.join(map(str, shape))} {'-'.join(map(str, widths))} batch {batch}",
        "multiply_adds": float(singles["fp32"].multiply_adds),
        "compile_s": perf_counter() - started,
    }
    times: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for number in range(ROUNDS + 1):
        for name, single in singles.items():
            taken = seconds_a_step(single, batch)
            if number:  # the first round warms up
                times[name].append(taken)
    for name, taken_s in times.items():
        row[f"{name}_ms"] = 1000 * statistics.median(taken_s)
        ratios = sorted(plain / other for plain, other in zip(times["fp32"], taken_s, strict=True))
        row |= {f"{name}_ratio": statistics.median(ratios), f"{name}_low": ratios[0], f"{name}_high": ratios[-1]}
    return row


def shown(row: dict[str, float | str]) -> str:
    ratios = "  ".join(
        f"{name} {row[f'{name}_ms']:.2f} ms, ratio {row[f'{name}_ratio']:.2f} "
        f"({row[f'{name}_low']:.2f} to {row[f'{name}_high']:.2f})"
        for name in ("bf16", "compiled")
    )
    work, first = row["multiply_adds"], row["compile_s"]
    return (
        f"{row['network']:<34} {work:8.1e} multiply-adds  fp32 {row['fp32_ms']:.2f} ms  {ratios}, first {first:.0f} s"
    )


if __name__ == "__main__":
    warnings.simplefilter("error")
    with TemporaryDirectory() as folder:  # so that everything is compiled anew
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        main()
