"""The train stage: one training from params to a checkpoint, with all its records."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from wellfit import tracking
from wellfit.charts.style import save
from wellfit.charts.training import layer_statistics, learning_curves, learning_rate
from wellfit.data.features import trained_rows
from wellfit.data.store import load_meta
from wellfit.errors import WellfitError
from wellfit.files import project_root, write_csv, write_json, write_text, write_yaml
from wellfit.manifest import write_manifest
from wellfit.models.summary import summarize
from wellfit.progress import Progress
from wellfit.serving.model import CHECKPOINT_FILE, CONFIG_FILE, ENSEMBLE_FILE, write_run
from wellfit.settings.params import Params, flatten
from wellfit.stages.ensemble import candidates_of_study, choose_ensemble
from wellfit.tracking.tensorboard import event_files
from wellfit.training.advice import advise, turnable_settings
from wellfit.training.checkpoint import Checkpoint, save_checkpoint, save_checkpoints
from wellfit.training.constant import constant_loss
from wellfit.training.curves import Classes, Constant
from wellfit.training.distributed import as_one, follow, join
from wellfit.training.layers import STATISTICS, Layers, LayerStatistics, as_metrics
from wellfit.training.record import REPORT_FILES, TIMING, best_metrics, resolved_config
from wellfit.training.resume import Snapshots, State, resume_folder
from wellfit.training.setup import Training, TrainingData, begin, load_training_data
from wellfit.training.verdict import Finding, verdict
from wellfit.tuning.best import CANDIDATES_FILE, apply_best


class Records(NamedTuple):
    """What a training leaves.

    Attributes:
        history: the metrics of each epoch, without timing.
        layers: the statistics of each epoch.
        best_epoch: from 1.
        checkpoint: of the best epoch.
        summary: of the network, as text.
    """

    history: list[dict[str, float]]
    layers: list[Layers]
    best_epoch: int
    checkpoint: Checkpoint
    summary: str

    @property
    def best(self) -> dict[str, float]:
        """The metrics of the best epoch."""
        return self.history[self.best_epoch - 1]


def train(params: Params, data_folder: Path, tune_report: Path, models: Path, report: Path) -> None:
    """Trains one model and keeps its best validation checkpoint, locally and in MLflow.

    Where torchrun started several processes, all of them train it, and that of rank 0 does the rest.

    Args:
        params: the configuration.
        data_folder: ``data/processed/<name>``.
        tune_report: the folder of ``best_params.yaml``, whose values replace those of ``params.yaml``.
        models: gets ``best.safetensors``, ``ensemble.safetensors``, ``config.yaml`` and ``run.json``; has what ``tune``
            left for an ensemble.
        report: gets ``summary.txt``, ``metrics.json``, ``verdict.json``, ``history.csv``, ``layers.csv``,
            ``ensemble.csv``, ``validation.csv`` and the pictures.

    Raises:
        WellfitError: missing data, or a training that blew up.
    """
    ranks = join(params)
    data = load_training_data(params, data_folder)
    start = trained_rows(params, data_folder, load_meta(data_folder)).pretrained
    params = as_one(apply_best(params, tune_report / "best_params.yaml", data.meta), data.meta, ranks)
    config = resolved_config(params)
    folder = resume_folder(params, data, params.track.layers, ranks.size if ranks else 1)
    if ranks:
        ranks.check_same(folder.name)
    # Before anything is written: a setting may not fit the data.
    training = begin([params], data, packed=False, ranks=ranks)
    if ranks and ranks.rank:
        follow(training, ranks)
        return
    of_study = candidates_of_study(params, models / CANDIDATES_FILE)
    with Snapshots(folder) as snapshots:
        found = snapshots.load()
        name, again = f"train {data.meta.title} {params.model.name}", found["run_id"] if found else None
        with tracking.start_run("train", name, data.meta, again=again) as run:
            if found:
                run.go_on()
            run.log_params(
                flatten(config) | {f"train.{key}": getattr(params.train, key) for key in ("seeds", "ensemble")}
            )
            records = _run_epochs(training, params, data, config, snapshots, found, run)
            if start is not None:
                said = {"weights": start.weights, "sha256": start.weights_sha256}
                records.checkpoint.info["pretrained"] = said
                run.tag("wellfit.weights", f"{start.weights}, sha256 {start.weights_sha256}")
            findings = _judge(records, params, data)
            for finding in findings:
                print(f"warning: {finding.kind}: {finding.text}")
            members, ensemble = choose_ensemble(
                params, data, data_folder, records.checkpoint, of_study, report, snapshots.folder
            )
            score = "accuracy" if data.meta.task == "classification" else "rmse"
            _write_report(report, records, findings, score, ensemble)
            _write_models(models, records.checkpoint, members, run.id)

            run.log_metrics(best_metrics(records.best) | {"best_epoch": records.best_epoch} | ensemble)
            run.tag("mlflow.note.content", _description(params, data.meta.title, records, findings))
            run.tag("wellfit.verdict", "\n".join(f"{kind}: {text}" for kind, text in findings) or "no warning")
            run.log_history()
            for name in (CHECKPOINT_FILE, CONFIG_FILE, *([ENSEMBLE_FILE] if ensemble else [])):
                run.log_file(models / name, "checkpoint")
            run.log_files(report, "train")
        snapshots.remove()


def _run_epochs(
    training: Training,
    params: Params,
    data: TrainingData,
    config: dict[str, Any],
    snapshots: Snapshots,
    found: State | None,
    run: tracking.Run,
) -> Records:
    """Trains to the end, from a snapshot where one was found, and keeps the weights of the best epoch."""
    learner, ranks = training.learner, training.ranks
    if ranks:
        ranks.broadcast_object(found and found["training"])  # `follow` waits for it
        print(f"trains in {ranks.size} processes, which share the {params.train.batch_size} rows of a batch")
        run.tag("wellfit.processes", str(ranks.size))
    summary = _describe(learner.model, params.model.name, learner.inputs(data.train.x[:1]), run)
    history: list[dict[str, float]] = []
    layers: list[Layers] = []
    best: dict[str, Tensor] = {}
    if found:
        training.load_state_dict(found["training"])
        history, layers, best = found["history"], found["layers"], found["best"]
        print(f"goes on after epoch {len(history)} of {params.train.epochs} ({snapshots.shown})")
        for number, metrics in enumerate(history, 1):
            run.log_epoch(number, metrics | (as_metrics(layers[number - 1]) if layers else {}))

    def state() -> State:
        now = training.state_dict()
        return {"run_id": run.id, "training": now, "history": history, "layers": layers, "best": best}

    print(f"computes in {learner.precision} on {data.train.device.type}")
    run.tag("wellfit.precision", learner.precision)  # what train.precision auto chose
    learner.layers = LayerStatistics(learner.model, learner.val.x, learner.inputs) if params.track.layers else None
    events_folder = project_root() / ".wellfit" / "tensorboard" / run.id if params.track.tensorboard else None
    done = len(history)
    with Progress("train", params.train.epochs, "epoch", done) as progress, event_files(events_folder, done) as events:
        for epoch in training.epochs:
            metrics, number = epoch.of(member=0), int(epoch.number[0])
            history.append(metrics)
            if learner.layers is not None:
                layers.append(learner.layers.finish_epoch())
                metrics = metrics | as_metrics(layers[-1])
            if epoch.improved[0]:
                best = learner.weights(0)
            snapshots.offer(state)  # before any call that can be interrupted
            run.log_epoch(number, metrics)
            if events is not None:
                events.write(number, metrics, dict(learner.model.named_parameters()))
            shown = ("train/loss", "val/loss", params.train.monitor, "lr")
            progress.show(number, {name: metrics[name] for name in shown})
    if ranks:
        ranks.leave()  # what is left takes one
    if failure := training.members.failure[0]:
        snapshots.remove()  # it would blow up again
        advice = advise("exploding gradients", turnable_settings(params, data.meta.kind, len(data.meta.class_names)))
        raise WellfitError(f"training blew up: {failure} (optim.lr is {params.optim.lr:g}); {advice}")
    if params.train.seeds > 1 or data.folds:
        snapshots.save(state())  # more is to be trained
    history = [{k: v for k, v in metrics.items() if k not in TIMING} for metrics in history]
    best_epoch = int(training.members.best_epoch[0])
    print(f"best epoch {best_epoch} of {len(history)}: {params.train.monitor} {training.members.best[0]:.4g}")
    validated = {k: v for k, v in history[best_epoch - 1].items() if k.startswith("val/")}
    info = {"config": config, "data_sha256": data.meta.sha256, "epoch": best_epoch, "metrics": validated}
    return Records(history, layers, best_epoch, Checkpoint(best, info), summary)


def _write_models(models: Path, final: Checkpoint, ensemble: list[Checkpoint], run_id: str) -> None:
    """Writes weights, configuration and run as one thing: until its last file is there, no stage takes it for one."""
    save_checkpoint(models / CHECKPOINT_FILE, *final)
    save_checkpoints(models / ENSEMBLE_FILE, ensemble)
    write_yaml(models / CONFIG_FILE, final.info["config"], f"What {models / CHECKPOINT_FILE} was trained with.")
    write_run(models, run_id, (CHECKPOINT_FILE, ENSEMBLE_FILE, CONFIG_FILE))


def _judge(records: Records, params: Params, data: TrainingData) -> list[Finding]:
    meta = data.meta
    val = data.val if data.folds is None else data.folds.validated(params.train.fold)
    n_classes, counts = len(meta.class_names), None
    if n_classes:
        counts = Classes(meta.class_names, meta.class_counts, torch.bincount(val.y, minlength=n_classes).tolist())
    return verdict(
        records.history,
        records.layers,
        records.best_epoch,
        params.train.epochs,
        n_classes,
        usual_loss=params.loss.is_usual(meta.task),
        counts=counts,
        constant=Constant(*(constant_loss(params.loss, meta, rows) for rows in (data.train, val))),
        settings=turnable_settings(params, meta.kind, n_classes),
    )


def _description(params: Params, data_name: str, records: Records, findings: list[Finding]) -> str:
    """What MLflow's page of the run says, as Markdown."""
    monitor = params.train.monitor
    lines = [
        f"`{params.model.name}` trained on `{data_name}`: the weights of epoch {records.best_epoch} of "
        f"{len(records.history)} are kept, with `{monitor}` {records.best[monitor]:.6g}.",
        "",
        "Among the artifacts, `checkpoint/` has the weights and their settings, and `train/` the report. Once "
        "`evaluate` has run, its own is in `evaluate/`, and the scores of the test split are the metrics `test/...`.",
        "",
    ]
    return "\n".join([*lines, *(f"- **{finding.kind}**: {finding.text}" for finding in findings)]).strip()


def _write_report(
    report: Path, records: Records, findings: list[Finding], score: str, ensemble: Mapping[str, float]
) -> None:
    history, best = records.history, records.best
    write_text(report / "summary.txt", records.summary)
    numbers = {"best_epoch": records.best_epoch, "epochs": len(history)}
    write_json(report / "metrics.json", {**numbers, **best, **ensemble})
    write_json(report / "verdict.json", {"warnings": [finding._asdict() for finding in findings]})
    write_csv(report / "history.csv", ["epoch", *best], ([i, *e.values()] for i, e in enumerate(history, 1)))
    rows = (
        [number, name, *statistics.values()]
        for number, layers in enumerate(records.layers, 1)
        for name, statistics in layers.items()
    )
    write_csv(report / "layers.csv", ["epoch", "layer", *STATISTICS], rows)
    write_manifest(report, REPORT_FILES)

    plots = report / "plots"
    columns = {name: [epoch[name] for epoch in history] for name in best}
    save(learning_curves(columns, records.best_epoch, ["loss", score]), plots / "learning_curves.png")
    save(learning_rate(columns), plots / "learning_rate.png")
    if records.layers:
        save(layer_statistics(records.layers), plots / "layers.png")
    else:
        (plots / "layers.png").unlink(missing_ok=True)  # of a training before


def _describe(model: nn.Module, name: str, row: Tensor, run: tracking.Run) -> str:
    """Says what the network is made of, its size to MLflow, too; as a text for a file."""
    summary = summarize(name, model, row)
    print(summary.headline, *summary.layers, sep="\n  ")
    run.log_metrics({"n_parameters": summary.n_parameters})
    return summary.table
