"""What the store has of runs, and the folder that this machine has of each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from wellfit.files import project_root
from wellfit.tracking.failures import unreachable_in_one_line

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

ACTIVE = "active"  # lifecycle stage of what was not deleted; MLflow still finds the others by id or name
OPEN = "open.lock"  # held in the folder of a run while it is open
OPEN_LOCKS = "open*.lock"  # a shared run has one for each process


def find_run(client: MlflowClient, run_id: str) -> Run | None:
    """A run with its tags and status; None if the store does not have it, or if it was deleted."""
    run = stored_run(client, run_id)
    return run if run and run.info.lifecycle_stage == ACTIVE else None


def stored_run(client: MlflowClient, run_id: str) -> Run | None:
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


def is_open(folder: Path) -> bool:
    """Whether a process has the run of a folder open."""
    return any(is_held(path) for path in folder.glob(OPEN_LOCKS))


def is_held(path: Path) -> bool:
    """Whether a living process holds a lock."""
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


def store_lock() -> FileLock:
    """Held by the one process that changes what all use: tables, experiments, runs that are made late.

    A thread may take it again: it is one object.
    """
    path = project_root() / ".wellfit" / "locks" / "mlflow.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path, is_singleton=True)
