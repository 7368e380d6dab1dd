"""What of `dvc repro` on digits is not the work itself: start-up of each stage, and DVC.

Every stage is a process of its own and imports anew what it uses. In a clone of the project, round after round: a
whole `dvc repro` from nothing, timed stage by stage, and between two of them, for each stage, a process that imports
the very modules that the stage had imported in a first round, which does not count, and does nothing else. The share
is start-up and DVC together, divided by the whole.

    python benchmarks/startup.py
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

ROUNDS = 5
STAGES = ("fetch", "preprocess", "baseline", "tune", "train", "evaluate")
ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "startup.json"

# Imports modules as a stage does (wellfit.commands.process.leave); a few only exist inside others.
IMPORT = """
import contextlib, gc, importlib, os, sys, warnings
gc.set_threshold(100_000)
warnings.simplefilter("ignore")
for name in sys.stdin.read().split():
    with contextlib.suppress(Exception):
        importlib.import_module(name)
os._exit(0)
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "wellfit"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        log = Path(folder) / "imports"
        log.mkdir()
        recorder = {"PYTHONPATH": str(ROOT / "tests" / "pipeline" / "import_log"), "IMPORT_LOG": str(log)}
        time_repro(clone, recorder)
        rounds = []
        for number in range(ROUNDS):
            seconds = time_repro(clone, {})
            for stage in STAGES:
                seconds[f"start-up of {stage}"] = time_imports(clone, (log / stage).read_text())
            rounds.append(seconds)
            print(f"round {number + 1}: dvc repro {seconds['dvc repro']:.1f} s, not work {not_work(seconds):.1f} s")
    report(rounds)


def environment(clone: Path) -> dict[str, str]:
    """As after activating .venv, without a store or a mirror of the user's own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "MLFLOW_", "WELLFIT_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return kept | {"PATH": path, "VIRTUAL_ENV": sys.prefix, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(clone / "src")}


def time_repro(clone: Path, variables: dict[str, str]) -> dict[str, float]:
    """Seconds of `dvc repro` from nothing and of each stage's process in it, by when DVC announces and records them."""
    for leftover in (
        "data/raw",
        "data/processed",
        "models",
        "reports",
        ".wellfit",
        "mlartifacts",
        ".dvc/cache",
        ".dvc/tmp",
    ):
        shutil.rmtree(clone / leftover, ignore_errors=True)
    (clone / "mlflow.db").unlink(missing_ok=True)
    (clone / "dvc.lock").unlink(missing_ok=True)
    started = perf_counter()
    process = subprocess.Popen(
        ["dvc", "repro"],
        cwd=clone,
        env=environment(clone) | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    seconds: dict[str, float] = {}
    stage, began = "", 0.0
    for line in process.stdout:
        if found := re.match(r"> exec pipelines/python pipelines/(\w+)\.py", line):
            stage, began = found[1], perf_counter()
        elif line.startswith(("Generating lock", "Updating lock")) and stage:
            seconds.setdefault(stage, perf_counter() - began)
    if process.wait() != 0:
        sys.exit("dvc repro failed")
    return seconds | {"dvc repro": perf_counter() - started}


def time_imports(clone: Path, modules: str) -> float:
    started = perf_counter()
    subprocess.run(
        [sys.executable, "-c", IMPORT], cwd=clone, env=environment(clone), input=modules, text=True, check=True
    )
    return perf_counter() - started


def not_work(seconds: dict[str, float]) -> float:
    """Start-up of all stages, and what DVC takes besides their processes."""
    dvc = seconds["dvc repro"] - sum(seconds[stage] for stage in STAGES)
    return dvc + sum(seconds[f"start-up of {stage}"] for stage in STAGES)


def report(rounds: list[dict[str, float]]) -> None:
    """Prints medians and keeps every number."""
    median = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
    for stage in STAGES:
        print(f"{stage:<11} {median[stage]:6.2f} s, of it start-up {median[f'start-up of {stage}']:.2f} s")
    shares = sorted(not_work(r) / r["dvc repro"] for r in rounds)
    share = statistics.median(shares)
    print(f"dvc repro   {median['dvc repro']:6.2f} s, not work {share:.0%} ({shares[0]:.0%} to {shares[-1]:.0%})")
    result = {"rounds": rounds, "median": median, "share_not_work": share}
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(f"written to {RESULTS.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
