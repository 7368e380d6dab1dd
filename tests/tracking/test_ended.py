"""Runs that are told of after their end, and a run that several processes have open."""

import os
import shutil
import sqlite3
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from mlflow import MlflowClient

from wellfit import tracking
from wellfit.data.meta import Meta
from wellfit.errors import WellfitError
from wellfit.tracking.ended import EndedRun, create_ended_run, fill_ended_run, thinned
from wellfit.tracking.store import open_client


@pytest.fixture
def ended(tmp_path: Path) -> EndedRun:
    (tmp_path / "history.jsonl").write_text("{}\n")
    return EndedRun(
        stage="trial",
        name="trial 3",
        status="KILLED",
        started=100.0,
        ended=104.0,
        tags={"wellfit.trial": "3"},
        params={f"model.key{i}": i for i in range(150)} | {"model.hidden": [8], "optim.clip_norm": None},
        metrics={"best/val/loss": 0.5, "best_epoch": 2},
        history=[{f"m{i}": epoch + i for i in range(600)} | {"odd": float("nan")} for epoch in (1, 2, 3, 4)],
        best_epoch=2,
        files=[(tmp_path / "history.jsonl", ""), (tmp_path / "history.jsonl", "checkpoint")],
    )


def test_it_has_all_that_it_was_told(client: MlflowClient, meta: Meta, ended: EndedRun) -> None:
    with tracking.start_run("tune", "study", meta) as study:
        first = create_ended_run(ended, meta, study)
        fill_ended_run(client, first, ended)
        fill_ended_run(client, first, ended)  # as after a copy that was cut short
        other = create_ended_run(ended._replace(tags={"wellfit.trial": "4"}), meta, study)
        assert tracking.children_by_tag(study, "wellfit.trial") == {"3": first, "4": other}
    run = client.get_run(first)
    assert (run.info.run_name, run.info.status) == ("trial 3", "KILLED")
    assert (run.info.start_time, run.info.end_time) == (100_000, 104_000)
    assert run.data.tags["mlflow.parentRunId"] == study.id
    assert run.data.tags["wellfit.data_sha256"] == meta.sha256
    assert len(run.data.params) == 152
    assert (run.data.params["model.hidden"], run.data.params["optim.clip_norm"]) == ("[8]", "null")
    assert len(run.data.metrics) == 602  # NaN is left out: the store cannot hold it
    curve = client.get_metric_history(first, "m7")
    assert [(point.step, point.value, point.timestamp) for point in curve] == [
        (1, 8, 101_000),
        (2, 9, 102_000),
        (3, 10, 103_000),
        (4, 11, 104_000),
    ]
    assert [file.path for file in client.list_artifacts(first, "checkpoint")] == ["checkpoint/history.jsonl"]


def test_what_mlflow_does_not_take_is_one_line(
    client: MlflowClient, meta: Meta, ended: EndedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*args: object, **kwargs: object) -> None:
        raise ConnectionError("refused")

    with tracking.start_run("tune", "study", meta) as study:
        assert study.experiment_id
        monkeypatch.setattr(client, "create_run", gone)
        with pytest.raises(WellfitError, match=r"did not take the run: refused"):
            create_ended_run(ended, meta, study)


JOINS = """
import sys
from wellfit import tracking
from wellfit.data.meta import Meta
meta = Meta.model_validate_json(sys.argv[2])
with tracking.start_run("tune", "study", meta, again=sys.argv[1], shared=True) as run:
    print(run.id, flush=True)
    sys.stdin.readline()
    run.status = "KILLED"
"""


@pytest.mark.parametrize("other_is_last", [True, False])
def test_the_last_to_leave_a_shared_run_ends_it(client: MlflowClient, meta: Meta, other_is_last: bool) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "DVC"))}
    with tracking.start_run("tune", "study", meta, shared=True) as run:
        text = meta.model_dump_json(exclude={"sha256"})
        other = subprocess.Popen(
            [sys.executable, "-c", JOINS, run.id, text],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert other.stdout is not None
        assert other.stdout.readline().strip() == run.id
        open_client.cache_clear()
        open_client()  # which closes the runs of the dead
        assert client.get_run(run.id).info.status == "RUNNING"
        if not other_is_last:
            other.communicate("\n")
            assert client.get_run(run.id).info.status == "RUNNING"
    if other_is_last:
        assert client.get_run(run.id).info.status == "RUNNING"
        other.communicate("\n")
    assert other.returncode == 0
    assert client.get_run(run.id).info.status == ("KILLED" if other_is_last else "FINISHED")


def mode(path: Path) -> str:
    connection = sqlite3.connect(path)
    try:
        return str(connection.execute("PRAGMA journal_mode").fetchone()[0])
    finally:
        connection.close()


def test_a_write_ahead_log_is_for_the_time_being(project: Path, meta: Meta) -> None:
    store = project / "mlflow.db"
    assert mode(store) == "delete"
    with tracking.write_ahead():
        with tracking.start_run("tune", "study", meta) as run:
            run.log_params({"optim.lr": 0.1})
        assert mode(store) == "wal"
        assert (project / "mlflow.db-wal").exists()
    assert mode(store) == "delete"
    shutil.move(store, project / "moved.db")  # one file has it all
    assert sorted(path.name for path in project.glob("mlflow.db*")) == []
    moved = MlflowClient(f"sqlite:///{project}/moved.db")
    assert moved.get_run(run.id).data.params == {"optim.lr": "0.1"}


def test_there_is_no_log_for_a_store_that_is_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with tracking.write_ahead():
        pass


@pytest.mark.parametrize(("epochs", "metrics"), [(1, 3), (25, 3), (26, 9), (40, 12), (1000, 3), (300, 100)])
def test_curves_are_thinned_evenly_with_first_last_and_best(epochs: int, metrics: int) -> None:
    history = [{f"m{i}": float(epoch) for i in range(metrics)} for epoch in range(1, epochs + 1)]
    best = max(1, epochs - 1)
    kept = thinned(history, best)
    assert {1, best, epochs} <= set(kept)
    most = min(25, max(5, 240 // metrics))
    assert min(epochs, most) - 1 <= len(kept) <= most
    assert all(values == {f"m{i}": float(epoch) for i in range(metrics)} for epoch, values in kept.items())
    gaps = [b - a for a, b in pairwise(sorted(set(kept) - {best}))]
    assert not gaps or max(gaps) <= 2 * epochs / most + 1
