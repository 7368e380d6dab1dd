"""Tables: what wellfit reaches beside what one would use instead of it.

Each table is split as preprocess does it, with the seeds 0 to 4 of data.seed (adult keeps its publisher's test rows).
On these very rows are trained: wellfit by its stages tune, train and evaluate, and the peers of table_peers.py. All are
scored on the test rows; tables whose scores nobody looked at while defaults were chosen are marked as held out.

    python benchmarks/tables.py --peers-python FOLDER/bin/python      # all tables, seeds and arms: a night
    python benchmarks/tables.py --only phoneme --seeds 0 --arms wellfit hgb
    python benchmarks/tables.py --only phoneme --set tune.n_trials=16
    python benchmarks/tables.py --only wine --set data.folds=5 --untimed    # while the machine does other work
    python benchmarks/tables.py --only phoneme --curve                # scores against seconds, for 4 to 128 trials
    python benchmarks/tables.py --markdown > FILE                     # of all that is in results/tables.json

What is in results/tables.json is not run again unless --again is given, so that a run may be broken off at any time.
Seconds are true only on a machine without other work; the arms have two threads. LightGBM and RealMLP need a Python of
their own, as they are not in the lock:

    uv venv FOLDER && uv pip install --python FOLDER/bin/python pytabkit==1.8.0 lightgbm==4.7.0 pyarrow torch==2.15.0
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as wellfit.commands.process has it; torch reads it once

import argparse
import contextlib
import csv
import io
import json
import platform
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import table_report
import torch
from numpy.typing import NDArray
from study_arms import project
from table_catalog import NAMES
from table_data import Prepared, prepare_table
from table_peers import PEERS, THREADS, save_rows

from wellfit.files import read_json, write_json
from wellfit.machine import core_count
from wellfit.metrics.intervals import bootstrap_intervals
from wellfit.metrics.predictions import ClassificationScores, regression_scores
from wellfit.settings.params import load_params
from wellfit.stages import evaluate, train, tune  # noqa: F401  # what a process imports does not count

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "tables.json"
STAGES = ("tune", "train", "baseline", "evaluate")
SEEDS = (0, 1, 2, 3, 4)
OF_TRAINING_ROWS = "data.folds"  # the setting of data. that leaves the test rows as they are
CURVE = (4, 8, 16, 32, 64, 128)
LEAST = 5e-7  # of a probability: predictions.csv keeps six digits
OF_CLASSES = ("accuracy", "roc_auc", "average_precision", "log_loss")

Result = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="TABLE", help=", ".join(NAMES))
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS, metavar="SEED")
    parser.add_argument("--arms", nargs="+", choices=("wellfit", *PEERS), default=("wellfit", *PEERS), metavar="ARM")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"for wellfit, of data. only {OF_TRAINING_ROWS}; may be repeated",
    )
    parser.add_argument("--untimed", action="store_true", help="keep no seconds: the machine does other work")
    parser.add_argument("--peers-python", metavar="PATH", help="a Python that has pytabkit and lightgbm")
    parser.add_argument("--again", action="store_true", help="run what is in the results, too")
    curve = f"wellfit with {', '.join(map(str, CURVE))} trials; {' and '.join(table_report.CURVE_PEERS)}"
    parser.add_argument("--curve", action="store_true", help=curve)
    parser.add_argument("--markdown", action="store_true", help="print the results as tables, and run nothing")
    options = parser.parse_args()
    if any(text.startswith("data.") and not text.startswith(OF_TRAINING_ROWS) for text in options.set):
        parser.error(f"--set must leave data. alone, but for {OF_TRAINING_ROWS}: the peers would get other rows")
    if options.markdown:
        print(table_report.markdown(kept_runs()))
        return
    arms = [arm for arm in options.arms if arm == "wellfit" or PEERS[arm].is_locked or options.peers_python]
    if left_out := set(options.arms) - set(arms):
        print(f"left out without --peers-python: {', '.join(sorted(left_out))}", file=sys.stderr)
    settings = [options.set]
    if options.curve:
        settings = [[*options.set, f"tune.n_trials={n}"] for n in CURVE]
        arms = [arm for arm in arms if arm in ("wellfit", *table_report.CURVE_PEERS)]
    wanted = [(arm, each) for arm in arms for each in (settings if arm == "wellfit" else [[]])]
    for name in options.only:
        for seed in options.seeds:
            done = [] if options.again else [key(run) for run in kept_runs()]
            todo = [each for each in wanted if (name, seed, *each) not in done]
            if todo:
                with tempfile.TemporaryDirectory() as folder:
                    run_all(name, seed, todo, Path(folder), options.peers_python, is_timed=not options.untimed)


def run_all(
    name: str,
    seed: int,
    todo: Sequence[tuple[str, list[str]]],
    folder: Path,
    peers_python: str | None,
    *,
    is_timed: bool,
) -> None:
    """Runs arms on one split of a table, each with its settings, and keeps each result."""
    for arm, settings in todo:
        try:
            prepared = prepare_table(name, seed, load_params(ROOT / "params.yaml", settings), folder)
            runs = run_wellfit(prepared, folder) if arm == "wellfit" else {arm: run_peer(arm, prepared, peers_python)}
        except Exception as error:  # whatever it is, the arms that are left shall run
            print(f"{name}, seed {seed}, {arm}: {type(error).__name__}, {error}", file=sys.stderr, flush=True)
            continue
        for said, run in runs.items():
            if not is_timed:
                run |= {"seconds": None, "stages": None}
            keep({"table": name, "seed": seed, "arm": said, "settings": settings} | run)


def keep(run: Result) -> None:
    """Puts a run into the results, in place of an earlier one of the same key, and says it."""
    machine = {"torch": torch.__version__, "machine": platform.machine(), "cores": core_count()}
    others = [each for each in kept_runs() if key(each) != key(run)]
    write_json(RESULTS, {"machine": machine, "runs": [*others, run]})
    print(f"{run['table']}, seed {run['seed']}, {table_report.line(run)}", flush=True)


def kept_runs() -> list[Result]:
    """The runs that are in the results."""
    return read_json(RESULTS)["runs"] if RESULTS.exists() else []


def key(run: Result) -> tuple[str, int, str, list[str]]:
    """By what a run is found in the results."""
    return run["table"], run["seed"], run["arm"], run["settings"]


def run_wellfit(prepared: Prepared, folder: Path) -> dict[str, Result]:
    """The stages in a project of their own: what is delivered, and what evaluate writes beside it.

    Returns:
        By the name of the arm: ``wellfit`` of ``predictions.csv``, ``wellfit <what>`` of ``predictions_<what>.csv``.
    """
    stages, runs = {}, {}
    with project(folder) as root, contextlib.chdir(root), contextlib.redirect_stdout(io.StringIO()):
        (root / "data").symlink_to(prepared.folder)
        for stage in STAGES:
            started = perf_counter()
            runpy.run_path(str(ROOT / "pipelines" / f"{stage}.py"))["main"](prepared.params)
            stages[stage] = round(perf_counter() - started, 3)
        for path in sorted((root / "reports" / "evaluate").glob("predictions*.csv")):
            arm = path.stem.replace("predictions", "wellfit").replace("_", " ")
            runs[arm] = score(prepared, read_predictions(path)) | {
                "seconds": round(sum(stages.values()), 3),
                "stages": stages,
                "version": commit(),
            }
    return runs


def read_predictions(path: Path) -> NDArray[np.float64]:
    """Probabilities (n, C), or numbers (n, 1), of the test rows in their order."""
    with path.open(encoding="utf-8", newline="") as file:
        names, *rows = csv.reader(file)
    columns = [i for i, name in enumerate(names) if name.startswith("p_")] or [names.index("predicted")]
    return np.array([[float(row[i]) for i in columns] for row in rows])


def run_peer(arm: str, prepared: Prepared, peers_python: str | None) -> Result:
    """A peer in a process of its own, whose imports do not count."""
    peer = PEERS[arm]
    save_rows(prepared.rows(), prepared.folder)
    python = sys.executable if peer.is_locked else str(peers_python)
    script = ROOT / "benchmarks" / "table_peers.py"
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    subprocess.run(
        [python, str(script), arm, str(prepared.folder), str(prepared.params.data.seed)],
        env=environment | {"OMP_NUM_THREADS": str(THREADS)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    said = json.loads((prepared.folder / "peer.json").read_text())
    return score(prepared, np.load(prepared.folder / "prediction.npy")) | {
        "seconds": round(said["seconds"], 3),
        "version": said["version"],
    }


def score(prepared: Prepared, prediction: NDArray[np.float64]) -> Result:
    """Scores of the test rows with 95 % bootstrap intervals.

    Args:
        prepared: the table.
        prediction: (n, C) probabilities, or (n, 1) numbers in the target's unit.

    Returns:
        ``main_score`` and ``scores``: [value, low, high] by name. Of two classes, the rarer one is that of the average
        precision. A probability of zero counts as half of the last digit that ``predictions.csv`` keeps.
    """
    y = prepared.rows()["test"][1]
    config = prepared.params.evaluate
    if prepared.meta.task == "regression":
        names: tuple[str, ...] = ("rmse", "mae")
        scores: Any = partial(regression_scores, y.astype(np.float64), prediction[:, 0])
    else:
        names = OF_CLASSES
        counts = prepared.meta.class_counts
        if len(counts) == 2 and counts[0] < counts[1]:
            y, prediction = 1 - y, prediction[:, ::-1]
        scores = ClassificationScores(y, prediction.clip(LEAST, 1), config.calibration_bins)
    found = bootstrap_intervals(scores, len(y), config.resamples, config.seed)
    return {
        "main_score": prepared.main_score,
        "scores": {name: [found[name], found[f"{name}_low"], found[f"{name}_high"]] for name in names},
        "rows": prepared.meta.split_sizes,
    }


def commit() -> str:
    """The commit that wellfit was run from."""
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
