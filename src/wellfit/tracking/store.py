"""The MLflow store: where it is, how it is opened, and what died in it."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from filelock import FileLock, Timeout

from wellfit.errors import WellfitError
from wellfit.files import project_root

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

EXPERIMENT = "wellfit"
EXPERIMENT_DESCRIPTION = (
    "Trainings (`train ...`), studies (`tune ...`) with their trials below them, and comparisons (`compare ...`) with "
    "a run for each variant and seed. The reports, with their pictures, are among the artifacts."
)
OPEN = "open.lock"  # held in the folder of a run while it is under way
OPEN_LOCKS = "open*.lock"  # one for each process of a run that several share


def store_uri() -> str:
    """``MLFLOW_TRACKING_URI``, or ``mlflow.db`` at the repository's root, where ``mlflow ui`` looks."""
    return os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///" + quote(str(project_root() / "mlflow.db"))


def open_store() -> None:
    """Makes the store where there is none, before `mlflow ui` would, which keeps artifacts of its own elsewhere."""
    open_client()


@cache
def open_client() -> MlflowClient:
    """The client of the store, which is made where there is none; the runs of dead processes are closed in it."""
    # A server that is gone must not hold training up for minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.tracking import MlflowClient

    for noisy in ("alembic", "mlflow.store.db.utils"):  # they tell of every migration of a new store
        logging.getLogger(noisy).setLevel(logging.WARNING)
    lock = project_root() / ".wellfit" / "locks" / "mlflow.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    # Two processes that open a new sqlite store at once both run its migrations and destroy it.
    with FileLock(lock), unreachable_in_one_line():
        client = MlflowClient(tracking_uri=store_uri())
        client.search_experiments(max_results=1)
        _close_abandoned(client)
    return client


def experiment_id(client: MlflowClient) -> str:
    """The experiment for new runs: ``MLFLOW_EXPERIMENT_ID``, or that of a name, which is made where there is none."""
    if given := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return given
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    with FileLock(project_root() / ".wellfit" / "locks" / "mlflow.lock"):
        found = client.get_experiment_by_name(name)
        if found:
            return str(found.experiment_id)
        local = store_uri().startswith("sqlite")
        artifacts = (project_root() / "mlartifacts").as_uri() if local else None
        tags = {"mlflow.note.content": EXPERIMENT_DESCRIPTION}
        return str(client.create_experiment(name, artifact_location=artifacts, tags=tags))


def status_of(client: MlflowClient, run_id: str) -> str | None:
    """The status of a run, such as RUNNING; None where the store does not have it."""
    from mlflow.exceptions import MlflowException

    with unreachable_in_one_line():
        try:
            return str(client.get_run(run_id).info.status)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise


def runs_folder() -> Path:
    """Where each run keeps its local history, below its id."""
    return project_root() / ".wellfit" / "runs"


def _close_abandoned(client: MlflowClient) -> None:
    """Ends the runs of processes that died without a word, by SIGKILL or with the machine: nobody holds their lock."""
    for folder in sorted({path.parent for path in runs_folder().glob(f"*/{OPEN_LOCKS}")}):
        locks = list(folder.glob(OPEN_LOCKS))
        if any(is_held(path) for path in locks):
            continue
        run_id = folder.name
        status = status_of(client, run_id)
        if status == "RUNNING":
            client.set_terminated(run_id, "KILLED")
            print(f"run {run_id} is KILLED: its process died without ending it")
            _close_children(client, run_id)
        if status:  # else it is in another store, whose turn comes when that one is opened
            for path in locks:
                path.unlink(missing_ok=True)


def _close_children(client: MlflowClient, run_id: str) -> None:
    """Ends the runs that a process which died was just copying below its own; those with a process go on."""
    query = f"tags.`mlflow.parentRunId` = '{run_id}' and attributes.status = 'RUNNING'"
    for child in client.search_runs([client.get_run(run_id).info.experiment_id], query):
        if not any(is_held(path) for path in (runs_folder() / child.info.run_id).glob(OPEN_LOCKS)):
            client.set_terminated(child.info.run_id, "KILLED")


def is_held(path: Path) -> bool:
    """Whether a process holds a lock; one that has died does not."""
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


@contextmanager
def write_ahead() -> Iterator[None]:
    """Commits of this process to a local store go to a write-ahead log, as long as this is open.

    A trial is six commits, and each waited 3 to 20 ms for the disk. A commit in the log survives the death of any
    process; of a power cut the database comes back as it was a little before. To be opened before the store is.
    """
    uri = store_uri()
    if not uri.startswith("sqlite:///"):
        yield
        return
    from sqlalchemy import event
    from sqlalchemy.engine import Engine
    from sqlalchemy.pool import ConnectionPoolEntry

    path = Path(unquote(uri.removeprefix("sqlite:///")))
    pooled: list[ConnectionPoolEntry] = []

    def connected(connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
        (_, _, file), *_ = connection.execute("PRAGMA database_list").fetchall()
        if file and Path(file).resolve() == path.resolve():
            pooled.append(entry)
            with suppress(sqlite3.OperationalError):  # another process is at it
                if connection.execute("PRAGMA journal_mode = WAL").fetchall() == [("wal",)]:
                    connection.execute("PRAGMA synchronous = NORMAL")

    event.listen(Engine, "connect", connected)
    try:
        yield
    finally:
        event.remove(Engine, "connect", connected)
        open_client.cache_clear()
        for entry in pooled:
            entry.invalidate()  # closes it; whoever uses the pool after this gets another
        # One file again, which can be copied as it is; unless another process has it open.
        with suppress(sqlite3.OperationalError), closing(sqlite3.connect(path, timeout=0.1)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")


@contextmanager
def unreachable_in_one_line() -> Iterator[None]:
    """Turns what MLflow raises into one line that names the store."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        named = (
            " (set by MLFLOW_TRACKING_URI; unset it to use mlflow.db)" if "MLFLOW_TRACKING_URI" in os.environ else ""
        )
        raise WellfitError(f"MLflow at {store_uri()} did not take the run: {first_line(error)}{named}") from error


def first_line(error: Exception) -> str:
    """The first line of an error's words, which MLflow has many of."""
    return str(error).strip().split("\n")[0][:200]
