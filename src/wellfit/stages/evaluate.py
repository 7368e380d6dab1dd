"""The evaluate stage: the only reader of the test split."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wellfit import tracking
from wellfit.baselines.comparison import (
    Compared,
    base_rate,
    beside,
    compare,
    conclusion,
    flat,
    gain_in_words,
    worse_than_a_constant,
)
from wellfit.baselines.fit import BASELINES, CONSTANT
from wellfit.baselines.record import load_baselines
from wellfit.charts.evaluation import residuals
from wellfit.charts.style import save
from wellfit.data.features import BODY, TrainedRows, trained_rows
from wellfit.data.meta import Meta
from wellfit.data.scratch import memory_budget
from wellfit.data.settings import check_prepared
from wellfit.data.store import Split, load_folds, load_meta, load_split, load_unlabelled
from wellfit.explain.explanation import ExplainConfig, explain, write_tables
from wellfit.files import write_csv, write_json
from wellfit.metrics.conformal import Coverage
from wellfit.metrics.decision import Decision, Held, Outputs, decide, hold, other_scores
from wellfit.metrics.intervals import EvaluateConfig, bootstrap_intervals
from wellfit.metrics.names import SCORES, score_name
from wellfit.metrics.predictions import FIFTHS, ClassRow, fifths_of, per_class_report, scores_of
from wellfit.metrics.threshold import DEFAULT_THRESHOLD
from wellfit.report.card import card
from wellfit.report.charts import errors, of_classes, predicted_against_actual
from wellfit.report.content import Chart
from wellfit.report.decision import Decided, charts_of, coverage_in_words
from wellfit.report.explain import Explained, explained
from wellfit.report.leakage import leakage
from wellfit.report.page import write_page
from wellfit.report.records import Evaluated, read_records
from wellfit.serving.ensemble import candidates_of, model_of_fold
from wellfit.serving.folder import describe_reading, save_model
from wellfit.serving.model import CHECKPOINT_FILE, Delivered, TrainedModel, load_model, training_run
from wellfit.serving.profile import fit_profile
from wellfit.serving.table import prediction_table
from wellfit.settings.params import Params
from wellfit.stages.publish import publish
from wellfit.training.runtime import choose_device

if TYPE_CHECKING:
    import torch

    from wellfit.models.pretrained import Frozen

Metrics = dict[str, float | None]

DIGITS = 6  # of a probability, as in predictions.csv


def evaluate(params: Params, data_folder: Path, models: Path, reports: Path) -> None:
    """Scores the trained model on the test split and logs to the run that trained it.

    Args:
        params: the configuration.
        data_folder: ``data/processed/<name>``.
        models: has what ``train`` has written; gets ``<name>/``, the model that takes new rows.
        reports: has ``train/``, ``tune/`` and ``baseline/``, which are shown where they are there. Gets
            ``report.html``, and in ``evaluate/`` ``metrics.json``, ``scores.json`` (what `dvc metrics diff` compares),
            ``decision.json``, ``predictions.csv``, ``confusion.csv``, ``per_class.csv``, ``coverage.csv``,
            ``unlabelled.csv``, ``importance.csv``, ``contributions.csv`` and ``plots/``.

    Raises:
        WellfitError: missing or damaged files, files of several trainings, or a model that was trained on other data.
    """
    report, page = reports / "evaluate", reports / "report.html"
    meta = load_meta(data_folder)
    check_prepared(params.data, meta, data_folder)
    params.check_data(meta.kind, meta.task, len(meta.class_names))
    rows = trained_rows(params, data_folder, meta)
    device = choose_device(params.train.device)
    delivered, run_id = load_model(models, rows.meta, device), training_run(models)
    records = read_records(reports, delivered.checkpoint)
    fitted = load_baselines(reports / "baseline", meta)
    trained_on, test = (load_split(data_folder, meta, name) for name in ("train", "test"))
    train_rows, test_rows = (load_split(rows.folder, rows.meta, name) for name in ("train", "test"))
    model = delivered.model
    body = _body(rows, delivered, meta) if params.model.has_features else None
    members = delivered.members or [delivered.checkpoint]
    served = TrainedModel(members, meta, body, device) if body else model  # of images, of which the rows are features

    folds = load_folds(rows.folder, rows.meta, memory_budget(params.data.memory))
    val = _unseen(delivered, folds, meta, device)
    outputs = _outputs(model, test_rows)
    train = _outputs(model, train_rows) if meta.task == "regression" and params.evaluate.coverage else None
    decision = decide(val, train, meta, params.evaluate)
    predictions = decision.predictions(outputs.outputs, meta)
    held = hold(decision, predictions, outputs, meta)

    metrics = _score(predictions, test, meta, params.evaluate, decision.threshold)
    compared = compare(predictions, fitted, test, meta, params.evaluate)
    _print(metrics, compared, decision, held.coverage, meta)
    metrics |= other_scores(decision, outputs, meta, params.evaluate.calibration_bins)
    metrics |= held.metrics(decision.coverage)
    if delivered.ensemble is not None:
        metrics |= _beside_the_final_model(predictions, delivered.single, test_rows, meta, params.evaluate)

    per_class = _write_predictions(predictions, test, meta, report, decision.threshold, held)
    _predict_unlabelled(load_unlabelled(data_folder, meta), served, decision, meta, report / "unlabelled.csv")
    write_json(report / "decision.json", decision.model_dump(mode="json"))
    charts = _draw(predictions, test, meta, params.evaluate, metrics, report / "plots", decision.threshold)
    decided = Decided(decision, held.coverage, charts_of(decision, held.coverage, val, outputs, meta, params.evaluate))
    for name, chart in decided.charts.items():
        save(chart.figure, report / "plots" / f"{name}.png")
    depends = _explain(
        lambda images: decision.predictions(served.outputs(images), meta),
        trained_on,
        test,
        predictions,
        meta,
        params.explain,
        report,
    )
    run = Evaluated(
        params=params,
        meta=meta,
        data_folder=data_folder,
        test=test,
        checkpoint=delivered.checkpoint,
        checkpoint_file=models / CHECKPOINT_FILE,
        predictions=predictions,
        metrics=metrics,
        charts=charts,
        per_class=per_class,
        baselines=compared,
        decided=decided,
        ensemble=delivered.sources,
        explained=depends,
    )
    write_json(report / "metrics.json", run.all_metrics)
    write_json(report / "scores.json", {name: score for name, score in metrics.items() if name in SCORES})
    write_page(page, run, records)
    predicted = decision.predicted(decision.predictions(val.outputs, meta))
    profile = fit_profile(meta, trained_on.x, predicted)
    reading = describe_reading(params.data, meta)
    save_model(models / meta.name, members, meta, decision, reading, profile, card(run), body)
    print(f"the run as one page: {page}; the model, ready to use: {models / meta.name}")
    try:
        publish(run_id, models, run, report, page)
    except tracking.TrackingError as error:
        print(f"warning: {error}; `dvc repro --force evaluate` logs it all once that is mended", file=sys.stderr)


def _body(rows: TrainedRows, delivered: Delivered, meta: Meta) -> Frozen:
    """What makes features, or maps, of images."""
    from wellfit.models.pretrained import load_body

    return load_body(rows.folder / BODY, delivered.checkpoint.info["config"]["model"], meta.input_shape)


def _outputs(model: TrainedModel, split: Split) -> Outputs:
    return Outputs(model.outputs(split.x), split.y, split.weights)


def _unseen(delivered: Delivered, folds: Sequence[Split], meta: Meta, device: torch.device) -> Outputs:
    """The validation rows; with folds all rows, each as those models predict it that were not trained on it."""
    if len(folds) == 1:
        return _outputs(delivered.model, folds[0])
    candidates = candidates_of(delivered.members)
    parts = [_outputs(model_of_fold(candidates, fold, meta, device), rows) for fold, rows in enumerate(folds)]
    weights = [part.weights for part in parts if part.weights is not None]
    outputs, y = (np.concatenate([getattr(part, name) for part in parts]) for name in ("outputs", "y"))
    return Outputs(outputs, y, np.concatenate(weights) if weights else None)


def _score(
    predictions: NDArray[np.float64], test: Split, meta: Meta, config: EvaluateConfig, threshold: float
) -> Metrics:
    """The scores of the test split with the ends of their intervals."""
    scores = scores_of(meta.task, test.y, predictions, config.calibration_bins, threshold)
    return bootstrap_intervals(scores, len(test.y), config.resamples, config.seed, test.weights)


def _beside_the_final_model(
    predictions: NDArray[np.float64], single: TrainedModel, test: Split, meta: Meta, config: EvaluateConfig
) -> Metrics:
    """The scores of the final model alone, and how much better the ensemble is, in print, too."""
    scores, gains = beside(predictions, single.predict(test.x), test, meta, config)
    print(gain_in_words(gains, "the ensemble", "the final model alone"))
    return {f"single/{name}": value for name, value in flat(scores, gains).items()}


def _print(
    metrics: Metrics, compared: Sequence[Compared], decision: Decision, coverage: Sequence[Coverage], meta: Meta
) -> None:
    first = next(iter(metrics))
    value, low, high = (f"{metrics[f'{first}{end}']:.4g}" for end in ("", "_low", "_high"))
    at = "" if decision.threshold == DEFAULT_THRESHOLD else f" at the threshold {decision.threshold:.4g}"
    print(f"test {score_name(first)} {value} [{low}, {high}]{at}", end="")
    if compared:
        rate, said = base_rate(compared)[first], conclusion(compared, decision.threshold)
        print(f", of {BASELINES[CONSTANT].title} {rate:.4g}\n{said}")
        if worse := worse_than_a_constant(metrics, base_rate(compared)):
            print(f"warning: {worse}")
    else:
        print("\nreports/baseline has no baselines of these data to compare with")
    for sentence in leakage(meta, metrics):
        print(f"warning: {sentence}")
    for note in decision.notes:
        print(note)
    if coverage:
        print(coverage_in_words(coverage[0], decision, meta.task))


def _write_predictions(
    predictions: NDArray[np.float64], test: Split, meta: Meta, report: Path, threshold: float, held: Held
) -> list[ClassRow]:
    """Writes a line for each row, for a confusion matrix, each class and each coverage; returns the classes."""
    columns, rows = prediction_table(predictions, test, meta, threshold)
    confusion: Iterable[Sequence[Any]]
    if meta.task == "classification":
        confusion = (row[1:3] for row in prediction_table(predictions, test, meta, threshold)[1])
        per_class = per_class_report(np.asarray(test.y), predictions, meta.class_names, test.weights, threshold)
    else:
        y = np.asarray(test.y, np.float64)
        # A confusion matrix of numbers: was a high value predicted high?
        fifths = ([FIFTHS[i] for i in fifths_of(y, values)] for values in (y, predictions))
        confusion = zip(*fifths, strict=True)
        per_class = []
    lines = ([*row, *more] for row, *more in zip(rows, *held.columns.values(), strict=True))
    write_csv(report / "predictions.csv", [*columns, *held.columns], lines)
    write_csv(report / "coverage.csv", Coverage._fields, held.coverage)
    write_csv(report / "confusion.csv", ["actual", "predicted"], confusion)
    write_csv(report / "per_class.csv", ClassRow._fields, per_class)
    return per_class


def _predict_unlabelled(
    images: tuple[NDArray[Any], NDArray[Any]] | None, model: TrainedModel, decision: Decision, meta: Meta, path: Path
) -> None:
    """Writes what is predicted of images without a class; no lines where there are none."""
    columns = ["id", "predicted", *(f"p_{name}" for name in meta.class_names)]
    if images is None:
        write_csv(path, columns, [])
        return
    x, ids = images
    chances = decision.predictions(model.outputs(x), meta)
    predicted = [meta.class_names[index] for index in decision.predicted(chances)]
    lines = zip(ids.tolist(), predicted, chances.round(DIGITS).tolist(), strict=True)
    write_csv(path, columns, [[name, guess, *row] for name, guess, row in lines])
    print(f"predicted {len(ids):,} images without a class, which are not scored: {path}")


def _draw(
    predictions: NDArray[np.float64],
    test: Split,
    meta: Meta,
    config: EvaluateConfig,
    metrics: Metrics,
    plots: Path,
    threshold: float,
) -> list[Chart]:
    """The charts of the page, which are saved as pictures, too."""
    shutil.rmtree(plots, ignore_errors=True)  # of another task
    if meta.task == "classification":
        y = np.asarray(test.y)
        drawn = of_classes(y, predictions, meta.class_names, config.calibration_bins, metrics["ece"], threshold)
        for name, chart in drawn.items():
            save(chart.figure, plots / f"{name}.png")
        return list(drawn.values())
    y, target = np.asarray(test.y, np.float64), meta.target_name
    save(residuals(y, predictions, target), plots / "residuals.png")
    return [predicted_against_actual(y, predictions, target, metrics["r2"]), errors(y, predictions, target)]


def _explain(
    predict: Callable[[NDArray[Any]], NDArray[np.float64]],
    train: Split,
    test: Split,
    predictions: NDArray[np.float64],
    meta: Meta,
    config: ExplainConfig,
    report: Path,
) -> Explained:
    """What the predictions depend on, which is written as tables and pictures, too."""
    found = explain(predict, train, test, predictions, meta, config) if config.enabled else None
    write_tables(report, found, test, meta)
    section = explained(found, test, predictions, meta)
    for name, chart in section.charts.items():
        save(chart.figure, report / "plots" / f"{name}.png")
    if meta.kind == "table" and config.enabled:
        print(section.says)
    return section
