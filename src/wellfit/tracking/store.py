"""The MLflow store: how it is opened, and how the runs of dead processes are closed in it."""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from wellfit.tracking.address import store_file, store_uri
from wellfit.tracking.creation import LOCAL_ID, known_id, mlflow_id
from wellfit.tracking.delivery import deliver
from wellfit.tracking.failures import TrackingError, unreachable_in_one_line
from wellfit.tracking.moved import follow_project
from wellfit.tracking.outage import check_answers, settle_patience
from wellfit.tracking.outbox import Outbox, outboxes
from wellfit.tracking.runs import ACTIVE, OPEN_LOCKS, is_open, runs_folder, store_lock, stored_run

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient
LOGGED = {
    "alembic": logging.WARNING,  # each migration of a new store
    "mlflow.store.db.utils": logging.CRITICAL,  # each error of a database with its SQL; a warning of ours says it
    "urllib3.connectionpool": logging.ERROR,  # each try to reach a server
}


def open_store() -> None:
    """Makes the store if there is none. If `mlflow ui` made it, its artifacts would be in another place."""
    open_client()


@cache
def open_client() -> MlflowClient:
    """The client of the store, which is made if there is none. Runs that dead processes left open are closed.

    Raises:
        TrackingError: MLflow is away, which is known within seconds, or its store cannot be used.
    """
    settle_patience()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    from wellfit.tracking.client import Client

    for name, level in LOGGED.items():
        logging.getLogger(name).setLevel(level)
    with unreachable_in_one_line():
        check_answers()
    # Two processes that open a new sqlite store at once both run its migrations and destroy it.
    file = store_file()
    with store_lock(), unreachable_in_one_line():
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
        client = Client(tracking_uri=store_uri())
        client.search_experiments(max_results=1)
        if file:
            follow_project(file)
        _send_what_waits(client)
        _close_abandoned(client)
    return client


def _send_what_waits(client: MlflowClient) -> None:
    """Sends what MLflow did not take of earlier runs, but for those that a process has open.

    A line says how many runs wait for MLflow at another address, which may have been mistyped.
    """
    elsewhere = 0
    for folder in sorted(outboxes().glob("*")):
        if is_open(runs_folder() / folder.name):
            continue
        try:
            elsewhere += not send_outbox(client, folder.name)
        except TrackingError as error:
            print(f"warning: {error}; what it lacks is kept in {folder}", file=sys.stderr, flush=True)
            if error.is_outage:  # the others would wait in vain
                return
    if elsewhere:
        waiting = "1 run waits" if elsewhere == 1 else f"{elsewhere} runs wait"
        print(f"{waiting} in {outboxes()} for MLflow at another address; delete what is not to be sent", flush=True)


def send_outbox(client: MlflowClient, run_id: str) -> bool:
    """Sends what waits for a run, if there is anything, and says so. The run is made if MLflow was away before.

    Returns:
        Whether nothing waits any more; else it waits for another store.

    Raises:
        TrackingError: MLflow did not take all of it.
    """
    outbox = Outbox(run_id)
    if not outbox.entries():
        return True
    found = mlflow_id(client, run_id)
    run = stored_run(client, found) if found else None
    if run is None:
        return False
    if run.info.lifecycle_stage != ACTIVE:
        outbox.discard()
        print(f"run {run_id} was deleted in MLflow: what it lacked is dropped", flush=True)
        return True
    deliver(client, outbox, run.info.run_id)
    print(f"run {run_id}: MLflow has been sent what it lacked", flush=True)
    return True


def _close_abandoned(client: MlflowClient) -> None:
    """Ends the runs of processes that died without ending them: their lock exists, and no process holds it."""
    for folder in sorted({path.parent for path in runs_folder().glob(f"*/{OPEN_LOCKS}")}):
        if is_open(folder):
            continue
        found = known_id(folder.name)
        run = stored_run(client, found) if found else None
        if run is None:  # it is in another store, and is closed when that one is opened
            continue
        if run.info.status == "RUNNING" and run.info.lifecycle_stage == ACTIVE:
            client.set_terminated(run.info.run_id, "KILLED")
            print(f"run {folder.name} is KILLED: its process died without ending it")
            _close_children(client, run)
        for path in folder.glob(OPEN_LOCKS):
            path.unlink(missing_ok=True)


def _close_children(client: MlflowClient, parent: Run) -> None:
    """Ends the runs that a dead process was copying below its own; a run that another process has open goes on."""
    query = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}' and attributes.status = 'RUNNING'"
    for child in client.search_runs([parent.info.experiment_id], query):
        folder = runs_folder() / child.data.tags.get(LOCAL_ID, child.info.run_id)
        if not is_open(folder):
            client.set_terminated(child.info.run_id, "KILLED")


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
