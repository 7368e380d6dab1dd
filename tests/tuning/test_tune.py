"""The tune stage: real trials on real data, in MLflow, and taken up again after an interruption."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from ruamel.yaml import YAML

from wellfit import tracking
from wellfit.errors import WellfitError
from wellfit.params import Params, load_params
from wellfit.training.checkpoint import load_checkpoint
from wellfit.tuning import tune as stage
from wellfit.tuning.tune import fingerprint, tune

PARAMS_FILE = Path(__file__).parents[2] / "params.yaml"
BASE = ["data.name=moons", "train.epochs=6", "model.hidden=[8]", "train.threads=1", "tune.n_trials=4"]


def params_with(*changes: str) -> Params:
    return load_params(PARAMS_FILE, [*BASE, *changes])


def run(project: Path, prepared: Path, *changes: str, report: str = "reports/tune") -> Path:
    tune(params_with(*changes), prepared / "moons", project / report)
    return project / report


def trials_of(report: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((report / "trials.csv").read_text().splitlines()))


def runs(stage_name: str) -> list[Run]:
    client = MlflowClient(tracking.store_uri())
    experiment = client.get_experiment_by_name("wellfit").experiment_id
    found = client.search_runs([experiment], f"tags.`wellfit.stage` = '{stage_name}'", order_by=["start_time ASC"])
    return list(found)


def test_the_study_writes_the_best_trial(project: Path, prepared: Path) -> None:
    report = run(project, prepared)
    trials = trials_of(report)
    params = params_with()
    assert [float(trials[0][key]) for key in params.tune.searched] == [
        params.flat()[key] for key in params.tune.searched
    ]
    complete = [trial for trial in trials if trial["state"] == "complete"]
    best = min(complete, key=lambda trial: float(trial["value"]))
    chosen = YAML(typ="safe", pure=True).load(report / "best_params.yaml")["params"]
    assert chosen["optim"]["lr"] == float(best["optim.lr"])
    assert chosen["model"]["dropout"] == float(best["model.dropout"])
    assert float(trials[-1]["best_so_far"]) == float(best["value"])
    assert {path.name for path in (report / "plots").iterdir()} == {"history.png", "slices.png"}


def test_each_trial_is_a_child_run_with_curves_and_checkpoint(project: Path, prepared: Path) -> None:
    trials = trials_of(run(project, prepared))
    (study,) = runs("tune")
    client = MlflowClient(tracking.store_uri())
    children = runs("trial")
    assert len(children) == len(trials) == 4
    for trial, child in zip(trials, children, strict=True):
        assert child.data.tags["mlflow.parentRunId"] == study.info.run_id
        assert child.data.params["optim.lr"] == trial["optim.lr"]
        losses = client.get_metric_history(child.info.run_id, "val/loss")
        assert [loss.step for loss in losses] == list(range(1, int(trial["epochs"]) + 1))
        assert min(loss.value for loss in losses) == float(trial["value"])
        file = Path(child.info.artifact_uri.removeprefix("file://")) / "checkpoint" / "best.safetensors"
        checkpoint = load_checkpoint(file)
        assert checkpoint.info["epoch"] == int(trial["best_epoch"])
        assert checkpoint.info["metrics"]["val/loss"] == float(trial["value"])
    assert not list((project / ".wellfit" / "trials").iterdir())


def test_pruned_and_failed_trials_are_marked(project: Path, prepared: Path) -> None:
    # Far too small a rate is pruned, far too large a one fails.
    changes = ["optim.name=sgd", "model.norm=none", "schedule.warmup_epochs=0", "optim.lr=0.1", "tune.n_trials=12"]
    changes += ["tune.space.optim.lr={low: 1e-30, high: 1e30, log: true}", "tune.pruner_startup_trials=1"]
    trials = trials_of(run(project, prepared, *changes, "tune.pruner_warmup_epochs=1"))
    states = [trial["state"] for trial in trials]
    assert {"complete", "pruned", "fail"} <= set(states)
    status = {"complete": "FINISHED", "pruned": "KILLED", "fail": "FAILED"}
    assert [child.info.status for child in runs("trial")] == [status[state] for state in states]
    failed = runs("trial")[states.index("fail")]
    assert "is nan" in failed.data.tags["wellfit.failure"] or "is inf" in failed.data.tags["wellfit.failure"]


def test_n_trials_counts_those_of_before(project: Path, prepared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = trials_of(run(project, prepared))
    more = trials_of(run(project, prepared, "tune.n_trials=6"))
    assert more[:4] == first
    assert len(more) == 6
    assert "4 trials from before; 2 to go" in capsys.readouterr().out
    assert len(runs("tune")) == 1
    best = (project / "reports/tune/best_params.yaml").read_bytes()
    fewer = trials_of(run(project, prepared, "tune.n_trials=2"))
    assert fewer == first[:2]  # what a study of two trials would have given
    again = trials_of(run(project, prepared, "tune.n_trials=6"))
    assert again == more  # nothing was thrown away
    assert (project / "reports/tune/best_params.yaml").read_bytes() == best


def test_an_interrupted_study_goes_on_as_if_it_had_not_been(
    project: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(project, prepared, "tune.storage=.wellfit/whole", report="whole")
    begin, calls = stage.begin, []

    def interrupted(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return begin(*args)

    with monkeypatch.context() as patch:
        patch.setattr(stage, "begin", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(project, prepared, report="parts")
    assert not (project / "parts").exists()
    assert [r.info.status for r in runs("trial")[-1:]] == ["KILLED"]
    parts = run(project, prepared, report="parts")
    for name in ("trials.csv", "best_params.yaml"):
        assert (parts / name).read_bytes() == (whole / name).read_bytes()


def test_trials_that_are_cut_short_search_the_learning_rate_alone(
    project: Path, prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = trials_of(run(project, prepared, "tune.max_steps=10"))
    assert [key for key in trials[0] if "." in key] == ["optim.lr"]
    said = "too few to judge regularization: optim.weight_decay and model.dropout stay as they are"
    assert said in capsys.readouterr().out
    shipped = load_params(PARAMS_FILE)
    for trial in runs("trial"):
        assert trial.data.params["model.dropout"] == str(shipped.model.dropout)
        assert trial.data.params["optim.weight_decay"] == str(shipped.optim.weight_decay)
    # Where that is all there is to search, it is searched.
    only = trials_of(run(project, prepared, "tune.max_steps=10", "optim.lr=0.01", "optim.weight_decay=0.01"))
    assert [key for key in only[0] if "." in key] == ["model.dropout"]


def test_a_trial_takes_no_more_than_max_steps(project: Path, prepared: Path) -> None:
    steps_an_epoch = 5  # 144 rows by 32
    trials = trials_of(run(project, prepared, "train.batch_size=32", f"tune.max_steps={3 * steps_an_epoch + 1}"))
    assert max(int(trial["epochs"]) for trial in trials) == 3


def test_not_one_good_trial_is_an_error(project: Path, prepared: Path) -> None:
    changes = ["optim.name=sgd", "model.norm=none", "schedule.warmup_epochs=0", "optim.lr=1e30"]
    with pytest.raises(WellfitError, match=r"none of 2 trials ended well: .* in epoch"):
        run(project, prepared, *changes, "tune.n_trials=2")
    assert not (project / "reports/tune").exists()
    assert runs("tune")[0].info.status == "FAILED"


def test_the_fingerprint_tells_studies_apart() -> None:
    base = fingerprint(params_with(), "data")
    same = ["tune.n_trials=99", "tune.storage=elsewhere", "evaluate.seed=3", "fetch.retries=1"]
    other = ["optim.name=sgd", "train.seed=1", "model.hidden=[9]", "tune.space.optim.lr.low=0.001", "tune.seed=5"]
    assert {fingerprint(params_with(change), "data") for change in same} == {base}
    assert len({fingerprint(params_with(change), "data") for change in other} | {base}) == len(other) + 1
    assert fingerprint(params_with(), "other data") != base


def test_the_best_trial_trained_again_gives_its_value(project: Path, prepared: Path) -> None:
    from wellfit.training.train import train

    report = run(project, prepared)
    train(params_with(), prepared / "moons", report, project / "models", project / "reports/train")
    metrics = json.loads((project / "reports/train/metrics.json").read_text())
    assert metrics["val/loss"] == float(trials_of(report)[-1]["best_so_far"])
