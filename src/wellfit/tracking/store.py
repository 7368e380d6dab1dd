"""The MLflow store: how it is opened, and how the runs of dead processes are closed in it."""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from wellfit.files import project_root
from wellfit.tracking.address import store_file, store_uri
from wellfit.tracking.delivery import deliver
from wellfit.tracking.failures import TrackingError, unreachable_in_one_line
from wellfit.tracking.moved import ARTIFACTS, follow_project
from wellfit.tracking.outbox import Outbox, outboxes
from wellfit.tracking.views import runs_view

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

EXPERIMENT = "wellfit"
EXPERIMENT_DESCRIPTION = (
    "Trainings (`train ...`), studies (`tune ...`) with their trials below them, and comparisons (`compare ...`) with "
    "a run for each variant and seed. The reports, with their pictures, are among the artifacts. The list *Views* has "
    "tables and charts of what matters: the scores of all runs, and the trials of the latest study."
)
ACTIVE = "active"  # lifecycle stage of what was not deleted; MLflow still finds the others by id or name
OPEN = "open.lock"  # held in the folder of a run while it is open
OPEN_LOCKS = "open*.lock"  # a shared run has one for each process


def open_store() -> None:
    """Makes the store if there is none. If `mlflow ui` made it, its artifacts would be in another place."""
    open_client()


@cache
def open_client() -> MlflowClient:
    """The client of the store, which is made if there is none. Runs that dead processes left open are closed."""
    # Training must not wait minutes for a server that is gone.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from wellfit.tracking.client import Client

    for noisy in ("alembic", "mlflow.store.db.utils"):  # they log each migration of a new store
        logging.getLogger(noisy).setLevel(logging.WARNING)
    lock = project_root() / ".wellfit" / "locks" / "mlflow.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    # Two processes that open a new sqlite store at once both run its migrations and destroy it.
    file = store_file()
    with FileLock(lock), unreachable_in_one_line():
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
        client = Client(tracking_uri=store_uri())
        client.search_experiments(max_results=1)
        if file:
            follow_project(file)
        _send_what_waits(client)
        _close_abandoned(client)
    return client


def experiment_id(client: MlflowClient) -> str:
    """The experiment of new runs: ``MLFLOW_EXPERIMENT_ID``, or the one with the default name, made if there is none.

    In the place of one that was deleted another is used, as MLflow keeps the name of a deleted one.
    """
    if given := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        if client.get_experiment(given).lifecycle_stage == ACTIVE:
            return given
        print(f"experiment {given} (MLFLOW_EXPERIMENT_ID) was deleted in MLflow: the one by name is used", flush=True)
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    with FileLock(project_root() / ".wellfit" / "locks" / "mlflow.lock"):
        views = runs_view()
        for number in count(1):
            free = name if number == 1 else f"{name}-{number}"
            found = client.get_experiment_by_name(free)
            if found is None:
                break
            if found.lifecycle_stage == ACTIVE:
                for key in views.keys() - found.tags.keys():  # made by an earlier version, or by hand
                    client.set_experiment_tag(found.experiment_id, key, views[key])
                return str(found.experiment_id)
        if free != name:
            print(f"the experiment {name} was deleted in MLflow: {free} is made", flush=True)
        local = store_uri().startswith("sqlite")
        artifacts = (project_root() / ARTIFACTS).as_uri() if local else None
        tags = {"mlflow.note.content": EXPERIMENT_DESCRIPTION, **views}
        return str(client.create_experiment(free, artifact_location=artifacts, tags=tags))


def find_run(client: MlflowClient, run_id: str) -> Run | None:
    """A run with its tags and status; None if the store does not have it, or if it was deleted."""
    run = _stored_run(client, run_id)
    return run if run and run.info.lifecycle_stage == ACTIVE else None


def _stored_run(client: MlflowClient, run_id: str) -> Run | None:
    """A run, deleted or not."""
    from mlflow.exceptions import MlflowException

    with unreachable_in_one_line():
        try:
            return client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise


def runs_folder() -> Path:
    """The folder that has a folder for each run, named by its id, with its lock and its history."""
    return project_root() / ".wellfit" / "runs"


def _send_what_waits(client: MlflowClient) -> None:
    """Sends what MLflow did not take of earlier runs, but for those that a process has open."""
    for folder in sorted(outboxes().glob("*")):
        if _is_open(runs_folder() / folder.name):
            continue
        try:
            send_outbox(client, folder.name)
        except TrackingError as error:
            print(f"warning: {error}; what it lacks is kept in {folder}", file=sys.stderr, flush=True)


def send_outbox(client: MlflowClient, run_id: str) -> None:
    """Sends what waits for a run, if there is anything, and says so.

    Raises:
        TrackingError: MLflow did not take all of it.
    """
    outbox = Outbox(run_id)
    if not outbox.entries():
        return
    run = _stored_run(client, run_id)
    if run is None:  # it is in another store, and is sent when that one is opened
        return
    if run.info.lifecycle_stage != ACTIVE:
        outbox.discard()
        print(f"run {run_id} was deleted in MLflow: what it lacked is dropped", flush=True)
        return
    deliver(client, outbox)
    print(f"run {run_id}: MLflow has been sent what it lacked", flush=True)


def _close_abandoned(client: MlflowClient) -> None:
    """Ends the runs of processes that died without ending them: their lock exists, and no process holds it."""
    for folder in sorted({path.parent for path in runs_folder().glob(f"*/{OPEN_LOCKS}")}):
        if _is_open(folder):
            continue
        run = _stored_run(client, folder.name)
        if run is None:  # it is in another store, and is closed when that one is opened
            continue
        if run.info.status == "RUNNING" and run.info.lifecycle_stage == ACTIVE:
            client.set_terminated(folder.name, "KILLED")
            print(f"run {folder.name} is KILLED: its process died without ending it")
            _close_children(client, run)
        for path in folder.glob(OPEN_LOCKS):
            path.unlink(missing_ok=True)


def _close_children(client: MlflowClient, parent: Run) -> None:
    """Ends the runs that a dead process was copying below its own; a run that another process has open goes on."""
    query = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}' and attributes.status = 'RUNNING'"
    for child in client.search_runs([parent.info.experiment_id], query):
        if not _is_open(runs_folder() / child.info.run_id):
            client.set_terminated(child.info.run_id, "KILLED")


def _is_open(folder: Path) -> bool:
    """Whether a process has the run of a folder open."""
    return any(is_held(path) for path in folder.glob(OPEN_LOCKS))


def is_held(path: Path) -> bool:
    """Whether a living process holds a lock."""
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


@contextmanager
def write_ahead() -> Iterator[None]:
    """Uses a write-ahead log for what this process commits to a local store. Enter it before the store is opened.

    A trial is six commits, and each waited 3 to 20 ms for the disk. A commit in the log survives the death of any
    process; a power cut may lose the last ones.
    """
    path = store_file()
    if path is None:
        yield
        return
    from sqlalchemy import event
    from sqlalchemy.engine import Engine
    from sqlalchemy.pool import ConnectionPoolEntry

    pooled: list[ConnectionPoolEntry] = []

    def connected(connection: object, entry: ConnectionPoolEntry) -> None:
        if not isinstance(connection, sqlite3.Connection):  # of a study's storage: the event is one of all engines
            return
        (_, _, file), *_ = connection.execute("PRAGMA database_list").fetchall()
        if file and Path(file).resolve() == path.resolve():
            pooled.append(entry)
            with suppress(sqlite3.DatabaseError):  # another process uses it, or it is damaged
                if connection.execute("PRAGMA journal_mode = WAL").fetchall() == [("wal",)]:
                    connection.execute("PRAGMA synchronous = NORMAL")

    event.listen(Engine, "connect", connected)
    try:
        yield
    finally:
        event.remove(Engine, "connect", connected)
        open_client.cache_clear()
        for entry in pooled:
            entry.invalidate()  # closes the connection; the pool makes another when it is needed
        # Back to a single file, which can be copied; not if another process has it open.
        with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(path, timeout=0.1)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
