"""MLflow runs: how they end, where they nest, what they hold. All against a real sqlite store."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from mlflow import MlflowClient

from wellfit import tracking
from wellfit.data.meta import Meta
from wellfit.errors import WellfitError
from wellfit.tracking.runs import OPEN
from wellfit.tracking.store import open_client


def test_the_store_is_mlflow_db_at_the_root(client: MlflowClient, meta: Meta, tmp_path: Path) -> None:
    with tracking.start_run("train", "a run", meta) as run:
        (tmp_path / "file.txt").write_text("text")
        run.log_file(tmp_path / "file.txt", "folder")
    assert (tmp_path / "mlflow.db").is_file()
    assert list((tmp_path / "mlartifacts").rglob("folder/file.txt"))
    assert not (tmp_path / "mlruns").exists()


def test_the_experiment_says_what_is_in_it(client: MlflowClient, meta: Meta) -> None:
    with tracking.start_run("train", "a run", meta) as run:
        pass
    tags = client.get_experiment(run.experiment_id).tags
    assert "studies" in tags["mlflow.note.content"]


def test_no_other_folder_is_made_beside_a_project_with_blanks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meta: Meta
) -> None:
    project = tmp_path / "my 50% projé #1 [x] a%20b c"
    project.mkdir()
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(project)
    open_client.cache_clear()
    with tracking.start_run("train", "a run", meta) as run:
        (project / "file").touch()
        run.log_file(Path("file"), "folder")
    open_client.cache_clear()
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")  # Default, whose location MLflow writes as a plain path
    with tracking.start_run("train", "another", meta) as other:
        other.log_file(Path("file"))
    open_client.cache_clear()
    assert (project / "mlruns" / "0" / other.id / "artifacts" / "file").is_file()
    assert (project / "mlartifacts" / run.id / "artifacts" / "folder" / "file").is_file()
    assert os.listdir(tmp_path) == [project.name]


@pytest.mark.parametrize("password", ["hush/@x", "hush"])
def test_a_password_is_not_shown(password: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:{password}@127.0.0.1:9")
    open_client.cache_clear()
    with pytest.raises(WellfitError, match=r"http://ann:\*\*\*@127\.0\.0\.1:9") as caught:
        tracking.open_store()
    assert "hush" not in str(caught.value)
    open_client.cache_clear()


@pytest.mark.slow
def test_two_processes_may_open_a_new_store_at_once(tmp_path: Path) -> None:
    code = "from wellfit import tracking\nwith tracking.start_parent_run('a', 'moons') as run: print(run.id)"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "DVC", "WELLFIT"))}
    processes = [
        subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    ids = {process.communicate(timeout=120)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0] * 2
    assert len(ids) == 2


DIES = """
import os, signal, sys, time
from wellfit import tracking
with tracking.start_parent_run("a", "moons") as run:
    print(run.id, flush=True)
    if sys.argv[1] == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)
"""


@pytest.mark.parametrize(("what", "status"), [("dies", "KILLED"), ("lives", "RUNNING")])
def test_the_run_of_a_process_that_died_is_closed_at_the_next_start(
    project: Path, what: str, status: str, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "DVC", "WELLFIT"))}
    with subprocess.Popen(
        [sys.executable, "-c", DIES, what], cwd=project, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        run_id = process.stdout.readline().strip()
        if what == "dies":
            process.wait()
        for _ in range(2):  # the second finds nothing left to do
            open_client.cache_clear()
            assert open_client().get_run(run_id).info.status == status
        process.kill()
    assert capsys.readouterr().out.count(run_id) == (what == "dies")


def test_what_a_dead_process_was_copying_is_closed_with_its_run(project: Path, meta: Meta) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "DVC", "WELLFIT"))}
    dead = subprocess.run(
        [sys.executable, "-c", DIES, "dies"],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    client, parent = MlflowClient(tracking.store_uri()), dead.stdout.strip()
    tags = {"mlflow.parentRunId": parent}
    experiment = client.get_run(parent).info.experiment_id
    alone, alive = (client.create_run(experiment, tags=tags).info.run_id for _ in range(2))
    lock = project / ".wellfit" / "runs" / alive / OPEN
    lock.parent.mkdir(parents=True)
    with FileLock(lock):
        open_client.cache_clear()
        open_client()
    assert [client.get_run(run).info.status for run in (parent, alone, alive)] == ["KILLED", "KILLED", "RUNNING"]


def test_a_run_of_another_store_is_left_alone(client: MlflowClient, project: Path) -> None:
    lock = project / ".wellfit" / "runs" / ("0" * 32) / OPEN
    lock.parent.mkdir(parents=True)
    lock.touch()
    open_client.cache_clear()
    open_client()
    assert lock.exists()


def test_the_store_that_is_made_before_the_ui_takes_artifacts(
    tmp_path: Path, meta: Meta, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    open_client.cache_clear()
    tracking.open_store()
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
    with tracking.start_run("train", "a run", meta) as run:
        (tmp_path / "file.txt").write_text("text")
        run.log_file(tmp_path / "file.txt")
    assert list(tmp_path.rglob(f"{run.id}/artifacts/file.txt"))
    open_client.cache_clear()


def test_a_deleted_experiment_has_a_successor(
    client: MlflowClient, meta: Meta, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = []
    for name in ("wellfit", "wellfit-2", "wellfit-3"):
        for _ in range(2):
            with tracking.start_run("train", "a run", meta) as run:
                runs.append(run)
        assert client.get_experiment(run.experiment_id).name == name
        client.delete_experiment(run.experiment_id)
    assert capsys.readouterr().out.count("was deleted in MLflow: wellfit-2 is made") == 1  # said once
    assert [tracking.reopen_run(run.id) for run in runs] == [None] * len(runs)


def test_a_deleted_experiment_that_is_asked_for_by_id(
    client: MlflowClient, meta: Meta, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = client.create_experiment("given")
    client.delete_experiment(given)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", given)
    with tracking.start_run("train", "a run", meta) as run:
        pass
    assert client.get_experiment(run.experiment_id).name == "wellfit"
    assert f"experiment {given} (MLFLOW_EXPERIMENT_ID) was deleted" in capsys.readouterr().out


def test_the_lock_of_a_deleted_run_goes(client: MlflowClient, project: Path, meta: Meta) -> None:
    run_id = client.create_run(client.create_experiment("mine")).info.run_id
    client.delete_run(run_id)
    lock = project / ".wellfit" / "runs" / run_id / OPEN
    lock.parent.mkdir(parents=True)
    lock.touch()
    open_client.cache_clear()
    assert open_client().get_run(run_id).info.status == "RUNNING"
    assert not lock.exists()
