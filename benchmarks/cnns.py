"""A study of 16 small CNNs in three ways, on 6,400 images of Fashion-MNIST.

(a) our single loop, one trial after another with all cores; nothing is logged;
(b) the tune stage as it is, with MLflow, Optuna's journal and the report: CNNs are not packed, so it trains a trial on
    each core where that is faster;
(c) the usual script: Optuna's ``study.optimize``, in memory, over a loop with a DataLoader, Adam and ``.item()`` in
    every step, with all cores; nothing is logged.

In each round (b) goes first, with its own sampler, and the others train what it has tried, a sample of it where all
would take too long. Ratios are those of one round; what is printed is their median, lowest and highest.

    WELLFIT_MIRROR=... python benchmarks/cnns.py              # writes results/cnns.json
    python benchmarks/cnns.py --quick                         # small, on other data: whether the script runs
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as wellfit.commands.process has it; torch reads it once

import argparse
import json
import platform
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from cnn import network
from study_arms import Case, Problem, Usual, pack_study, prepare_case, project, single_trials, usual_study
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from wellfit.data.meta import SPLIT_NAMES
from wellfit.data.store import Split, load_meta, load_split, save_meta, save_split
from wellfit.machine import core_count
from wellfit.manifest import unsealed
from wellfit.models.inputs import Inputs
from wellfit.training.setup import load_training_data

ROUNDS, TRIALS = 3, 16
ROWS, VAL_ROWS = 6_400, 1_000
CASES = [
    Case("fashion_mnist", [8, 16, 32], batch_size=64, loss="cross_entropy", epochs=3, sample=16),
    Case("fashion_mnist", [32, 64, 128], batch_size=64, loss="cross_entropy", epochs=3, sample=4),
]
QUICK = Case("digits", [4, 8], batch_size=64, loss="cross_entropy", epochs=1, sample=2)
RESULTS = Path(__file__).parent / "results" / "cnns.json"

Result = dict[str, Any]


class UsualCnn(Usual):
    """A CNN in plain torch, as tutorials write it; ``case.hidden`` are its channels."""

    def network(self, case: Case, shape: Sequence[int], outputs: int, dropout: float) -> nn.Sequential:
        return network((shape[0], *case.hidden), outputs, dropout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small, on other data; nothing is written")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--trials", type=int, default=TRIALS, help="of each study")
    options = parser.parse_args()
    cases, rounds, trials = ([QUICK], 1, 2) if options.quick else (CASES, options.rounds, options.trials)
    results: Result = {"torch": torch.__version__, "machine": platform.machine(), "cores": core_count()}
    with tempfile.TemporaryDirectory() as named:
        folder = Path(named)
        for case in cases:
            results[str(case)] = compare(prepare_cnn(case, folder), folder, rounds, trials)
    if not options.quick and (rounds, trials) == (ROUNDS, TRIALS):
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")
        print(f"written to {RESULTS}")


def prepare_cnn(case: Case, folder: Path) -> Problem:
    """The first images of a data set, and the configuration of the CNN of a case."""
    whole = prepare_case(case, folder)
    params = whole.params.replace(
        {"model.name": "cnn", "model.channels": case.hidden, "model.norm": "batch", "train.threads": None}
    )
    processed = folder / "first" / case.dataset
    if not processed.exists():
        save_first(whole.processed, processed)
    data = load_training_data(params, processed)
    inputs = Inputs(data.meta, "standard", torch.device("cpu"))
    train, val = (TensorDataset(inputs(rows.x), rows.y) for rows in (data.train, data.val))
    loaders = DataLoader(train, case.batch_size, shuffle=True), DataLoader(val, VAL_ROWS)
    return Problem(case, params, processed, data, loaders)


def save_first(whole: Path, out: Path) -> None:
    """Writes a processed data set of the first rows of each split of another."""
    out.mkdir(parents=True)
    meta = load_meta(whole)
    manifest, sizes = {}, {}
    for name, count in zip(SPLIT_NAMES, (ROWS, VAL_ROWS, VAL_ROWS), strict=True):
        split = Split(*(None if rows is None else rows[:count] for rows in load_split(whole, meta, name)))
        manifest |= save_split(out, name, split)
        sizes[name] = len(split.y)
        if name == "train":
            counts = tuple(int((split.y == label).sum()) for label in range(len(meta.class_names)))
    save_meta(out, meta.model_copy(update={"split_sizes": sizes, "class_counts": counts, "manifest": manifest}))


def compare(problem: Problem, folder: Path, rounds: int, trials: int) -> Result:
    """Seconds of a study in the three ways, in alternating rounds."""
    seconds: dict[str, list[float]] = {"one by one": [], "tune": [], "usual script": []}
    with project(folder) as root:  # does not count: it imports
        pack_study(problem, root, n_trials=2)
    sample, processes = min(problem.case.sample, trials), []
    for _ in range(rounds):
        with project(folder) as root:
            study = pack_study(problem, root, trials)
            processes.append(processes_of(root))
        seconds["tune"].append(study.seconds)
        values = [study.trials[i * trials // sample].values for i in range(sample)]
        started = perf_counter()
        single_trials(problem, core_count(), values)
        between = perf_counter()
        usual_study(problem, core_count(), trials=values, make=UsualCnn)
        seconds["one by one"].append((between - started) * trials / sample)
        seconds["usual script"].append((perf_counter() - between) * trials / sample)
    print(
        f"{problem.case}: {trials} trials of {problem.params.train.epochs} epochs, "
        f"{' and '.join(map(str, sorted(set(processes))))} at once: {statistics.median(seconds['tune']):.1f} s",
        flush=True,
    )
    result: Result = {"trials": trials, "epochs": problem.params.train.epochs, "sample": sample, "at_once": processes}
    for name, own in seconds.items():
        ratios = sorted(theirs / mine for theirs, mine in zip(own, seconds["tune"], strict=True))
        middle = statistics.median(ratios)
        result[name] = {"seconds": [round(each, 2) for each in own], "ratio": round(middle, 3)}
        if name != "tune":
            low, high = ratios[0], ratios[-1]
            print(f"  {name:<14} {statistics.median(own):6.1f} s, {middle:.2f} times as long ({low:.2f} to {high:.2f})")
    return result


def processes_of(root: Path) -> int:
    """How many trials the stage has trained at once, as it measured them in the only study of a project."""
    measured = root / ".wellfit" / "packs.json"
    if not measured.exists():  # with one core there is nothing to choose
        return 1
    return max(int(count) for *_, count in unsealed(measured.read_text()).values())


if __name__ == "__main__":
    main()
