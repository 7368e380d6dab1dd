"""The evaluate stage: the only reader of the test split."""

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from wellfit import tracking
from wellfit.charts.evaluation import residuals
from wellfit.charts.style import save
from wellfit.data.store import Meta, Split, load_meta, load_split
from wellfit.errors import WellfitError
from wellfit.files import read_json, write_csv, write_json
from wellfit.metrics.intervals import EvaluateConfig, bootstrap_intervals
from wellfit.metrics.predictions import ClassificationScores, ClassRow, per_class_report, regression_scores
from wellfit.models import ModelConfig, build_model
from wellfit.models.head import class_logits
from wellfit.models.inputs import Inputs
from wellfit.models.predict import predict
from wellfit.report.charts import errors, of_classes, predicted_against_actual
from wellfit.report.content import Chart
from wellfit.report.page import write_page
from wellfit.report.records import Evaluated
from wellfit.settings.params import Params
from wellfit.training.checkpoint import Checkpoint, load_checkpoint
from wellfit.training.loss import head_width
from wellfit.training.tensors import to_tensors

# The metrics, the charts of the page, the report of each class.
Scored = tuple[dict[str, float | None], list[Chart], list[ClassRow]]

FIFTHS = ("lowest fifth", "second fifth", "middle fifth", "fourth fifth", "highest fifth")


def evaluate(params: Params, data_folder: Path, models: Path, reports: Path) -> None:
    """Scores the best checkpoint on the test split and logs to the run that trained it.

    Args:
        params: the configuration.
        data_folder: ``data/processed/<name>``.
        models: has ``best.safetensors`` and ``run.json``.
        reports: has ``train/`` and ``tune/``, which the page shows where they are there. Gets ``report.html``, and in
            ``evaluate/`` ``metrics.json``, ``predictions.csv``, ``confusion.csv``, ``per_class.csv`` and ``plots/``.

    Raises:
        WellfitError: missing or damaged files, or a checkpoint that was trained on other data.
    """
    report, page, checkpoint_file = reports / "evaluate", reports / "report.html", models / "best.safetensors"
    meta = load_meta(data_folder)
    checkpoint = load_checkpoint(checkpoint_file)
    if checkpoint.info["data_sha256"] != meta.sha256:
        name = checkpoint.info["config"]["data"]["name"]
        raise WellfitError(
            f"{checkpoint_file} was trained on other data ({name}) than {data_folder}: run `dvc repro train` first"
        )
    test = load_split(data_folder, meta, "test")
    outputs = _outputs(checkpoint, meta, test)
    shutil.rmtree(report / "plots", ignore_errors=True)  # of another task
    if meta.task == "classification":
        predictions = softmax(outputs, axis=1)
        metrics, charts, per_class = _evaluate_classes(predictions, test, meta, params.evaluate, report)
    else:
        predictions = _in_target_unit(outputs, meta)
        metrics, charts, per_class = _evaluate_numbers(predictions, test, meta, params.evaluate, report)
    write_json(report / "metrics.json", metrics)
    first = next(iter(metrics))
    print(f"test {first} {metrics[first]:.4g} [{metrics[f'{first}_low']:.4g}, {metrics[f'{first}_high']:.4g}]")
    run = Evaluated(
        params, meta, data_folder, test, checkpoint, checkpoint_file, predictions, metrics, charts, per_class
    )
    write_page(page, run, reports)
    print(f"the run as one page: {page}")
    _log(models / "run.json", metrics, meta, report, page)


def _outputs(checkpoint: Checkpoint, meta: Meta, test: Split) -> NDArray[np.float64]:
    """Logits of all classes, or standardized predictions, for all test rows, (n, outputs).

    On the CPU in fp32, whatever the training computed in: the test scores are those of the weights that are kept.
    """
    config = checkpoint.info["config"]
    width = head_width(config["loss"]["name"], meta)
    device = torch.device("cpu")
    inputs = Inputs(meta, device)
    model = build_model(ModelConfig.model_validate(config["model"]), inputs.shape, width)
    model.load_state_dict(checkpoint.weights)
    outputs = predict(model, inputs, to_tensors(test, meta, device).x).double()
    return (outputs if meta.task == "regression" else class_logits(outputs)).numpy()


def _in_target_unit(outputs: NDArray[np.float64], meta: Meta) -> NDArray[np.float64]:
    """Standardized predictions (n, 1) as numbers (n,) like those of the data."""
    assert meta.target_mean is not None
    assert meta.target_std is not None
    return outputs[:, 0] * meta.target_std + meta.target_mean


def _evaluate_classes(
    probabilities: NDArray[np.float64], test: Split, meta: Meta, config: EvaluateConfig, report: Path
) -> Scored:
    y, names = np.asarray(test.y), meta.class_names
    predicted = probabilities.argmax(1)
    scores = ClassificationScores(y, probabilities, config.calibration_bins)
    metrics = bootstrap_intervals(scores, len(y), config.resamples, config.seed, test.weights)

    rows = [
        [row, names[true], names[guess], *(round(p, 6) for p in chances)]
        for row, true, guess, chances in zip(test.ids.tolist(), y, predicted, probabilities.tolist(), strict=True)
    ]
    write_csv(report / "predictions.csv", ["id", "actual", "predicted", *(f"p_{name}" for name in names)], rows)
    write_csv(report / "confusion.csv", ["actual", "predicted"], (row[1:3] for row in rows))
    per_class = per_class_report(y, probabilities, names, test.weights)
    write_csv(report / "per_class.csv", ClassRow._fields, per_class)

    drawn = of_classes(y, probabilities, names, config.calibration_bins, metrics["ece"])
    for name, chart in drawn.items():
        save(chart.figure, report / "plots" / f"{name}.png")
    return metrics, list(drawn.values()), per_class


def _evaluate_numbers(
    prediction: NDArray[np.float64], test: Split, meta: Meta, config: EvaluateConfig, report: Path
) -> Scored:
    y = np.asarray(test.y, np.float64)
    scores = partial(regression_scores, y, prediction)
    metrics = bootstrap_intervals(scores, len(y), config.resamples, config.seed, test.weights)

    rows = zip(test.ids.tolist(), y.tolist(), prediction.tolist(), strict=True)
    write_csv(report / "predictions.csv", ["id", "actual", "predicted"], rows)
    # A confusion matrix of numbers: was a high value predicted high?
    edges = np.quantile(y, [0.2, 0.4, 0.6, 0.8])
    fifths = ([FIFTHS[i] for i in np.searchsorted(edges, values)] for values in (y, prediction))
    write_csv(report / "confusion.csv", ["actual", "predicted"], zip(*fifths, strict=True))
    write_csv(report / "per_class.csv", ["class", "precision", "recall", "f1", "support"], [])
    save(residuals(y, prediction, meta.target_name), report / "plots" / "residuals.png")
    charts = [
        predicted_against_actual(y, prediction, meta.target_name, metrics["r2"]),
        errors(y, prediction, meta.target_name),
    ]
    return metrics, charts, []


def _log(run_file: Path, metrics: dict[str, float | None], meta: Meta, report: Path, page: Path) -> None:
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


def _add(run: tracking.Run, metrics: dict[str, float | None], report: Path, page: Path) -> None:
    run.log_metrics({f"test/{name}": value for name, value in metrics.items()})
    run.log_files(report, "evaluate")
    run.log_file(page, "evaluate")
