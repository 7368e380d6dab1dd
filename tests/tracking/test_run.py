"""MLflow runs: how they end, where they nest, what they hold. All against a real sqlite store."""

from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from wellfit import tracking
from wellfit.data.meta import Meta
from wellfit.errors import WellfitError
from wellfit.tracking import run as run_module
from wellfit.tracking import tags
from wellfit.tracking.runs import OPEN


@pytest.mark.parametrize(
    ("error", "status"), [(None, "FINISHED"), (ValueError("x"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_every_way_out_has_its_status(
    client: MlflowClient, meta: Meta, error: BaseException | None, status: str
) -> None:
    ids = []

    def body() -> None:
        with tracking.start_run("train", "a run", meta) as run:
            ids.append(run.id)
            run.log_metrics({"val/loss": 1.0}, step=1)
            if error:
                raise error

    if error:
        with pytest.raises(type(error)):
            body()
    else:
        body()
    ended = client.get_run(ids[0])
    assert ended.info.status == status
    assert ended.data.metrics == {"val/loss": 1.0}  # what had gathered is sent, whatever happened


def test_a_run_says_what_it_is_of(client: MlflowClient, meta: Meta, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "brave-name")
    with tracking.start_run("train", "a run", meta) as run:
        run.log_params({"optim.lr": 0.1, "model.hidden": [8, 4], "optim.clip_norm": None, "model.name": "mlp"})
    found = client.get_run(run.id)
    assert found.data.params == {
        "optim.lr": "0.1",
        "model.hidden": "[8, 4]",
        "optim.clip_norm": "null",
        "model.name": "mlp",
    }
    tags = found.data.tags
    assert tags["wellfit.stage"] == "train"
    assert tags["wellfit.dataset"] == "moons"
    assert tags["wellfit.data_sha256"] == meta.sha256
    assert tags["dvc.exp_name"] == "brave-name"
    (dataset,) = found.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("moons", meta.sha256[:8])


def test_the_git_commit_is_a_tag(client: MlflowClient, meta: Meta, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tags, "git_commit", lambda: "abc")
    with tracking.start_run("train", "a run", meta) as run:
        pass
    assert client.get_run(run.id).data.tags["mlflow.source.git.commit"] == "abc"


def test_trials_and_stages_nest(client: MlflowClient, meta: Meta, monkeypatch: pytest.MonkeyPatch) -> None:
    with tracking.start_parent_run("pipeline", "moons") as pipeline:
        assert not tracking.has_children(pipeline.id)
        monkeypatch.setenv(tracking.PARENT_RUN_VARIABLE, pipeline.id)
        with tracking.start_run("tune", "study", meta) as study:
            monkeypatch.setenv(tracking.PARENT_RUN_VARIABLE, study.id)
            with tracking.start_run("trial", "trial", meta) as trial:
                trial.status = "KILLED"
        assert tracking.has_children(pipeline.id)
    parent = "mlflow.parentRunId"
    assert client.get_run(study.id).data.tags[parent] == pipeline.id
    assert client.get_run(trial.id).data.tags[parent] == study.id
    assert client.get_run(trial.id).info.status == "KILLED"


def test_the_run_of_mlflow_run_is_taken_over(client: MlflowClient, meta: Meta, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = client.create_experiment("of the project")
    given = client.create_run(experiment).info.run_id
    client.log_param(given, "lr", "0.10")
    monkeypatch.setenv("MLFLOW_RUN_ID", given)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
    with tracking.start_run("train", "a run", meta) as run:
        run.log_params({"optim.lr": 0.1})
    assert run.id == given
    assert client.get_run(given).info.status == "FINISHED"
    monkeypatch.setenv(tracking.PARENT_RUN_VARIABLE, run.id)  # as below `mlflow run` of the whole pipeline
    with tracking.start_run("train", "a stage", meta) as stage:
        pass
    assert stage.id != given


@pytest.mark.parametrize("texts", [{"optim.lr": "1e-2"}, {"model.hidden": "'[32]'", "optim.lr": ""}])
def test_what_mlflow_run_has_logged_as_text_stays(
    client: MlflowClient, meta: Meta, monkeypatch: pytest.MonkeyPatch, texts: dict[str, str]
) -> None:
    given = client.create_run(client.create_experiment("of the project")).info.run_id
    for key, text in texts.items():
        client.log_param(given, key, text)
    monkeypatch.setenv("MLFLOW_RUN_ID", given)
    with tracking.start_run("train", "a run", meta) as run:
        run.log_params({"optim.lr": 0.01, "model.hidden": [32], "train.epochs": 3})
    logged = client.get_run(given).data.params
    assert logged == {"optim.lr": "0.01", "model.hidden": "[32]", "train.epochs": "3"} | texts


def test_a_study_goes_on_in_its_run_only_where_that_run_belongs(
    client: MlflowClient, meta: Meta, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = client.create_run(client.create_experiment("of the project")).info.run_id
    with tracking.start_run("tune", "study", meta, again=elsewhere) as first:
        pass
    assert first.id != elsewhere
    with tracking.start_parent_run("pipeline", "moons") as pipeline:
        monkeypatch.setenv(tracking.PARENT_RUN_VARIABLE, pipeline.id)
        with tracking.start_run("tune", "study", meta, again=first.id) as nested:
            pass
        with tracking.start_run("tune", "study", meta, again=nested.id) as again:
            pass
    assert nested.id != first.id
    assert again.id == nested.id
    assert client.get_run(nested.id).data.tags["mlflow.parentRunId"] == pipeline.id


def test_a_study_that_goes_on_is_one_run(client: MlflowClient, meta: Meta, capsys: pytest.CaptureFixture[str]) -> None:
    with tracking.start_run("tune", "study", meta) as first:
        pass
    with tracking.start_run("tune", "study", meta, again=first.id) as second:
        assert client.get_run(first.id).info.status == "RUNNING"
    capsys.readouterr()
    with tracking.start_run("tune", "study", meta, again="0" * 32) as third:
        pass
    assert "was deleted there: another one takes its place and gets all there is\n" in capsys.readouterr().out
    assert second.id == first.id
    assert third.id != first.id
    assert client.get_run(first.id).info.status == "FINISHED"


def test_epochs_go_to_the_local_history_first(client: MlflowClient, meta: Meta, tmp_path: Path) -> None:
    with tracking.start_run("train", "a run", meta) as run:
        for epoch in range(1, 1502):
            run.log_epoch(epoch, {"val/loss": 1 / epoch, "grad_norm": float("nan") if epoch == 2 else 1.0})
        history = (tmp_path / ".wellfit" / "runs" / run.id / "history.jsonl").read_text().splitlines()
        assert len(history) == 1501
        assert history[1] == '{"epoch": 2, "val/loss": 0.5, "grad_norm": null}'
    losses = client.get_metric_history(run.id, "val/loss")
    assert [metric.step for metric in losses] == list(range(1, 1502))
    assert len(client.get_metric_history(run.id, "grad_norm")) == 1500


def test_a_run_that_is_not_in_the_store(client: MlflowClient) -> None:
    assert tracking.reopen_run("0" * 32) is None


def test_a_server_that_goes_away_does_not_stop_the_training(
    client: MlflowClient, meta: Meta, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone(*args: Any, **kwargs: Any) -> None:
        raise ConnectionError("connection refused")

    monkeypatch.setattr(run_module, "FLUSH_SECONDS", 0.0)
    with tracking.start_run("train", "a run", meta) as run:
        with monkeypatch.context() as outage:
            outage.setattr(client, "log_batch", gone)
            run.log_epoch(1, {"val/loss": 1.0})
        assert "the work goes on" in capsys.readouterr().err
    assert client.get_run(run.id).data.metrics == {"val/loss": 1.0}  # sent once it was back


def test_an_ended_run_leaves_no_lock(client: MlflowClient, meta: Meta, project: Path) -> None:
    with tracking.start_run("train", "a run", meta):
        assert len(list(project.rglob(OPEN))) == 1
    assert not list(project.rglob(OPEN))


def test_an_experiment_whose_files_are_behind_a_server_is_refused(
    client: MlflowClient, meta: Meta, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As `mlflow ui` makes the experiment Default in a folder without a store.
    experiment = client.create_experiment("behind", artifact_location="mlflow-artifacts:/7")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
    with pytest.raises(WellfitError, match=r"--experiment-name wellfit"):
        tracking.start_run("train", "a run", meta).__enter__()
    (run,) = client.search_runs([experiment])
    assert run.info.status == "FAILED"


def test_deleted_runs_are_done_without(
    client: MlflowClient, meta: Meta, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with tracking.start_parent_run("pipeline", "moons") as pipeline:
        pass
    client.delete_run(pipeline.id)
    for variable in (tracking.PARENT_RUN_VARIABLE, "MLFLOW_RUN_ID"):
        with monkeypatch.context() as given:
            given.setenv(variable, pipeline.id)
            with tracking.start_run("train", "a run", meta, again=pipeline.id) as run:
                run.tag("a", "b")
        found = client.get_run(run.id)
        assert (run.id != pipeline.id, found.info.status) == (True, "FINISHED")
        assert "mlflow.parentRunId" not in found.data.tags
        assert f"run {pipeline.id} is not in {tracking.shown_store_uri()}, or was deleted" in capsys.readouterr().out
    assert tracking.reopen_run(pipeline.id) is None
