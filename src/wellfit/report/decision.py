"""The section of what was decided on validation rows: probabilities, threshold, sets and intervals."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from wellfit.charts import decision as charts
from wellfit.data.meta import Meta, Task
from wellfit.metrics.conformal import Coverage
from wellfit.metrics.decision import Decision, Outputs
from wellfit.metrics.folds import row_weights
from wellfit.metrics.intervals import EvaluateConfig
from wellfit.metrics.names import score_name
from wellfit.metrics.predictions import ClassificationScores, confusion_counts
from wellfit.metrics.threshold import DEFAULT_THRESHOLD, ThresholdCurve, threshold_curve
from wellfit.report.charts import confusion_matrix, reliability
from wellfit.report.content import Chart, Share, Table, in_print, number, percent, score_cell

MANY_GROUPS = 20  # above which the table of groups is folded
# What stands beside a score of the decision, by where `metrics.json` has it.
OTHERWISE = {"threshold/at_half": f"at threshold {DEFAULT_THRESHOLD}", "calibration/none": "without the temperature"}

SIZES: dict[Task, str] = {"classification": "mean number of classes", "regression": "mean width"}


class Decided(NamedTuple):
    """What validation rows have decided, and what became of it on test rows.

    Attributes:
        decision: that.
        coverage: of all test rows, then of each group; empty where none was asked for.
        charts: by name, in the order of the page.
    """

    decision: Decision = Decision()
    coverage: Sequence[Coverage] = ()
    charts: Mapping[str, Chart] = {}


def section(decided: Decided, metrics: Mapping[str, float | None], task: Task) -> dict[str, Any] | None:
    """Sentences, scores as they would be otherwise, charts, coverage by group; None where nothing was decided.

    Args:
        decided: by validation rows.
        metrics: as in ``metrics.json``.
        task: classification or regression.
    """
    says = [in_print(f"{note[0].upper()}{note[1:]}.") for note in decided.decision.notes]
    if decided.coverage:
        says.append(coverage_in_words(decided.coverage[0], decided.decision, task))
    if not says:
        return None
    others = [
        [score_name(name), score_cell(name, metrics[name.rpartition("/")[2]]), score_cell(name, value), words]
        for place, words in OTHERWISE.items()
        for name, value in metrics.items()
        if name.startswith(f"{place}/")
    ]
    header = ["score", "as decided", "otherwise", "otherwise means"]
    return {
        "says": says,
        "scores": Table("Scores of the test split without what was decided", header, others) if others else None,
        "charts": list(decided.charts.values()),
        "coverage": _table(decided.coverage, task),
        "fold_coverage": len(decided.coverage) > MANY_GROUPS,
    }


def coverage_in_words(found: Coverage, decision: Decision, task: Task) -> str:
    """How often the truth was held, how often that was asked, and why it may be a little less."""
    what = "Sets of classes" if task == "classification" else "Intervals"
    size = number(found.size) if math.isfinite(found.size) else "infinite"
    by = " Sets go by the probabilities, so the class that the threshold predicts may not be in them."
    return (
        f"{what} hold the truth in {percent(found.coverage)} of the test rows, "
        f"95\N{NO-BREAK SPACE}% interval {percent(found.low)} to {percent(found.high)}, where "
        f"{percent(decision.coverage or 0.0)} was asked for; their {SIZES[task]} is {size}. The validation rows that "
        "they come from also chose the epoch and the trial, so the coverage of new rows may lie slightly below what "
        f"was asked for.{by * (decision.threshold != DEFAULT_THRESHOLD)}"
    )


def _table(coverage: Sequence[Coverage], task: Task) -> Table | None:
    if not coverage:
        return None
    rows = [[c.group, Share(c.coverage), Share(c.low), Share(c.high), c.size, c.rows] for c in coverage]
    header = ["rows", "held", "low", "high", SIZES[task], "number of rows"]
    return Table("How often the truth was held, with Wilson intervals", header, rows)


def _coverage(coverage: Sequence[Coverage], asked: float) -> Chart:
    groups = coverage[1:]
    says = f"The dotted line is what was asked for, {percent(asked)}, on average over all rows."
    if groups:
        lowest = min(groups, key=lambda each: each.coverage)
        says += f" Lowest for {lowest.group}: {percent(lowest.coverage)}."
    return Chart("Coverage", says, charts.coverage_by_group(coverage, asked))


def charts_of(
    decision: Decision,
    coverage: Sequence[Coverage],
    val: Outputs,
    test: Outputs,
    meta: Meta,
    config: EvaluateConfig,
) -> dict[str, Chart]:
    """Charts of what was decided, by name: of the threshold and of the temperature where they change something.

    Args:
        decision: of validation rows.
        coverage: of all test rows, then of each group; empty where none was asked for.
        val: validation rows.
        test: test rows.
        meta: of the data.
        config: the section ``evaluate``.
    """
    found = _of_probabilities(decision, val, test, meta, config) if meta.task == "classification" else {}
    if coverage:
        found["coverage"] = _coverage(coverage, decision.coverage or 0.0)
    return found


def _of_probabilities(
    decision: Decision, val: Outputs, test: Outputs, meta: Meta, config: EvaluateConfig
) -> dict[str, Chart]:
    found: dict[str, Chart] = {}
    y, rows = np.asarray(test.y), {"validation": val, "test": test}
    probabilities = {name: decision.predictions(each.outputs, meta) for name, each in rows.items()}
    if decision.threshold != DEFAULT_THRESHOLD:
        counts = confusion_counts(y, probabilities["test"].argmax(axis=1), len(meta.class_names))
        title = f"Confusion matrix at {DEFAULT_THRESHOLD}"
        found["confusion_matrix_at_half"] = confusion_matrix(counts, meta.class_names)._replace(title=title)
    if not isinstance(config.threshold, float):
        curves = {
            name: threshold_curve(
                np.asarray(each.y),
                probabilities[name][:, 1],
                row_weights(each.weights, len(each.y)),
                config.threshold,
                decision.threshold,
            )
            for name, each in rows.items()
        }
        found["threshold"] = _threshold(curves, meta.class_names[1])
    if decision.temperature != 1.0:
        raw = Decision().predictions(test.outputs, meta)
        ece = ClassificationScores(y, raw, config.calibration_bins)(row_weights(test.weights, len(y)))["ece"]
        chart = reliability(y, raw, config.calibration_bins, ece)
        found["reliability_without_temperature"] = chart._replace(title="Reliability without the temperature")
    return found


def _threshold(curves: Mapping[str, ThresholdCurve], class_name: str) -> Chart:
    val, test = curves["validation"], curves["test"]
    says = (
        f"{class_name} is predicted where its probability is above {val.chosen:.4g}, chosen on validation rows for "
        f"{val.words}: {number(val.at(val.chosen))} there, {number(test.at(test.chosen))} on test rows. At "
        f"{DEFAULT_THRESHOLD} it would be {number(val.at(DEFAULT_THRESHOLD))} and {number(test.at(DEFAULT_THRESHOLD))}."
    )
    return Chart("Threshold", says, charts.threshold_curves(curves))
