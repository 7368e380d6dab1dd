"""The train stage: one training from params to a checkpoint, with all its records."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from wellfit import tracking
from wellfit.errors import WellfitError
from wellfit.evaluation.curves import learning_curves, learning_rate
from wellfit.evaluation.style import save
from wellfit.files import write_csv, write_json, write_text, write_yaml
from wellfit.models.summary import summarize
from wellfit.params import Params, flatten
from wellfit.progress import Progress
from wellfit.training.checkpoint import save_checkpoint
from wellfit.training.setup import TrainingData, begin, load_training_data
from wellfit.tuning.best import apply_best

TIMING = ("seconds", "samples_per_second")  # kept out of the reports, which are the same bytes in every run
SECTIONS = ("data", "model", "loss", "regularize", "optim", "schedule", "train")


def train(params: Params, data_folder: Path, tune_report: Path, models: Path, report: Path) -> None:
    """Trains one model and keeps its best validation checkpoint, locally and in MLflow.

    Args:
        params: the configuration.
        data_folder: ``data/processed/<name>``.
        tune_report: the folder of ``best_params.yaml``, whose values replace those of ``params.yaml``.
        models: gets ``best.safetensors``, ``config.yaml`` and ``run.json``.
        report: gets ``summary.txt``, ``metrics.json``, ``history.csv`` and the pictures.

    Raises:
        WellfitError: missing data, or a training that blew up.
    """
    data = load_training_data(params, data_folder)
    params = apply_best(params, tune_report / "best_params.yaml", data.meta)
    config = resolved_config(params)
    with tracking.start_run("train", f"train {data.meta.name} {params.model.name}", data.meta) as run:
        run.log_params(flatten(config))
        write_yaml(models / "config.yaml", config, f"What {models / 'best.safetensors'} was trained with.")
        history, best_epoch = _run_epochs(params, data, config, models / "best.safetensors", report, run)
        best = history[best_epoch - 1]
        metrics = {"best_epoch": best_epoch, "epochs": len(history)} | best
        write_json(report / "metrics.json", metrics)
        write_csv(report / "history.csv", ["epoch", *best], ([i, *e.values()] for i, e in enumerate(history, 1)))
        columns = {name: [epoch[name] for epoch in history] for name in best}
        score = "accuracy" if data.meta.task == "classification" else "rmse"
        save(learning_curves(columns, best_epoch, score), report / "plots" / "learning_curves.png")
        save(learning_rate(columns), report / "plots" / "learning_rate.png")

        run.log_metrics(best_metrics(best) | {"best_epoch": best_epoch})
        run.log_history()
        for name in ("best.safetensors", "config.yaml"):
            run.log_file(models / name, "checkpoint")
        run.log_files(report, "train")
        write_json(models / "run.json", {"run_id": run.id})


def _run_epochs(
    params: Params, data: TrainingData, config: dict[str, Any], checkpoint: Path, report: Path, run: tracking.Run
) -> tuple[list[dict[str, float]], int]:
    """Trains to the end; returns the metrics of each epoch, without timing, and the best epoch."""
    training = begin(params, data)
    _describe(training.learner.model, params.model.name, data.train.x[:1], report / "summary.txt", run)
    print(f"computes in {training.learner.precision} on {data.train.x.device.type}")
    run.tag("wellfit.precision", training.learner.precision)  # what train.precision auto chose
    history: list[dict[str, float]] = []
    with Progress("train", params.train.epochs, "epoch") as progress:
        for epoch in training.epochs:
            metrics = epoch.of(member=0)
            run.log_epoch(epoch.number, metrics)
            history.append({k: v for k, v in metrics.items() if k not in TIMING})
            if epoch.improved[0]:
                info = {
                    "config": config,
                    "data_sha256": data.meta.sha256,
                    "epoch": epoch.number,
                    "metrics": {k: v for k, v in history[-1].items() if k.startswith("val/")},
                }
                save_checkpoint(checkpoint, training.learner.weights(0), info)
            shown = ("train/loss", "val/loss", params.train.monitor, "lr")
            progress.show(epoch.number, {name: metrics[name] for name in shown})
    if failure := training.members.failure[0]:
        raise WellfitError(
            f"training blew up: {failure}; lower optim.lr, now {params.optim.lr:g}, or set optim.clip_norm"
        )
    best_epoch = int(training.members.best_epoch[0])
    print(f"best epoch {best_epoch} of {len(history)}: {params.train.monitor} {training.members.best[0]:.4g}")
    return history, best_epoch


def _describe(model: nn.Module, name: str, row: Tensor, file: Path, run: tracking.Run) -> None:
    """Says what the network is made of: on the screen, in a file, and its size in MLflow."""
    summary = summarize(name, model, row)
    print(summary.headline, *summary.layers, sep="\n  ")
    write_text(file, summary.table)
    run.log_metrics({"n_parameters": summary.n_parameters})


def best_metrics(best: dict[str, float]) -> dict[str, float]:
    """``best/...`` metrics of a run, so that runs compare by their best epoch and not by their last."""
    return {f"best/{name}": value for name, value in best.items() if name.startswith(("train/", "val/"))}


def resolved_config(params: Params) -> dict[str, Any]:
    """The sections that decide what a model becomes, as a tree that YAML and JSON can hold."""
    tree = params.model_dump(mode="json")
    return {section: tree[section] for section in SECTIONS}
