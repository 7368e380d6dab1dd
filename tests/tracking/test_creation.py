"""Runs that begin while MLflow is away: they get an id of their own, and MLflow makes them later."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from wellfit import tracking
from wellfit.data.meta import Meta
from wellfit.errors import WellfitError
from wellfit.tracking.creation import LOCAL_ID, known_id
from wellfit.tracking.experiment import EXPERIMENT
from wellfit.tracking.outbox import outboxes
from wellfit.tracking.runs import OPEN
from wellfit.tracking.store import open_client

from ..damage import DAMAGES, Damage
from .outages import cannot_be_reached, free_port, next_command, server


def write(run: tracking.Run) -> None:
    run.log_params({"optim.lr": 0.1})
    run.log_epoch(1, {"val/loss": 2.0})
    run.log_epoch(2, {"val/loss": 1.0})
    Path("weights").write_text("weights")
    run.log_file(Path("weights"), "checkpoint")


def check(run_id: str, values: tuple[float, ...] = (2.0, 1.0)) -> None:
    """MLflow has the run as if it had never been away."""
    client, found = open_client(), known_id(run_id)
    assert found
    run = client.get_run(found)
    assert (run.info.run_name, run.info.status, run.data.params) == ("a run", "FINISHED", {"optim.lr": "0.1"})
    assert (run.data.tags["wellfit.stage"], run.data.tags[LOCAL_ID]) == ("train", run_id)
    assert [each.value for each in client.get_metric_history(found, "val/loss")] == list(values)
    assert client.get_experiment(run.info.experiment_id).name == EXPERIMENT
    assert [each.path for each in client.list_artifacts(found, "checkpoint")] == ["checkpoint/weights"]
    assert run.inputs.dataset_inputs
    assert not list(outboxes().glob("*"))


def test_a_run_that_begins_while_mlflow_is_away_is_made_by_the_next_command(
    project: Path, meta: Meta, capsys: pytest.CaptureFixture[str]
) -> None:
    began = int(time.time() * 1000)
    with cannot_be_reached(), tracking.start_run("train", "a run", meta) as run:
        write(run)
    err = capsys.readouterr().err
    assert err.count("\n") == err.count("cannot be reached: connection refused") == 1
    assert err.endswith("; the work goes on, and the next command sends what is missing\n")
    assert known_id(run.id) is None
    ended = int(time.time() * 1000)
    next_command()
    check(run.id)
    info = open_client().get_run(str(known_id(run.id))).info
    assert began <= info.start_time <= info.end_time <= ended
    assert not list(project.rglob(OPEN))


def test_mlflow_that_is_back_meanwhile_gets_the_epochs_at_once(
    project: Path, meta: Meta, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cannot_be_reached():
        opened = tracking.start_run("train", "a run", meta)
        run = opened.__enter__()
    monkeypatch.setattr(run, "_flush_at", 0.0)
    write(run)
    assert len(open_client().get_metric_history(str(known_id(run.id)), "val/loss")) == 1
    next_command()  # of another process, which leaves alone what this one has open
    assert list(outboxes().glob("*"))
    opened.__exit__(None, None, None)
    check(run.id)


def test_a_run_is_added_to_before_and_after_it_is_made(project: Path, meta: Meta) -> None:
    with cannot_be_reached():
        with tracking.start_run("train", "a run", meta) as run:
            write(run)
        again = tracking.reopen_run(run.id)
        assert again
        again.log_metrics({"test/loss": 3.0})
        again.flush()
    after = tracking.reopen_run(run.id)
    assert after
    after.tag("wellfit.verdict", "fine")
    check(run.id)
    data = open_client().get_run(str(known_id(run.id))).data
    assert (data.metrics["test/loss"], data.tags["wellfit.verdict"]) == (3.0, "fine")
    assert [each.run_id for each in [tracking.logged_model(run.id)] if each] == []


@pytest.mark.parametrize("is_back_for_the_stage", [False, True])
def test_runs_below_one_that_is_yet_to_be_made_are_nested_in_it(
    project: Path, meta: Meta, monkeypatch: pytest.MonkeyPatch, is_back_for_the_stage: bool
) -> None:
    with cannot_be_reached():
        opened = tracking.start_parent_run("pipeline", "moons")
        pipeline = opened.__enter__()
        monkeypatch.setenv(tracking.PARENT_RUN_VARIABLE, pipeline.id)
        if not is_back_for_the_stage:
            with tracking.start_run("train", "a run", meta) as run:
                write(run)
    if is_back_for_the_stage:
        with tracking.start_run("train", "a run", meta) as run:
            pass
    opened.__exit__(None, None, None)
    next_command()
    client, parent = open_client(), str(known_id(pipeline.id))
    assert client.get_run(str(known_id(run.id))).data.tags["mlflow.parentRunId"] == parent
    assert client.get_run(parent).info.status == "FINISHED"
    assert tracking.has_children(pipeline.id)


@pytest.mark.parametrize("is_back", [False, True])
@pytest.mark.parametrize("was_away", [False, True])
def test_a_training_that_goes_on_has_one_run_and_each_epoch_once(
    project: Path, meta: Meta, was_away: bool, is_back: bool
) -> None:
    def begin() -> str:
        """A process that dies: its lock is there, and nobody holds it."""
        run_id = subprocess.run(
            [sys.executable, "-c", DIES, meta.model_dump_json(exclude={"sha256"}), str(was_away)],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        ).stdout.strip()
        assert list((project / ".wellfit" / "runs" / run_id).glob(OPEN))
        return run_id

    def go_on(run_id: str) -> str:
        with tracking.start_run("train", "a run", meta, again=run_id) as run:
            run.go_on()
            write(run)
        return run.id

    first = begin()
    if is_back:
        second = go_on(first)
    else:
        with cannot_be_reached():
            second = go_on(first)
        next_command()
    assert second == first
    client = open_client()
    (found,) = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    assert found.info.run_id == known_id(first)
    assert found.info.status == "FINISHED"
    assert [each.value for each in client.get_metric_history(found.info.run_id, "val/loss")] == [2.0, 1.0]
    assert not list(project.rglob(OPEN))


def test_epochs_that_mlflow_has_are_not_sent_again_by_a_training_that_goes_on(client: MlflowClient, meta: Meta) -> None:
    with tracking.start_run("train", "a run", meta) as run:
        run.log_epoch(1, {"val/loss": 2.0})
    with tracking.start_run("train", "a run", meta, again=run.id) as again:
        again.go_on()
        again._flush_at = 0.0
        write(again)
        again._flush_at = 0.0
        again.log_epoch(3, {"val/loss": 0.5})
    assert [each.value for each in client.get_metric_history(run.id, "val/loss")] == [2.0, 1.0, 0.5]


DIES = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from contextlib import nullcontext
from wellfit import tracking
from wellfit.data.meta import Meta
from tests.tracking.outages import cannot_be_reached
with cannot_be_reached() if sys.argv[2] == "True" else nullcontext():
    with tracking.start_run("train", "a run", Meta.model_validate_json(sys.argv[1])) as run:
        print(run.id, flush=True)
        run.log_epoch(1, {{"val/loss": 2.0}})
        run.flush()
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_run_of_a_process_that_died_is_made_and_closed(project: Path, meta: Meta) -> None:
    command = [sys.executable, "-c", DIES, meta.model_dump_json(exclude={"sha256"}), "True"]
    run_id = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
    next_command()
    run = open_client().get_run(str(known_id(run_id)))
    assert (run.info.status, run.data.metrics) == ("KILLED", {"val/loss": 2.0})
    assert not list(project.rglob(OPEN))


def test_the_run_that_mlflow_has_made_for_a_stage_is_used_while_it_is_away(
    client: MlflowClient, meta: Meta, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = client.create_run(client.create_experiment("mine"), run_name="a run").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    with cannot_be_reached(), tracking.start_run("train", "another name", meta) as run:
        write(run)
    next_command()
    found = open_client().get_run(run_id)
    assert run.id == run_id
    assert (found.info.status, found.data.tags["wellfit.stage"]) == ("FINISHED", "train")


def test_another_store_is_not_given_the_run(
    project: Path, meta: Meta, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with cannot_be_reached(), tracking.start_run("train", "a run", meta) as run:
        write(run)
    capsys.readouterr()
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
        next_command()
        assert tracking.reopen_run(run.id) is None
        told = f"1 run waits in {outboxes()} for MLflow at another address; delete what is not to be sent\n"
        assert capsys.readouterr() == (told, "")
    next_command()
    check(run.id)


def test_a_process_that_died_before_it_wrote_the_id_down_makes_no_second_run(project: Path, meta: Meta) -> None:
    with cannot_be_reached(), tracking.start_run("train", "a run", meta) as run:
        write(run)
    entry = next((outboxes() / run.id).glob("*-create.json"))
    content = json.loads(entry.read_text())
    store = MlflowClient(tracking.store_uri())
    made = store.create_run(store.create_experiment(EXPERIMENT), tags=content["tags"], run_name="a run").info.run_id
    next_command()
    assert known_id(run.id) == made
    check(run.id)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_the_id_that_mlflow_gave_is_found_again(project: Path, meta: Meta, damage: Damage) -> None:
    with cannot_be_reached(), tracking.start_run("train", "a run", meta) as run:
        write(run)
    next_command()
    made = known_id(run.id)
    damage(project / ".wellfit" / "runs" / run.id / "mlflow.json")
    assert known_id(run.id) is None
    again = tracking.reopen_run(run.id)
    assert again
    assert again.mlflow_id == known_id(run.id) == made


@pytest.mark.parametrize("damage", ['{"name": "a r', '{"name": "a run"}'])
def test_a_creation_that_is_damaged_is_set_aside(
    project: Path, meta: Meta, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with cannot_be_reached(), tracking.start_run("train", "a run", meta) as run:
        pass
    entry = next((outboxes() / run.id).glob("*-create.json"))
    entry.write_text(damage)
    next_command()
    next_command()
    assert capsys.readouterr().err.count(f"{entry} is not as it was written; it is set aside") == 1
    assert tracking.reopen_run(run.id) is None


def test_what_would_not_mend_itself_ends_the_command_before_anything_is_done(
    meta: Meta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for address in ("foo://bar", "postgresql+nothing://h/x"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        open_client.cache_clear()
        with pytest.raises(WellfitError, match=r"MLflow at ") as caught:
            tracking.start_run("train", "a run", meta).__enter__()
        assert "\n" not in str(caught.value)
    open_client.cache_clear()


WORKS = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from tests.tracking.test_creation import write
from wellfit import tracking
from wellfit.data.meta import Meta
with tracking.start_run("train", "a run", Meta.model_validate_json(sys.argv[1])) as run:
    print(run.id, flush=True)
    write(run)
"""


@pytest.mark.slow
@pytest.mark.parametrize("hangs", [False, True])
def test_a_server_that_is_away_costs_seconds_and_has_the_run_later(
    meta: Meta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hangs: bool
) -> None:
    port = free_port()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    command = [sys.executable, "-c", WORKS, meta.model_dump_json(exclude={"sha256"})]

    def work() -> str:
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert (done.returncode, done.stderr.count("\n"), done.stderr.count("warning:")) == (0, 1, 1), done.stderr
        assert "cannot be reached" in done.stderr
        assert time.monotonic() - began < (120 if hangs else 40)  # imports included, on a busy machine
        return done.stdout.strip()

    if hangs:
        with server(port, tmp_path) as group:
            os.killpg(group, signal.SIGSTOP)
            run_id = work()
            os.killpg(group, signal.SIGCONT)
    else:
        run_id = work()
    with server(port, tmp_path):
        next_command()
        check(run_id)
    open_client.cache_clear()
