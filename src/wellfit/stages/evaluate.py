"""The evaluate stage: the only reader of the test split."""

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wellfit import tracking
from wellfit.charts.evaluation import residuals
from wellfit.charts.style import save
from wellfit.data.store import Meta, Split, load_meta, load_split
from wellfit.files import read_json, write_csv, write_json
from wellfit.metrics.intervals import EvaluateConfig, bootstrap_intervals
from wellfit.metrics.predictions import ClassRow, per_class_report, scores_of
from wellfit.report.charts import errors, of_classes, predicted_against_actual
from wellfit.report.content import Chart
from wellfit.report.page import write_page
from wellfit.report.records import Evaluated
from wellfit.serving.model import CHECKPOINT_FILE, load_model
from wellfit.serving.table import prediction_table
from wellfit.settings.params import Params

Metrics = dict[str, float | None]

FIFTHS = ("lowest fifth", "second fifth", "middle fifth", "fourth fifth", "highest fifth")


def evaluate(params: Params, data_folder: Path, models: Path, reports: Path) -> None:
    """Scores the trained model on the test split and logs to the run that trained it.

    Args:
        params: the configuration.
        data_folder: ``data/processed/<name>``.
        models: has ``best.safetensors`` and ``run.json``.
        reports: has ``train/`` and ``tune/``, which the page shows where they are there. Gets ``report.html``, and in
            ``evaluate/`` ``metrics.json``, ``predictions.csv``, ``confusion.csv``, ``per_class.csv`` and ``plots/``.

    Raises:
        WellfitError: missing or damaged files, or a model that was trained on other data.
    """
    report, page = reports / "evaluate", reports / "report.html"
    meta = load_meta(data_folder)
    delivered = load_model(models, meta)
    test = load_split(data_folder, meta, "test")

    predictions = delivered.model.predict(test.x)
    metrics = _score(predictions, test, meta, params.evaluate)
    _print(metrics)

    per_class = _write_predictions(predictions, test, meta, report)
    charts = _draw(predictions, test, meta, params.evaluate, metrics, report / "plots")
    write_json(report / "metrics.json", metrics)
    file = models / CHECKPOINT_FILE
    run = Evaluated(
        params, meta, data_folder, test, delivered.checkpoint, file, predictions, metrics, charts, per_class
    )
    write_page(page, run, reports)
    print(f"the run as one page: {page}")
    _publish(models / "run.json", metrics, meta, report, page)


def _score(predictions: NDArray[np.float64], test: Split, meta: Meta, config: EvaluateConfig) -> Metrics:
    """The scores of the test split with the ends of their intervals."""
    scores = scores_of(meta.task, test.y, predictions, config.calibration_bins)
    return bootstrap_intervals(scores, len(test.y), config.resamples, config.seed, test.weights)


def _print(metrics: Metrics) -> None:
    first = next(iter(metrics))
    print(f"test {first} {metrics[first]:.4g} [{metrics[f'{first}_low']:.4g}, {metrics[f'{first}_high']:.4g}]")


def _write_predictions(predictions: NDArray[np.float64], test: Split, meta: Meta, report: Path) -> list[ClassRow]:
    """Writes a line for each row, for a confusion matrix, and for each class; returns the last."""
    columns, rows = prediction_table(predictions, test, meta)
    if meta.task == "classification":
        confusion = [row[1:3] for row in rows]
        per_class = per_class_report(np.asarray(test.y), predictions, meta.class_names, test.weights)
    else:
        y = np.asarray(test.y, np.float64)
        # A confusion matrix of numbers: was a high value predicted high?
        edges = np.quantile(y, [0.2, 0.4, 0.6, 0.8])
        fifths = ([FIFTHS[i] for i in np.searchsorted(edges, values)] for values in (y, predictions))
        confusion = [list(pair) for pair in zip(*fifths, strict=True)]
        per_class = []
    write_csv(report / "predictions.csv", columns, rows)
    write_csv(report / "confusion.csv", ["actual", "predicted"], confusion)
    write_csv(report / "per_class.csv", ClassRow._fields, per_class)
    return per_class


def _draw(
    predictions: NDArray[np.float64], test: Split, meta: Meta, config: EvaluateConfig, metrics: Metrics, plots: Path
) -> list[Chart]:
    """The charts of the page, which are saved as pictures, too."""
    shutil.rmtree(plots, ignore_errors=True)  # of another task
    if meta.task == "classification":
        y = np.asarray(test.y)
        drawn = of_classes(y, predictions, meta.class_names, config.calibration_bins, metrics["ece"])
        for name, chart in drawn.items():
            save(chart.figure, plots / f"{name}.png")
        return list(drawn.values())
    y, target = np.asarray(test.y, np.float64), meta.target_name
    save(residuals(y, predictions, target), plots / "residuals.png")
    return [predicted_against_actual(y, predictions, target, metrics["r2"]), errors(y, predictions, target)]


def _publish(run_file: Path, metrics: Metrics, meta: Meta, report: Path, page: Path) -> None:
    """Adds the test scores to the run that trained the model; without it, to a run of their own."""
    run_id = read_json(run_file)["run_id"] if run_file.is_file() else None
    run = tracking.reopen_run(run_id) if run_id else None
    if run:
        _add(run, metrics, report, page)
        run.flush()
    else:
        print(f"the run that trained the model ({run_id}) is not in {tracking.store_uri()}: logging to a new one")
    if not run or tracking.is_project_run():
        with tracking.start_run("evaluate", f"evaluate {meta.name}", meta) as own:
            _add(own, metrics, report, page)


def _add(run: tracking.Run, metrics: Metrics, report: Path, page: Path) -> None:
    run.log_metrics({f"test/{name}": value for name, value in metrics.items()})
    run.log_files(report, "evaluate")
    run.log_file(page, "evaluate")
