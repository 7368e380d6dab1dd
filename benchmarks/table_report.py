"""Results of benchmarks/tables.py as the tables of docs/tables.md."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from table_catalog import BY_NAME, NAMES
from table_peers import PEERS

from wellfit.metrics.intervals import mean_interval
from wellfit.metrics.names import is_higher_better, score_name

REFERENCE = "hgb"
CURVE_PEERS = ("hgb", "realmlp")  # which stand beside a curve
TRIALS = "tune.n_trials="  # settings of a curve begin with it
DIGITS = ".4g"

Run = dict[str, Any]
Cell = Callable[[list[Run]], str]


def markdown(runs: Sequence[Run]) -> str:
    """All tables: scores of each arm, its differences to the reference, seconds, and curves where there are any."""
    curves = [run for run in runs if any(text.startswith(TRIALS) for text in run["settings"])]
    whole = [run for run in runs if run not in curves]
    measured = {run["table"] for run in curves}
    beside = [run for run in whole if run["arm"] in CURVE_PEERS and run["table"] in measured]
    classes = [run for run in whole if run["main_score"] != "rmse"]
    reference = {(run["table"], run["seed"]): run for run in whole if arm_of(run) == REFERENCE}
    others = [run for run in whole if arm_of(run) != REFERENCE and (run["table"], run["seed"]) in reference]
    parts = {
        "Main score of the test rows, the median over seeds": matrix(whole, main_score),
        "The same with its 95 % interval, of which the ends are medians, too": matrix(whole, with_interval),
        f"Better than {title(REFERENCE)} by: mean over seeds and its 95 % interval": matrix(
            others, lambda cell: difference(cell, [reference[run["table"], run["seed"]] for run in cell])
        ),
        "ROC AUC, the median over seeds": matrix(classes, lambda cell: median(cell, "roc_auc"), has_main_score=False),
        "Log loss, the median over seeds": matrix(classes, lambda cell: median(cell, "log_loss"), has_main_score=False),
        "Seconds, the median over seeds": matrix(whole, seconds, has_main_score=False),
        "Trials: main score after seconds": matrix(
            [*curves, *beside], lambda cell: f"{main_score(cell)} after {seconds(cell)} s"
        ),
    }
    return "\n\n".join(f"**{heading}**\n\n{lines}" for heading, lines in parts.items() if lines)


def line(run: Run) -> str:
    """A run in one line."""
    took = f", {seconds([run])} s" if run["seconds"] is not None else ""
    return f"{arm_of(run)}: {score_name(run['main_score'])} {with_interval([run])}{took}"


def matrix(runs: Sequence[Run], cell: Cell, *, has_main_score: bool = True) -> str:
    """A row for each table and a column for each arm, in which ``cell`` says what the runs of all seeds come to."""
    arms = list(dict.fromkeys(arm_of(run) for run in sorted(runs, key=order)))
    rows = []
    for name in NAMES:
        own = [run for run in runs if run["table"] == name]
        if own:
            held_out = " (held out)" if name in BY_NAME and BY_NAME[name].held_out else ""
            score = [score_name(own[0]["main_score"])] if has_main_score else []
            cells = [[run for run in own if arm_of(run) == arm] for arm in arms]
            rows.append([f"{name}{held_out}", *score, *(cell(each) if each else "" for each in cells)])
    header = ["table", *(["main score"] if has_main_score else []), *map(title, arms)]
    lines = [header, ["---"] * len(header), *rows] if rows else []
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def arm_of(run: Run) -> str:
    """The arm with its settings."""
    return " ".join([run["arm"], *run["settings"]])


def order(run: Run) -> tuple[bool, int, int]:
    """wellfit first, by its settings; then the peers as they are listed."""
    trials = next((int(text.removeprefix(TRIALS)) for text in run["settings"] if text.startswith(TRIALS)), 0)
    return run["arm"] in PEERS, list(PEERS).index(run["arm"]) if run["arm"] in PEERS else 0, trials


def title(arm: str) -> str:
    """What an arm is called in print."""
    return PEERS[arm].title if arm in PEERS else arm.replace(TRIALS, "") + " trials" * (TRIALS in arm)


def median(runs: Sequence[Run], score: str, part: int = 0) -> str:
    """The median over seeds of a score, or of the low (1) or high (2) end of its interval."""
    return format(statistics.median(run["scores"][score][part] for run in runs), DIGITS)


def main_score(runs: Sequence[Run]) -> str:
    """The median over seeds."""
    return median(runs, runs[0]["main_score"])


def with_interval(runs: Sequence[Run]) -> str:
    """The median over seeds, with the medians of the ends of the bootstrap intervals."""
    value, low, high = (median(runs, runs[0]["main_score"], part) for part in range(3))
    return f"{value} [{low}, {high}]"


def difference(runs: Sequence[Run], reference: Sequence[Run]) -> str:
    """By how much the main score is better than that of the reference on the same splits; above zero is better.

    The interval is Student's t of the differences, which the spread of the splits themselves does not widen.
    """
    score = runs[0]["main_score"]
    sign = 1 if is_higher_better(score) else -1
    gains = [sign * (a["scores"][score][0] - b["scores"][score][0]) for a, b in zip(runs, reference, strict=True)]
    mean, low, high = mean_interval(gains)
    return f"{mean:+.3g}" + (f" [{low:+.3g}, {high:+.3g}]" if len(gains) > 1 else "")


def seconds(runs: Sequence[Run]) -> str:
    """The median over those seeds that were timed."""
    timed = [run["seconds"] for run in runs if run["seconds"] is not None]
    return format(statistics.median(timed), ".1f") if timed else ""
