"""``reports/comparisons/NAME/``: what a comparison found, as a page, as tables and in pictures."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wellfit.charts import comparison_curves, comparison_plots
from wellfit.charts.comparison_plots import Boundaries
from wellfit.charts.seeds import mean_over_seeds
from wellfit.charts.style import plain, save
from wellfit.compare.comparison import NamedComparison
from wellfit.compare.finding import Finding
from wellfit.compare.measures import Measure
from wellfit.compare.outcome import Outcome
from wellfit.compare.page import write_page
from wellfit.compare.statistics import Result, results_of
from wellfit.data.meta import Meta
from wellfit.files import replacing, write_csv, write_text
from wellfit.training.record import TIMING

TABLE_COLUMNS = (
    "variant", "measure", "mean", "low", "high", "difference", "difference_low", "difference_high", "best_epoch",
    "seconds",
)  # fmt: skip


@dataclass(frozen=True)
class Report:
    """What a comparison came to.

    Attributes:
        finding: one sentence.
        summary: what the page says above its pictures, as Markdown.
        metrics: means over the seeds by name, ``mean/<variant>/<measure>`` and ``difference/<variant>/<measure>``, with
            the characters that names of metrics in MLflow may have.
    """

    finding: str
    summary: str
    metrics: dict[str, float]


def write_report(
    folder: Path, named: NamedComparison, meta: Meta, outcomes: Sequence[Outcome], boundaries: Boundaries | None
) -> Report:
    """Writes the whole folder, or leaves it as it was.

    Args:
        folder: ``reports/comparisons/NAME``.
        named: the comparison.
        meta: of the data.
        outcomes: of every variant and seed, in any order.
        boundaries: decisions of the first seed; None where the data have not two features and two classes.

    Raises:
        WellfitError: a measure that is a score of none of the trainings.
        OSError: a file cannot be written.
    """
    comparison = named.comparison
    results = results_of(list(comparison.variants), comparison.measure, outcomes)
    measures = [Measure(key) for key in comparison.measure]
    sentence = Finding(results, measures, meta).sentence
    with replacing(folder) as new:
        write_text(new / "finding.txt", sentence + "\n")
        write_csv(new / "table.csv", TABLE_COLUMNS, _table(results, measures))
        _write_runs(new / "runs.csv", results)
        _write_history(new / "history.csv", results)
        pictures = _draw(new / "plots", named, results, measures, meta, boundaries)
        summary = write_page(new / "README.md", named, meta, results, measures, pictures)
    return Report(sentence, summary, _metrics(results, measures))


def _table(results: Sequence[Result], measures: Sequence[Measure]) -> Iterable[Sequence[Any]]:
    for result in results:
        for measure in measures:
            found = result.measured[measure.key]
            ends = [result.best_epoch, result.seconds]
            yield [result.variant, measure.key, *found.mean, *found.difference, *ends]


def _write_runs(file: Path, results: Sequence[Result]) -> None:
    outcomes = [outcome for result in results for outcome in result.outcomes]
    scores = _names(outcome.scores for outcome in outcomes)
    rows = (
        [o.variant, o.seed, *(o.scores.get(score) for score in scores), o.best_epoch, o.seconds, o.failure]
        for o in outcomes
    )
    write_csv(file, ["variant", "seed", *scores, "best_epoch", "seconds", "failure"], rows)


def _write_history(file: Path, results: Sequence[Result]) -> None:
    """Means over the seeds that came as far and did not fail."""
    metrics = _names(epoch for result in results for outcome in result.outcomes for epoch in outcome.history)
    metrics = [metric for metric in metrics if metric not in TIMING]
    rows: list[Sequence[Any]] = []
    for result in results:
        means = [mean_over_seeds(result.histories, metric) for metric in metrics]
        rows += [
            [result.variant, epoch, *map(float, values)] for epoch, values in enumerate(zip(*means, strict=True), 1)
        ]
    write_csv(file, ["variant", "epoch", *metrics], rows)


def _names(mappings: Iterable[Mapping[str, float]]) -> list[str]:
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))


def _draw(
    plots: Path,
    named: NamedComparison,
    results: Sequence[Result],
    measures: Sequence[Measure],
    meta: Meta,
    boundaries: Boundaries | None,
) -> list[str]:
    """Draws what there is to see, and returns the names of the pictures."""
    score = _main_score(results, measures, meta)
    figures = {
        "curves": comparison_curves.curves(
            results, [Measure("val/loss"), Measure(f"val/{score}")], meta.target_name, weights=named.comparison.weights
        ),
        "traces": comparison_curves.traces(results),
    }
    if len(results) > 1:
        figures["table"] = comparison_plots.forest(results, measures, meta.target_name)
    if boundaries is not None and boundaries.probabilities:
        features = [column.name for column in meta.columns]
        titles = _panel_titles(results, measures, boundaries)
        figures["boundaries"] = comparison_plots.boundaries(boundaries, titles, features, meta.class_names)
    if len({each.schedule for each in named.variants.values()}) > 1:
        figures["schedules"] = comparison_curves.schedules(results)
    for name, figure in figures.items():
        save(figure, plots / f"{name}.png")
    return list(figures)


def _main_score(results: Sequence[Result], measures: Sequence[Measure], meta: Meta) -> str:
    """The first score measured, besides the loss, that is there for every epoch."""
    known = {name for result in results for outcome in result.outcomes for epoch in outcome.history for name in epoch}
    usual = "accuracy" if meta.task == "classification" else "rmse"
    scores = [measure.score for measure in measures if measure.score != "loss"]
    return next((score for score in scores if {f"train/{score}", f"val/{score}"} <= known), usual)


def _panel_titles(results: Sequence[Result], measures: Sequence[Measure], boundaries: Boundaries) -> dict[str, str]:
    """The name of each variant that has a boundary, with the test score of the seed that drew it."""
    score = next((m for m in measures if m.key.startswith("test/") and m.is_share), Measure("test/accuracy"))
    titles = {}
    for result in results:
        if result.variant not in boundaries.probabilities:
            continue
        first = result.outcomes[0]
        value = first.scores.get(score.key)
        told = f"seed {first.seed}" if value is None else f"{score.label} {100 * value:.1f} % (seed {first.seed})"
        titles[result.variant] = f"{plain(result.variant, 34)}\n{told}"
    return titles


def _metrics(results: Sequence[Result], measures: Sequence[Measure]) -> dict[str, float]:
    found = {}
    for result in results:
        variant = re.sub(r"[^\w \-.]|^\.+$", "_", result.variant)
        for measure in measures:
            measured = result.measured[measure.key]
            found[f"mean/{variant}/{measure.key}"] = measured.mean.mean
            found[f"difference/{variant}/{measure.key}"] = measured.difference.mean
    return {name: value for name, value in found.items() if value == value}  # none is NaN
