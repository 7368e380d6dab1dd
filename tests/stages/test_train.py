"""The train stage: its files, its MLflow run, and what a training that blows up leaves behind."""

import csv
import json
import math
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run

from wellfit import tracking
from wellfit.errors import WellfitError
from wellfit.models import build_model
from wellfit.models.inputs import Inputs
from wellfit.models.predict import predict
from wellfit.models.summary import Summary
from wellfit.serving.model import training_run
from wellfit.settings.params import Params, load_params
from wellfit.stages import train as stage
from wellfit.stages.train import train
from wellfit.training import runtime
from wellfit.training.checkpoint import load_checkpoint
from wellfit.training.loss import head_width
from wellfit.training.setup import load_training_data

from ..conftest import PLAIN

PARAMS_FILE = Path(__file__).parents[2] / "params.yaml"
BASE = ["data.name=moons", "tune.enabled=false", "train.epochs=8", "model.hidden=[16]", "train.threads=1"]


def run(project: Path, prepared: Path, *changes: str) -> Params:
    params = load_params(PARAMS_FILE, [*PLAIN, *BASE, *changes])
    train(
        params,
        data_folder=prepared / params.data.name,
        tune_report=project / "reports/tune",
        models=project / "models",
        report=project / "reports/train",
    )
    return params


def trained(project: Path) -> Run:
    run_id = json.loads((project / "models/run.json").read_text())["run_id"]
    return MlflowClient(tracking.store_uri()).get_run(run_id)


@pytest.mark.parametrize(("data", "score"), [("moons", "val/accuracy"), ("diabetes", "val/rmse")])
def test_the_checkpoint_is_that_of_the_best_epoch(project: Path, prepared: Path, data: str, score: str) -> None:
    params = run(project, prepared, f"data.name={data}", "optim.lr=0.05")
    history = list(csv.DictReader((project / "reports/train/history.csv").read_text().splitlines()))
    checkpoint = load_checkpoint(project / "models/best.safetensors")
    losses = [float(row["val/loss"]) for row in history]
    assert checkpoint.info["epoch"] == losses.index(min(losses)) + 1
    assert checkpoint.info["metrics"]["val/loss"] == min(losses)

    folder = load_training_data(params, prepared / data)
    inputs = Inputs(folder.meta, "standard", torch.device("cpu"))
    model = build_model(params.model, inputs.shape, head_width("auto", folder.meta))
    model.load_state_dict(checkpoint.weights)
    outputs = predict(model, inputs, folder.val.x)
    if data == "moons":
        value = (outputs.argmax(1) == folder.val.y).float().mean().item()
    else:
        value = (outputs[:, 0] - folder.val.y).square().mean().sqrt().item() * folder.meta.target_std
    assert checkpoint.info["metrics"][score] == pytest.approx(value, rel=1e-5)


def test_everything_is_in_mlflow_when_the_run_ends(project: Path, prepared: Path) -> None:
    params = run(project, prepared)
    found = trained(project)
    client = MlflowClient(tracking.store_uri())
    assert found.info.status == "FINISHED"
    assert found.data.params["optim.lr"] == str(params.optim.lr)
    for name in ("train/loss", "val/loss", "train/accuracy", "val/accuracy", "lr", "grad_norm", "seconds"):
        assert [m.step for m in client.get_metric_history(found.info.run_id, name)] == list(range(1, 9)), name
    assert found.data.metrics["samples_per_second"] > 0
    assert not [name for name in found.data.metrics if name.startswith("best/train/")], "charts would open with them"
    best = found.data.metrics["best/val/loss"]
    assert best == min(m.value for m in client.get_metric_history(found.info.run_id, "val/loss"))
    artifacts = Path(found.info.artifact_uri.removeprefix("file://"))
    logged = artifacts / "checkpoint" / "best.safetensors"
    assert logged.read_bytes() == (project / "models/best.safetensors").read_bytes()
    assert len((artifacts / "history.jsonl").read_text().splitlines()) == 8
    plots = {path.name for path in (artifacts / "train/plots").iterdir()}
    assert plots == {"learning_curves.png", "learning_rate.png", "layers.png"}


def test_layers_are_in_a_table_and_in_mlflow(project: Path, prepared: Path) -> None:
    run(project, prepared)
    rows = list(csv.DictReader((project / "reports/train/layers.csv").read_text().splitlines()))
    assert [(row["epoch"], row["layer"]) for row in rows[:3]] == [
        ("1", "2.linear"),
        ("1", "6.linear"),
        ("2", "2.linear"),
    ]
    assert len(rows) == 2 * 8
    client, found = MlflowClient(tracking.store_uri()), trained(project)
    for name in ("grad_norm", "weight_std", "activation_mean", "dead_share"):
        logged = client.get_metric_history(found.info.run_id, f"layers/2.linear/{name}")
        assert [m.value for m in logged] == [float(row[name]) for row in rows if row["layer"] == "2.linear"]
        assert [m.step for m in logged] == list(range(1, 9))
    assert rows[1]["dead_share"] == ""  # the head has no activation
    assert "layers/6.linear/dead_share" not in found.data.metrics


def test_without_layers_the_training_is_the_same(project: Path, prepared: Path) -> None:
    run(project, prepared)
    kept = ("models/best.safetensors", "reports/train/history.csv", "reports/train/metrics.json", "models/config.yaml")
    before = [(project / file).read_bytes() for file in kept]
    run(project, prepared, "track.layers=false", "track.tensorboard=true")
    assert [(project / file).read_bytes() for file in kept] == before
    (header,) = (project / "reports/train/layers.csv").read_text().splitlines()
    assert header.startswith("epoch,layer,grad_norm")
    assert not (project / "reports/train/plots/layers.png").exists()
    assert not [name for name in trained(project).data.metrics if name.startswith("layers/")]


def test_tensorboard_has_what_mlflow_has(project: Path, prepared: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(project, prepared)
    assert not (project / ".wellfit/tensorboard").exists()
    run(project, prepared, "track.tensorboard=true")
    found = trained(project)
    events = EventAccumulator(str(project / ".wellfit/tensorboard" / found.info.run_id))
    events.Reload()
    of_the_run = ("best", "n_parameters")  # not of an epoch
    names = {name for name in found.data.metrics if not name.startswith(of_the_run)}
    assert set(events.Tags()["scalars"]) == names
    assert "weights/2.weight" in events.Tags()["histograms"]
    client = MlflowClient(tracking.store_uri())
    for name in ("val/loss", "lr", "layers/2.linear/grad_norm"):
        logged, seen = client.get_metric_history(found.info.run_id, name), events.Scalars(name)
        assert [e.step for e in seen] == [m.step for m in logged]
        assert [e.value for e in seen] == pytest.approx([m.value for m in logged])


def test_the_verdict_is_printed_kept_and_tagged(
    project: Path, prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(project, prepared, "optim.lr=1e-6")
    warning, other = json.loads((project / "reports/train/verdict.json").read_text())["warnings"]
    assert (warning["kind"], other["kind"]) == ("under-fitting", "worse than a constant")
    text = f"under-fitting: {warning['text']}"
    assert f"warning: {text}\n" in capsys.readouterr().out
    tags = trained(project).data.tags
    assert tags["wellfit.verdict"] == f"{text}\nworse than a constant: {other['text']}"
    assert f"- **under-fitting**: {warning['text']}" in tags["mlflow.note.content"]
    assert tags["mlflow.note.content"].startswith("`mlp` trained on `moons`: the weights of epoch ")

    run(project, prepared, "optim.lr=0.03", "train.epochs=30")
    assert json.loads((project / "reports/train/verdict.json").read_text()) == {"warnings": []}
    assert trained(project).data.tags["wellfit.verdict"] == "no warning"
    assert "warning" not in capsys.readouterr().out


@pytest.mark.usefixtures("drawn")
def test_same_params_same_bytes(project: Path, prepared: Path) -> None:
    files = ("models/best.safetensors", "models/config.yaml", "reports/train/metrics.json", "reports/train/history.csv")
    seen, summaries = [], []
    for changes in ((), (), ("train.seed=1",)):
        run(project, prepared, *changes)
        seen.append([(project / file).read_bytes() for file in files])
        pictures = [path.read_bytes() for path in sorted((project / "reports/train/plots").iterdir())]
        seen[-1] += pictures
        summaries.append((project / "reports/train/summary.txt").read_bytes())
    assert seen[0] == seen[1]
    assert all(a != b for a, b in zip(seen[0], seen[2], strict=True))
    assert len(set(summaries)) == 1  # of the same network, whatever its weights


def test_the_network_is_described_before_it_trains(
    project: Path, prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(project, prepared, "train.epochs=3")
    n_parameters = 2 * 16 + 2 * 16 + 16 * 2 + 2
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith(f"mlp: {n_parameters} parameters, ")
    assert printed[2].split() == ["Linear", "16", "32"]
    assert "computes in fp32 on cpu" in printed
    assert trained(project).data.tags["wellfit.precision"] == "fp32"
    table = (project / "reports/train/summary.txt").read_text(encoding="utf-8")
    assert table.startswith(printed[0])
    found = trained(project)
    assert found.data.metrics["n_parameters"] == n_parameters
    assert (Path(found.info.artifact_uri.removeprefix("file://")) / "train/summary.txt").is_file()


def test_what_auto_chose_is_told(
    project: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runtime, "BF16_PAYS_FROM", 0)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    run(project, prepared, "train.epochs=3", "train.precision=auto")
    assert "computes in bf16 on cpu" in capsys.readouterr().out.splitlines()
    assert trained(project).data.tags["wellfit.precision"] == "bf16"
    assert trained(project).data.params["train.precision"] == "auto"


def test_the_description_leaves_the_training_as_it_is(
    project: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(project, prepared, "model.dropout=0.5")
    described = load_checkpoint(project / "models/best.safetensors").weights
    monkeypatch.setattr(stage, "summarize", lambda *_: Summary(0, "", (), ""))
    run(project, prepared, "model.dropout=0.5")
    plain = load_checkpoint(project / "models/best.safetensors").weights
    assert all(torch.equal(tensor, plain[name]) for name, tensor in described.items())


def test_early_stopping_ends_the_run(project: Path, prepared: Path) -> None:
    run(project, prepared, "train.epochs=60", "train.patience=2", "optim.lr=0.1", "schedule.name=constant")
    metrics = json.loads((project / "reports/train/metrics.json").read_text())
    assert metrics["epochs"] == metrics["best_epoch"] + 2 < 60


def test_a_training_that_blows_up_fails_in_one_line(project: Path, prepared: Path) -> None:
    blow_up = [
        "optim.name=sgd",
        "optim.lr=1e30",
        "model.norm=none",
        "schedule.warmup_epochs=0",
        "track.tensorboard=true",
    ]
    with pytest.raises(
        WellfitError, match=r"training blew up: .* (nan|inf) .*\(optim\.lr is 1e\+30\); lower optim\.lr"
    ) as caught:
        run(project, prepared, *blow_up)
    assert "\n" not in str(caught.value)
    assert not (project / "models/run.json").exists()
    assert not (project / "reports/train/metrics.json").exists()
    client = MlflowClient(tracking.store_uri())
    (failed,) = client.search_runs([client.get_experiment_by_name("wellfit").experiment_id])
    assert failed.info.status == "FAILED"


def test_a_training_that_is_interrupted_leaves_the_last_model_whole(
    project: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights are not where the last good ones are, or `evaluate` would give their scores to the finished run."""
    run(project, prepared)
    files = [path for folder in ("models", "reports/train") for path in (project / folder).rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stage, "choose_ensemble", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(project, prepared, "optim.lr=0.05", "model.hidden=[8]")
    assert {path: path.read_bytes() for path in files} == before
    assert training_run(project / "models") == trained(project).info.run_id
    assert trained(project).info.status == "FINISHED"


def test_a_setting_that_does_not_fit_the_data_writes_and_registers_nothing(project: Path, prepared: Path) -> None:
    before = (project / "mlflow.db").read_bytes()
    with pytest.raises(WellfitError, match=r"model\.embedding_size must be at most \d+, .*, got 256"):
        run(project, prepared, "model.embedding=ple", "model.embedding_size=256")
    assert sorted(path.name for path in project.iterdir()) == ["mlflow.db"]
    assert (project / "mlflow.db").read_bytes() == before


def test_metrics_hold_no_nan_and_no_timing(project: Path, prepared: Path) -> None:
    run(project, prepared)
    metrics = json.loads((project / "reports/train/metrics.json").read_text())
    assert all(value is None or math.isfinite(value) for value in metrics.values())
    assert not {"seconds", "samples_per_second"} & set(metrics)


def test_cnn_learns_from_images(project: Path, prepared: Path) -> None:
    run(project, prepared, "data.name=digits", "model.name=cnn", "model.channels=[8, 16]", "train.epochs=10")
    assert json.loads((project / "reports/train/metrics.json").read_text())["val/accuracy"] > 0.8


@pytest.mark.gpu
def test_on_a_gpu(project: Path, prepared: Path) -> None:
    run(project, prepared, "train.device=cuda")
    weights = load_checkpoint(project / "models/best.safetensors").weights
    assert all(weight.device == torch.device("cpu") for weight in weights.values())
