"""Memory and seconds for an own table of a million rows by 30 columns, as CSV and as Parquet.

Twenty columns of numbers and ten of categories, with gaps, are written to a temporary folder; the stages preprocess,
train (one epoch) and evaluate then run as processes of their own, as under DVC. What counts is the largest resident
set of each.

    python benchmarks/table.py
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd

ROWS, NUMBERS, CATEGORIES = 1_000_000, 20, 10
LIMIT_GIB = 4.0
ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "table.json"
SETTINGS = (
    *("data.target=target", "tune.enabled=false", "train.epochs=1", "schedule.warmup_epochs=0"),
    *("train.batch_size=1024", "train.threads=1", "evaluate.resamples=100"),
)


def main() -> None:
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("pipelines", "src"):
            (folder / part).symlink_to(ROOT / part)
        shutil.copy(ROOT / "params.yaml", folder)
        write_table(folder)
        for kind in ("csv", "parquet"):
            shutil.rmtree(folder / "models", ignore_errors=True)
            for stage in ("preprocess", "train", "evaluate"):
                seconds, gib = run_stage(folder, stage, kind)
                results.append({"file": kind, "stage": stage, "seconds": seconds, "peak_gib": gib})
                print(f"{kind:<8} {stage:<10} {seconds:6.1f} s   {gib:.2f} GiB of {LIMIT_GIB:g}", flush=True)
    RESULTS.write_text(json.dumps({"rows": ROWS, "columns": NUMBERS + CATEGORIES, "results": results}, indent=2) + "\n")


def write_table(folder: Path) -> None:
    random = np.random.default_rng(0)
    numbers = random.normal(size=(ROWS, NUMBERS)).round(6)
    target = numbers[:, 0] * 3 - numbers[:, 1] ** 2 + random.normal(size=ROWS)
    frame = pd.DataFrame(numbers, columns=[f"number {i}" for i in range(NUMBERS)])
    for i in range(CATEGORIES):
        names = np.array([f"category {j}" for j in range(5 * (i + 1))])
        frame[f"text {i}"] = names[random.integers(0, len(names), ROWS)]
    gaps = random.random(frame.shape) < 0.02
    frame = frame.mask(gaps).assign(target=target.round(6))
    frame.to_csv(folder / "table.csv", index=False)
    frame.to_parquet(folder / "table.parquet")


def run_stage(folder: Path, stage: str, kind: str) -> tuple[float, float]:
    """Wall seconds and the largest resident set in GiB."""
    overrides = [f"data.name={kind}", f"data.path=table.{kind}", *SETTINGS]
    command = [sys.executable, f"pipelines/{stage}.py", *(part for text in overrides for part in ("--set", text))]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "MLFLOW_"))}
    started = perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=environment | {"PYTHONPATH": str(ROOT / "src")}, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{stage} failed on table.{kind}")
    return perf_counter() - started, usage.ru_maxrss / 2**20


if __name__ == "__main__":
    main()
