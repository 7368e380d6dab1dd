"""What MLflow did not take is sent by a later command. Real stores, and for one test a real server that is killed."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from mlflow import MlflowClient

from wellfit import tracking
from wellfit.data.meta import Meta
from wellfit.files import write_text
from wellfit.tracking import store
from wellfit.tracking.failures import TrackingError
from wellfit.tracking.outbox import outboxes
from wellfit.tracking.runs import OPEN
from wellfit.tracking.store import open_client

from .outages import cannot_be_reached, free_port, next_command, server


@contextmanager
def away(client: MlflowClient) -> Iterator[None]:
    """MLflow takes nothing."""

    def gone(*args: object, **kwargs: object) -> None:
        raise ConnectionError("connection refused")

    with pytest.MonkeyPatch.context() as outage:
        for name in (
            "get_run",
            "log_batch",
            "set_tag",
            "log_artifact",
            "log_artifacts",
            "log_inputs",
            "set_terminated",
        ):
            outage.setattr(client, name, gone)
        yield


@contextmanager
def run_that_ends_while_away(client: MlflowClient, meta: Meta) -> Iterator[tracking.Run]:
    """A run that is opened while MLflow is there."""
    with ExitStack() as outage, tracking.start_run("train", "a run", meta) as run:
        outage.enter_context(away(client))
        yield run


def finish(run: tracking.Run, folder: Path) -> None:
    """What a stage tells at its end."""
    (folder / "report").mkdir(exist_ok=True)
    write_text(folder / "report" / "page.html", "page")
    write_text(folder / "weights", "first")
    run.log_params({"optim.lr": 0.1})
    run.log_metrics({"val/loss": 1.0}, step=3)
    run.tag("wellfit.verdict", "no warning")
    run.log_file(folder / "weights", "checkpoint")
    run.log_files(folder / "report", "train")
    write_text(folder / "weights", "of a later training")


def check(run_id: str, folder: Path, status: str = "FINISHED") -> None:
    client = open_client()
    run = client.get_run(run_id)
    assert run.info.status == status
    assert run.data.params == {"optim.lr": "0.1"}
    assert run.data.tags["wellfit.verdict"] == "no warning"
    assert [(each.step, each.value) for each in client.get_metric_history(run_id, "val/loss")] == [(3, 1.0)]
    for path, text in {"checkpoint/weights": "first", "train/page.html": "page"}.items():
        assert Path(client.download_artifacts(run_id, path, str(folder))).read_text() == text
    assert not list(outboxes().glob("*"))
    assert not list(folder.rglob(OPEN))


def test_what_is_told_while_mlflow_is_away_is_sent_by_the_next_command(
    client: MlflowClient, meta: Meta, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with run_that_ends_while_away(client, meta) as run:
        began = time.time()
        finish(run, project)
    err = capsys.readouterr().err
    assert err.count("\n") == err.count("warning: MLflow at") == 1
    assert "connection refused; the work goes on, and the next command sends what is missing" in err
    assert list((project / ".wellfit" / "runs" / run.id).glob(OPEN))
    assert client.get_run(run.id).info.status == "RUNNING"
    next_command()
    assert f"run {run.id}: MLflow has been sent what it lacked" in capsys.readouterr().out
    check(run.id, project)
    assert open_client().get_run(run.id).info.end_time >= int(began * 1000)
    next_command()
    assert capsys.readouterr().out == ""


def test_mlflow_that_is_back_before_the_end_gets_it_at_the_end(client: MlflowClient, meta: Meta, project: Path) -> None:
    with tracking.start_run("train", "a run", meta) as run, away(client):
        finish(run, project)
    check(run.id, project)


def test_a_run_is_closed_though_its_artifacts_cannot_be_stored(
    client: MlflowClient, meta: Meta, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "mlartifacts").touch()  # a folder that nobody may write to, for root, too
    with tracking.start_run("train", "a run", meta) as run:
        finish(run, project)
    found = client.get_run(run.id)
    assert (found.info.status, found.data.metrics) == ("FINISHED", {"val/loss": 1.0})
    assert not list(project.rglob(OPEN))
    next_command()
    assert f"what it lacks is kept in {outboxes() / run.id}" in capsys.readouterr().err
    (project / "mlartifacts").unlink()
    next_command()
    check(run.id, project)


def test_an_ended_run_is_added_to_while_its_server_is_away(
    client: MlflowClient, meta: Meta, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with tracking.start_run("train", "a run", meta) as run:
        pass
    open_client.cache_clear()
    with monkeypatch.context() as outage:
        outage.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        outage.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        again = tracking.reopen_run(run.id)
        assert again
        finish(again, project)
        again.flush()
        assert capsys.readouterr().err.count("the work goes on") == 1
    next_command()
    check(run.id, project)


def test_what_is_damaged_or_refused_is_set_aside(
    client: MlflowClient, meta: Meta, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with run_that_ends_while_away(client, meta) as run:
        run.log_params({"optim.lr": 0.1})
        run.tag("a", "b")
        run.tag("c", "d")
        run.tag("bad\x01key", "d")
    first, second = sorted((outboxes() / run.id).glob("*-tag.json"))[:2]
    first.write_text('{"key": "a", "val')
    second.write_text('{"keys": "a"}')
    next_command()
    err = capsys.readouterr().err
    assert err.count("; it is set aside as ") == 3
    assert str(first) in err
    assert open_client().get_run(run.id).info.status == "FINISHED"
    assert len(list((outboxes() / run.id).glob("*.refused"))) == 3


def test_an_artifact_store_without_its_package_costs_a_warning(
    client: MlflowClient, meta: Meta, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", client.create_experiment("bucket", artifact_location="s3://bucket/x"))
    monkeypatch.setitem(sys.modules, "boto3", None)
    with tracking.start_run("train", "a run", meta) as run:
        finish(run, project)
    (warning,) = capsys.readouterr().err.splitlines()
    assert "cannot store artifacts: " in warning
    assert "boto3" in warning
    assert client.get_run(run.id).info.status == "FINISHED"


def test_runs_that_have_ended_are_nested_once(client: MlflowClient, meta: Meta, project: Path) -> None:
    def tell(run: tracking.Run, score: float) -> None:
        for name in "ab":
            scores = {"test/accuracy": score, "test/ece": float("nan")}
            told = tracking.EndedRun("baseline", name, "FINISHED", 1.0, 2.0, {"k": name}, {}, scores, [], 0, [])
            run.log_child(told, meta, "k")

    with cannot_be_reached(), tracking.start_run("train", "a run", meta) as run:
        tell(run, 0.5)
    next_command()
    again = tracking.reopen_run(run.id)
    assert again
    tell(again, 0.75)
    children = tracking.children_by_tag(again, "k")
    assert sorted(children) == ["a", "b"]
    found = open_client().search_runs([again.experiment_id], f"tags.`mlflow.parentRunId` = '{again.mlflow_id}'")
    assert sorted((run.info.run_name, run.data.metrics["test/accuracy"], run.info.status) for run in found) == [
        ("a", 0.75, "FINISHED"),
        ("b", 0.75, "FINISHED"),
    ]
    assert found[0].data.tags["wellfit.data_sha256"] == meta.sha256


def test_a_deleted_run_gets_nothing(
    client: MlflowClient, meta: Meta, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with tracking.start_run("train", "a run", meta) as run:
        client.delete_run(run.id)
        finish(run, project)
    assert f"run {run.id} was deleted in MLflow" in capsys.readouterr().out
    assert not list(outboxes().glob("*"))
    assert not list(project.rglob(OPEN))


def test_another_store_is_not_asked(client: MlflowClient, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (outboxes() / ("0" * 32)).mkdir(parents=True)
    (outboxes() / ("0" * 32) / "000001-tag.json").write_text('{"key": "a", "value": "b"}')
    next_command()
    assert len(list(outboxes().rglob("*.json"))) == 1
    told = f"1 run waits in {outboxes()} for MLflow at another address; delete what is not to be sent\n"
    assert capsys.readouterr() == (told, "")


@pytest.mark.parametrize(("is_outage", "asked"), [(True, 1), (False, 2)])
def test_after_an_outage_the_other_runs_wait_unasked(
    client: MlflowClient,
    is_outage: bool,
    asked: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """For each of them MLflow would be waited for; what it refuses of one says nothing of the others."""
    for name in "ab":
        (outboxes() / name).mkdir(parents=True)
    calls = []

    def fails(_client: MlflowClient, run_id: str) -> bool:
        calls.append(run_id)
        raise TrackingError("it failed", is_refusal=False, is_outage=is_outage)

    monkeypatch.setattr(store, "send_outbox", fails)
    next_command()
    assert calls == ["a", "b"][:asked]
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert told == [f"warning: it failed; what it lacks is kept in {outboxes() / name}" for name in calls]


def test_a_run_whose_process_died_gets_what_waits_and_is_closed(
    client: MlflowClient, meta: Meta, project: Path
) -> None:
    run_id = client.create_run(client.create_experiment("mine")).info.run_id
    lock = project / ".wellfit" / "runs" / run_id / OPEN
    lock.parent.mkdir(parents=True)
    lock.touch()
    with away(client):
        dead = tracking.Run(client, run_id)
        finish(dead, project)
        dead.flush()
    next_command()
    check(run_id, project, "KILLED")


SERVED = """
import sys
from pathlib import Path
from wellfit import tracking
from wellfit.data.meta import Meta
with tracking.start_run("train", "a run", Meta.model_validate_json(sys.argv[1])) as run:
    print(run.id, flush=True)
    sys.stdin.readline()
    run.log_epoch(3, {"val/loss": 1.0})
    run.log_params({"optim.lr": 0.1})
    Path("weights").write_text("first")
    run.log_file(Path("weights"), "checkpoint")
"""


@pytest.mark.slow
def test_a_server_that_is_killed_in_the_middle_costs_nothing(
    meta: Meta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    command = [sys.executable, "-c", SERVED, meta.model_dump_json(exclude={"sha256"})]
    pipe = subprocess.PIPE
    with server(port, tmp_path):
        run = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        assert run.stdout
        run_id = run.stdout.readline().strip()
    _, err = run.communicate("\n", timeout=120)
    assert (run.returncode, err.count("warning:")) == (0, 1)
    capsys.readouterr()
    with server(port, tmp_path):
        next_command()
        assert capsys.readouterr() == (f"run {run_id}: MLflow has been sent what it lacked\n", "")
        found = open_client().get_run(run_id)
        assert (found.info.status, found.data.metrics["val/loss"]) == ("FINISHED", 1.0)
        weights = open_client().download_artifacts(run_id, "checkpoint/weights", str(tmp_path / "copy"))
        assert Path(weights).read_text() == "first"
    open_client.cache_clear()
