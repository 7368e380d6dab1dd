"""Tuning in packs against the usual script and against our single loop.

Three arms run a study on the same rows, with the same networks, epochs and batch size, on at most two cores:

(a) the usual script: Optuna's ``study.optimize``, in memory, over a loop with a DataLoader, Adam and ``.item()`` in
    every step; nothing is logged;
(b) our single loop, one trial after another; nothing is logged;
(c) packs: the tune stage as it is, with MLflow, Optuna's journal and the report. Imports, and the opening of the
    study's run in MLflow, are not counted.

(a) and (b) get one or two threads, whichever is faster for them. In each round (c) goes first, with its own sampler,
and the other two train what it has tried, a sample of it where all would take too long; peers
(``benchmarks/study_peers.py``) train all of it. Ratios are those of one round; what is printed is their median, lowest
and highest.

    python benchmarks/tuning.py                            # trials per second without pruning, all cases: half an hour
    python benchmarks/tuning.py --only moons --peers jax sklearn    # pip install "jax[cpu]" beside wellfit
    python benchmarks/tuning.py --only digits --time-to-best
    python benchmarks/tuning.py --only digits --quality 20

It needs two cores for itself, and the data sets of WELLFIT_MIRROR or the network.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as wellfit.commands.process has it; torch reads it once

import argparse
import json
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from math import sqrt
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple
from unittest import mock

import study_limit
import study_peers
import torch
from scipy.stats import t as student
from study_arms import (
    CASES,
    CURRENT,
    Ended,
    Problem,
    pack_study,
    prepare_case,
    project,
    single_trials,
    usual_study,
)

from wellfit.errors import WellfitError
from wellfit.machine import core_count

ROUNDS, TRIALS = 5, 64
PACK_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
GO_ON = 4  # times as many trials may (c) take to reach the best score of (a)
RESULTS = Path(__file__).parent / "results" / "tuning.json"

Result = dict[str, Any]


class Budget(NamedTuple):
    """How much is run."""

    rounds: int
    trials: int
    all_trials: bool
    studies: int
    peers: tuple[str, ...] = ()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[case.dataset for case in CASES], help="one data set")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--trials", type=int, default=TRIALS, help="of each study")
    parser.add_argument("--epochs", type=int, help="of each trial, instead of those of the case")
    parser.add_argument("--all", action="store_true", help="(a) and (b) train all trials, too, not a sample")
    parser.add_argument("--peers", nargs="+", choices=["jax", "sklearn"], default=[], help="train all trials, too")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--time-to-best", action="store_true", help="with pruning: until (c) has the best score of (a)")
    part.add_argument("--quality", type=int, metavar="N", help="best scores of N studies, (c) minus (a)")
    part.add_argument("--growth", action="store_true", help="trials per second and memory for packs of 1 to 128")
    part.add_argument("--logging", action="store_true", help="share of MLflow and Optuna's storage in the time of (c)")
    part.add_argument("--limit", action="store_true", help="where the time of a step goes")
    options = parser.parse_args()
    budget = Budget(options.rounds, options.trials, options.all, options.quality or 0, tuple(options.peers))
    parts: dict[str, Callable[[Problem, Path, Budget], Result]] = {
        "time_to_best": time_to_best,
        "quality": quality,
        "growth": growth,
        "logging": logging_share,
        "limit": limit,
    }
    name = next((name for name in parts if getattr(options, name)), "rate")
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            if options.only in (None, case.dataset):
                try:
                    problem = prepare_case(case, Path(folder), options.epochs)
                    results[case.dataset] = parts.get(name, rate)(problem, Path(folder), budget)
                except WellfitError as error:
                    print(f"{case.dataset}: skipped, {error}", file=sys.stderr)
    if (options.rounds, options.trials, options.epochs) == (ROUNDS, TRIALS, None):
        save(name, results)


def save(name: str, results: Result) -> None:
    """Puts the results of a part beside those of the others."""
    tree = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    tree["machine"] = {"torch": torch.__version__, "machine": platform.machine(), "cores": core_count()}
    tree[name] = tree.get(name, {}) | results
    RESULTS.write_text(json.dumps(tree, indent=2) + "\n")
    print(f"written to {RESULTS}")


def rate(problem: Problem, folder: Path, budget: Budget) -> Result:
    """Seconds of a study without pruning in the three arms, in alternating rounds."""
    threads = faster_threads(problem)
    with project(folder) as root:  # does not count: it imports
        pack_study(problem, root, n_trials=2)
    usual, single, packs = [], [], []
    others: dict[str, list[float]] = {name: [] for name in budget.peers}
    sample = budget.trials if budget.all_trials else min(problem.case.sample, budget.trials)
    for _ in range(budget.rounds):
        with project(folder) as root:
            study = pack_study(problem, root, budget.trials)
        packs.append(study.seconds)
        for name, each in others.items():
            each.append(study_peers.seconds(name, problem, [trial.values for trial in study.trials]))
        values = [study.trials[i * budget.trials // sample].values for i in range(sample)]
        scale = budget.trials / sample
        usual.append(scale * timed(lambda: usual_study(problem, threads["usual"], trials=values)))  # noqa: B023
        single.append(scale * timed(lambda: single_trials(problem, threads["single"], values)))  # noqa: B023
    against_usual, against_single = ratios(usual, packs), ratios(single, packs)
    of = "" if sample == budget.trials else f", from {sample} of them"
    print(
        f"{problem.case}: {budget.trials} trials of {problem.params.train.epochs} epochs: "
        f"usual script {statistics.median(usual):.2f} s ({threads['usual']} threads{of}), "
        f"single loop {statistics.median(single):.2f} s ({threads['single']} threads{of}), "
        f"packs {statistics.median(packs):.2f} s; (c) against (a) {shown(against_usual)}, (b) {shown(against_single)}",
        flush=True,
    )
    against = {name: ratios(seconds, packs) for name, seconds in others.items()}
    for name, seconds in others.items():
        print(f"  {name} {statistics.median(seconds):.2f} s; (c) against it {shown(against[name])}", flush=True)
    return {
        "network": str(problem.case),
        "trials": budget.trials,
        "epochs": problem.params.train.epochs,
        "sample": sample,
        "threads": threads,
        "usual_seconds": rounded(usual),
        "single_seconds": rounded(single),
        "pack_seconds": rounded(packs),
        "against_usual": summary(against_usual),
        "against_single": summary(against_single),
        "peers": {name: {"seconds": rounded(others[name]), "against": summary(against[name])} for name in others},
    }


class Race(NamedTuple):
    """A study of (a) and one of (c) with the median pruner, each with a sampler of its own.

    Attributes:
        usual_best: validation loss after all trials.
        usual_seconds: of the study.
        usual_when: seconds until it had its best.
        pack_best: validation loss after as many trials.
        pack_when: seconds until (c) had the best of (a); None where it never had.
    """

    usual_best: float
    usual_seconds: float
    usual_when: float
    pack_best: float
    pack_when: float | None


def race(problem: Problem, folder: Path, trials: int, seed: int, threads: int, most_trials: int) -> Race:
    """Runs (a), then (c), which goes on with more trials until it has the best score of (a) or ``most_trials``."""
    usual = usual_study(problem, threads, n_trials=trials, seed=seed, prune=True)
    target = best_of(usual)
    with project(folder) as root:
        study = pack_study(problem, root, trials, seed=seed, prune=True)
        pack_best, pack_when, before = best_of(study.trials), time_of(study.trials, target), 0.0
        while pack_when is None and trials * 2 <= most_trials:
            trials, before = trials * 2, before + study.seconds
            study = pack_study(problem, root, trials, seed=seed, prune=True)
            if (reached := time_of(study.trials, target)) is not None:
                pack_when = before + reached
    return Race(target, usual[-1].seconds, time_of(usual, target) or 0.0, pack_best, pack_when)


def time_to_best(problem: Problem, folder: Path, budget: Budget) -> Result:
    """Seconds until (c) has the best score that (a) has after all its trials, over studies of different seeds."""
    threads = faster_threads(problem)["usual"]
    most = GO_ON * budget.trials
    races = [race(problem, folder, budget.trials, seed, threads, most) for seed in range(budget.rounds)]
    reached = [each for each in races if each.pack_when is not None]
    to_all = [each.usual_seconds / each.pack_when for each in reached if each.pack_when]
    to_best = [each.usual_when / each.pack_when for each in reached if each.pack_when]
    print(
        f"{problem.case}: best of (a) reached in {len(reached)} of {len(races)} studies"
        + (f", {shown(to_all)} times as fast as (a) ended, {shown(to_best)} as (a) had it" if reached else ""),
        flush=True,
    )
    return {
        "studies": [each._asdict() for each in races],
        "against_whole_study": summary(to_all),
        "against_best_trial": summary(to_best),
    }


def quality(problem: Problem, folder: Path, budget: Budget) -> Result:
    """The difference of the best validation loss after equally many trials, (c) minus (a), with a 95 % t interval."""
    threads = faster_threads(problem)["usual"]
    races = [race(problem, folder, budget.trials, seed, threads, budget.trials) for seed in range(budget.studies)]
    differences = [each.pack_best - each.usual_best for each in races]
    mean, n = statistics.mean(differences), len(differences)
    half = student.ppf(0.975, n - 1) * statistics.stdev(differences) / sqrt(n) if n > 1 else float("nan")
    usual = statistics.mean(each.usual_best for each in races)
    print(
        f"{problem.case}: best val/loss after {budget.trials} trials, {n} studies: (a) {usual:.5f}, "
        f"(c) minus (a) {mean:+.5f} (95 %: {mean - half:+.5f} to {mean + half:+.5f})",
        flush=True,
    )
    return {
        "usual_best": [each.usual_best for each in races],
        "pack_best": [each.pack_best for each in races],
        "difference_mean": mean,
        "difference_interval": [mean - half, mean + half],
    }


def growth(problem: Problem, folder: Path, budget: Budget) -> Result:
    """Trials per second and memory of packs alone, each in a new process or, with its fork, in two."""
    del budget
    rows = {}
    for processes in (1, 2):
        for size in PACK_SIZES[processes - 1 :]:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                row = pool.submit(study_limit.growth, problem.case, folder, size, processes).result()
            print(
                f"{problem.case}, {processes} processes, K = {size}: {row['trials_per_second']:.2f} trials/s, "
                f"{row['microseconds']:.0f} us a step and member, peak {row['peak_mb']} MB, {row['pack_mb']} MB of it "
                "by the pack",
                flush=True,
            )
            rows[f"{size} members, {processes} processes"] = row
    return rows


class NoPublisher:
    """Stands in for the publisher, and copies nothing."""

    def __init__(self, *_: object) -> None: ...
    def __enter__(self) -> "NoPublisher":
        return self

    def __exit__(self, *_: object) -> None: ...
    def open(self, *_: object, **__: object) -> None: ...
    def add(self, *_: object) -> None: ...
    def finish(self, *_: object) -> None: ...


def logging_share(problem: Problem, folder: Path, budget: Budget) -> Result:
    """How much longer (c) takes with MLflow and Optuna's storage, in alternating rounds."""
    with_publisher, without = [], []
    for _ in range(budget.rounds + 1):
        with project(folder) as root:
            with_publisher.append(pack_study(problem, root, budget.trials).seconds)
        with project(folder) as root, mock.patch("wellfit.stages.tune.Publisher", NoPublisher):
            without.append(pack_study(problem, root, budget.trials).seconds)
    shares = sorted(1 - bare / whole for whole, bare in zip(with_publisher[1:], without[1:], strict=True))
    print(f"{problem.case}: share of logging {shown([100 * share for share in shares])} %", flush=True)
    return {"seconds": rounded(with_publisher[1:]), "seconds_without": rounded(without[1:]), "share": summary(shares)}


def limit(problem: Problem, folder: Path, budget: Budget) -> Result:
    """Microseconds of steps and their parts, the lowest of several measurements."""
    del folder, budget
    columns = [study_limit.microseconds(problem, threads) for threads in (1, 2)]
    print(f"{problem.case}: microseconds a step and member with 1 and 2 threads")
    for name in columns[0]:
        print(f"  {name:26} {columns[0][name]:8.0f} {columns[1][name]:8.0f}", flush=True)
    return {name: [round(column[name], 1) for column in columns] for name in columns[0]}


def faster_threads(problem: Problem) -> dict[str, int]:
    """One or two threads for (a) and (b): which trains the current values faster, at the second of two tries."""
    arms: dict[str, Callable[[int], object]] = {
        "usual": lambda threads: usual_study(problem, threads, trials=[CURRENT]),
        "single": lambda threads: single_trials(problem, threads, [CURRENT]),
    }
    chosen = {}
    for name, arm in arms.items():
        seconds = {threads: [timed(lambda: arm(threads)) for _ in range(2)][1] for threads in (1, 2)}  # noqa: B023
        chosen[name] = min(seconds, key=lambda threads: seconds[threads])
    return chosen


def best_of(trials: Sequence[Ended]) -> float:
    return min(trial.best for trial in trials if trial.best is not None)


def time_of(trials: Sequence[Ended], target: float) -> float | None:
    """When the first trial with a score as good as the target ended."""
    return min((each.seconds for each in trials if each.best is not None and each.best <= target), default=None)


def timed(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started


def ratios(slow: Sequence[float], fast: Sequence[float]) -> list[float]:
    return [numerator / denominator for numerator, denominator in zip(slow, fast, strict=True)]


def rounded(seconds: Sequence[float]) -> list[float]:
    return [round(each, 3) for each in seconds]


def summary(values: Sequence[float]) -> Result | None:
    if not values:
        return None
    return {"median": round(statistics.median(values), 3), "range": [round(min(values), 3), round(max(values), 3)]}


def shown(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
