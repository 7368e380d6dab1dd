"""What stands in each section of the page, from what the stages have left."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from wellfit.baselines.comparison import base_rate
from wellfit.data.catalog import CATALOG
from wellfit.data.meta import SPLIT_NAMES, Meta, SplitName
from wellfit.data.store import Split, load_split
from wellfit.metrics.intervals import mean_interval
from wellfit.metrics.names import is_higher_better, score_name
from wellfit.report import charts, examples
from wellfit.report.content import MISSING, Share, Table, cell, rows_in_words, score, score_cell, scores, with_interval
from wellfit.report.ensemble import model_in_words
from wellfit.report.leakage import leakage
from wellfit.report.records import Evaluated, Training, Tuning
from wellfit.report.study import StudyCharts
from wellfit.training.curves import end_of
from wellfit.tuning.report import chosen

BEST_TRIALS = 10
MOST_COLUMNS = 60  # of the data set, in the table of its columns
MOST_TRIALS = 200  # in the table of all
MANY_PARTS = 20  # classes above which a table of parts is folded
MEANINGS = {
    "accuracy": "share of the rows predicted right",
    "balanced_accuracy": "mean over the classes of the share predicted right",
    "macro_f1": "F1, mean over the classes",
    "weighted_f1": "F1, mean over the classes by their rows",
    "log_loss": "mean of −log of the probability given to the true class; lower is better",
    "roc_auc": "probability that a row of a class is ranked above one of another",
    "ece": "expected calibration error: by how much confidence and accuracy differ; lower is better",
    "precision": "share of the rows taken for a class that are of it",
    "recall": "share of a class's rows that are found",
    "f1": "harmonic mean of precision and recall",
    "average_precision": "area under precision against recall",
    "rmse": "root of the mean squared error, in the target's unit; lower is better",
    "mae": "mean absolute error, in the target's unit; lower is better",
    "r2": "share of the target's variance that is explained",
    "msle": "mean squared error of log(1 + value); lower is better",
}
BY_CLASS = ("roc_auc", "precision", "recall", "f1", "average_precision")


def headline(run: Evaluated) -> str:
    """The result in a sentence."""
    name = "accuracy" if run.is_classification else "rmse"
    value, interval = with_interval(run.metrics, name)
    return (
        f"Test {score_name(name)} {value}, 95 % interval {interval}: {model_in_words(run)} on "
        f"{rows_in_words(len(run.test.y))} whose targets no other stage has seen."
    )


def results(run: Evaluated) -> dict[str, Any]:
    """Scores, charts of the predictions, classes, mistakes."""
    names_of_scores = [name for name, value in run.metrics.items() if name in MEANINGS and value is not None]
    names = run.meta.class_names
    whose = f", of {names[1]}" if len(names) == 2 else ", mean over the classes"
    rows = [
        [score_name(name), *_with_rate(run, name), MEANINGS[name] + whose * (name in BY_CLASS)]
        for name in names_of_scores
    ]
    header = ["score", "value", "95 % interval", *(["constant"] if run.baselines else []), "meaning"]
    classes = [[name, *map(Share, shares), support] for name, *shares, support in run.per_class]
    if run.is_classification:
        mistakes = examples.wrong_classes(run.test, run.predictions, run.meta, run.decided.decision.threshold)
    else:
        mistakes = examples.wrong_numbers(run.test, run.predictions, run.meta)
    return {
        "warnings": leakage(run.meta, run.metrics),
        "scores": Table("Test scores, with bootstrap intervals over the rows", header, rows),
        "charts": run.charts,
        "classes": Table("Each class on its own", ["class", "precision", "recall", "F1", "rows"], classes)
        if run.is_classification
        else None,
        "fold_classes": len(names) > MANY_PARTS,
        "mistakes": mistakes,
    }


def training(run: Evaluated, found: Training | None) -> dict[str, Any]:
    """How the training went, its verdict and curves; that it is not known, where its records are not there."""
    if found is None:
        return {"says": "reports/train has no records of the training of this checkpoint."}
    config = run.checkpoint.info["config"]["train"]
    at_most, monitor = config["epochs"], config["monitor"]
    ended = f"Stopped early, after {found.epochs} of at most {at_most} epochs"
    if found.epochs == at_most:
        ended = f"All {at_most} epochs ran"
    names = dict.fromkeys(["loss", "accuracy" if run.is_classification else "rmse", monitor.removeprefix("val/")])
    drawn = [
        charts.curves(found.history, found.best_epoch, name)
        for name in names
        if {f"train/{name}", f"val/{name}"} <= found.history.keys()
    ]
    drawn += [charts.single_curve(found.history, column) for column in ("lr", "grad_norm")]
    return {
        "says": f"{ended}; the weights of epoch {found.best_epoch} were kept, the best by {monitor}.",
        "verdict": found.warnings,
        "no_warning": _no_warning(found),
        "charts": drawn,
        "summary": found.summary,
    }


def _no_warning(found: Training) -> str:
    """What a verdict without warnings says: early stopping lets the validation loss rise after the best epoch."""
    kept, val_loss = found.best_epoch, found.history["val/loss"]
    says = "{} show neither over- nor under-fitting, and gradients, learning rate and units are in order."
    at_best, later = val_loss[kept - 1], np.array(val_loss[kept:])
    if not len(later) or (at_end := end_of(later)) <= at_best:
        return says.format("No warning: the curves")
    up_to = says.format(f"No warning: up to epoch {kept}, whose weights are kept, the curves")
    return f"{up_to} After it the validation loss rose, from {at_best:.3g} to {at_end:.3g}."


def tuning(run: Evaluated, found: Tuning | None) -> dict[str, Any]:
    """What tuning tried and chose; or that there was none."""
    if found is None:
        return {"says": "reports/tune has no record of a study: the stage was not run."}
    if not found.trials:
        return {"says": "Tuning was off, or had nothing to search: the values of params.yaml were used."}
    if found.data_sha256 != run.meta.sha256:
        return {"says": "reports/tune is of other data than these, and is not shown."}
    study = StudyCharts(found.trials, run.params)
    monitor = study.monitor
    header = ["trial", monitor, "best epoch", *study.keys]
    rows = [[str(t.number), score_cell(monitor, t.value), t.best_epoch, *t.values.values()] for t in study.ranked]
    listed = [
        [str(t.number), t.state, score_cell(monitor, t.value), t.epochs, *t.values.values()]
        for t in found.trials[:MOST_TRIALS]
    ]
    of_all = f"The first {MOST_TRIALS} of {len(found.trials):,} trials; reports/tune/trials.csv has all"
    says = f"{len(found.trials)} trials were compared by {monitor}."
    says += _choice(found, study)
    if not found.importance:
        says += " How much each key mattered is not known."
    return {
        "says": says,
        "repeats": _repeated(found, monitor),
        "best": Table(
            f"The best {min(BEST_TRIALS, len(rows))} of {len(rows)} completed trials", header, rows[:BEST_TRIALS]
        ),
        "trials": Table(
            of_all if len(found.trials) > MOST_TRIALS else "All trials",
            ["trial", "state", monitor, "epochs", *study.keys],
            listed,
        ),
        "charts": [
            study.history(),
            *([study.importance(found.importance)] if found.importance else []),
            study.parallel(),
        ],
        "slices": study.slices(),
        "ranks": study.ranks(found.importance),
    }


def _repeated(found: Tuning, monitor: str) -> Table | None:
    """The leading trials beside what they come to with other seeds."""
    if not any(found.repeats.values()):
        return None
    values = {trial.number: trial.value for trial in found.trials}
    rows = []
    for number, of_seeds in found.repeats.items():
        mean, low, high = mean_interval(list(of_seeds.values()))
        ends = [score_cell(monitor, None if math.isnan(end) else end) for end in (low, high)]
        rows.append([str(number), score_cell(monitor, values[number]), score_cell(monitor, mean), *ends, len(of_seeds)])
    header = ["trial", monitor, "mean", "low", "high", "seeds"]
    return Table("The leading trials with other seeds, the mean and its 95\N{NO-BREAK SPACE}% interval", header, rows)


def _choice(found: Tuning, study: StudyCharts) -> str:
    """Which trial was chosen, and why."""
    winner = chosen(found.trials, found.repeats, higher_is_better=is_higher_better(study.monitor))
    if winner is None or winner.value is None:
        return ""
    values = ", ".join(f"{key} {cell(value)}" for key, value in winner.values.items())
    of_seeds = found.repeats.get(winner.number)
    if not of_seeds:
        return f" Trial {winner.number} was the best, with {score(study.monitor, winner.value)}: {values}."
    mean, low, high = mean_interval(list(of_seeds.values()))
    average, single = score(study.monitor, mean), score(study.monitor, winner.value)
    between = ""
    if math.isfinite(low):
        between = ", 95\N{NO-BREAK SPACE}% interval {} to {}".format(*scores(study.monitor, [low, high]))
    better = mean > winner.value if is_higher_better(study.monitor) else mean < winner.value
    word = "the same as" if average == single else "better than" if better else "worse than"
    others = f", the best of the {len(found.repeats)} leading trials" if len(found.repeats) > 1 else ""
    return (
        f" Trial {winner.number} was chosen: {values}. Trained again with {len(of_seeds)} other "
        f"seed{'s' * (len(of_seeds) > 1)}, it has {study.monitor} {average} on average{between}{others}; this is "
        f"{word} the {single} that it had in the study."
    )


def data(run: Evaluated) -> dict[str, Any]:
    """Where the data come from, how they are split, and what they look like."""
    meta, entry = run.meta, CATALOG[run.meta.name]
    splits: dict[SplitName, Split] = {
        name: run.test if name == "test" else load_split(run.data_folder, meta, name) for name in SPLIT_NAMES
    }
    total = sum(meta.split_sizes.values())
    sizes = [[name, meta.split_sizes[name], Share(meta.split_sizes[name] / total)] for name in SPLIT_NAMES]
    balance: Table | None = None
    if run.is_classification:
        counts = {name: np.bincount(split.y, minlength=len(meta.class_names)) for name, split in splits.items()}
        rows = [[name, *(int(counts[s][i]) for s in SPLIT_NAMES)] for i, name in enumerate(meta.class_names)]
        balance = Table("Rows of each class", ["class", *SPLIT_NAMES], rows)
        drawn = charts.class_balance(meta.class_counts, meta.class_names)
    else:
        y, y_test = (np.asarray(splits[name].y, np.float64) for name in ("train", "test"))
        drawn = charts.target(y, y_test, meta.target_name)
    pictures, table = examples.samples(splits["train"], meta)
    return {
        "says": (
            f"{meta.title}: {_shape(meta)}, to predict {meta.target_name}. Source: {entry.source}; licence: "
            f"{entry.licence}.{f' Target: {meta.target_note}.' if meta.target_note else ''}"
        ),
        "sizes": Table("Splits", ["split", "rows", "share"], sizes),
        "balance": balance,
        "fold_balance": len(meta.class_names) > MANY_PARTS,
        "charts": [drawn],
        "columns": _columns(meta),
        "pictures": pictures,
        "samples": table,
        "warnings": meta.warnings,
    }


def _shape(meta: Meta) -> str:
    if meta.kind == "table":
        return f"a table of {len(meta.columns)} columns"
    channels, height, width = meta.input_shape
    return f"{'grey' if channels == 1 else 'colour'} images of {height} × {width} pixels"


def _columns(meta: Meta) -> Table | None:
    if meta.kind == "images":
        return None
    rows: list[Sequence[Any]] = []
    for i, column in enumerate(meta.columns[:MOST_COLUMNS]):
        if column.fill is None:
            listed = ", ".join(column.categories[:6]) + (", …" if len(column.categories) > 6 else "")
            rows.append([column.name, f"{len(column.categories)} categories: {listed}", MISSING, MISSING, MISSING])
        else:
            filled = column.fill if column.flags_missing else MISSING
            rows.append([column.name, "numbers", meta.mean[i], meta.std[i], filled])
    more = f" (the first {MOST_COLUMNS} of {len(meta.columns)})" if len(meta.columns) > MOST_COLUMNS else ""
    header = ["column", "holds", "mean", "standard deviation", "gaps filled with"]
    return Table(f"Columns{more}, statistics of the training rows", header, rows)


def cards(run: Evaluated, trained: Training | None) -> list[tuple[str, str, str]]:
    """The few numbers that matter most: name, value, what more to know."""
    names = ("accuracy", "macro_f1", "roc_auc") if run.is_classification else ("rmse", "mae", "r2")
    found = []
    for name in names:
        value, interval, *rate = _with_rate(run, name)
        found.append((f"test {score_name(name)}", value, "; constant ".join([interval, *rate])))
    if trained is not None:
        count = len(trained.warnings)
        verdict = f"{count or 'no'} warning{'s' * (count > 1)}"
        found.append(("training", verdict, f"epoch {trained.best_epoch} of {trained.epochs} kept"))
    return found


def _with_rate(run: Evaluated, name: str) -> list[str]:
    """A test score, its interval, and what a constant has, which has learned nothing, where one was fitted."""
    rates = base_rate(run.baselines)
    *_, rate = scores(name, [run.metrics[name], rates.get(name)])
    return [*with_interval(run.metrics, name), *([rate] if rates else [])]
