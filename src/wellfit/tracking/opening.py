"""Runs that are open: made, filled, and closed on every way out."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from wellfit.errors import WellfitError
from wellfit.interruptions import check, deferred, interruption_behind
from wellfit.tracking.address import shown_store_uri, store_uri
from wellfit.tracking.creation import Creation, active_run, create_run, mlflow_id, postpone
from wellfit.tracking.experiment import EXPERIMENT, find_or_create_experiment, wanted_experiment
from wellfit.tracking.failures import TrackingError, first_line, unreachable_in_one_line
from wellfit.tracking.postponed import send_postponed
from wellfit.tracking.run import Run
from wellfit.tracking.runs import OPEN, OPEN_LOCKS, find_run, is_held, runs_folder
from wellfit.tracking.store import open_client
from wellfit.tracking.tags import PARENT, run_tags

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from wellfit.data.meta import Meta

PARENT_RUN_VARIABLE = "WELLFIT_PARENT_RUN_ID"  # set by pipelines/run.py for the stages below it
STAGE_VARIABLE = "WELLFIT_PARENT_RUN_STAGE"  # likewise: the stage whose run that is, if it is a stage's
ANOTHER = "another one takes its place and gets all there is"


def start_run(
    stage: str,
    name: str,
    meta: Meta,
    *,
    again: str | None = None,
    shared: bool = False,
    may_wait: bool = True,
    started: float | None = None,
) -> AbstractContextManager[Run]:
    """Opens a run and closes it on every way out: FINISHED, FAILED after an error, KILLED when interrupted.

    Below ``mlflow run`` of the whole pipeline it is a child of that run; ``mlflow run -e`` of a single stage hands
    over its own run, which is used as it is, and the stages that it needs are children of it.

    Args:
        stage: the tag ``wellfit.stage``.
        name: what the MLflow UI shows.
        meta: the data, logged as the run's input and as tags.
        again: the id of an earlier run to go on with, if the store still has it in the same experiment and with the
            same parent.
        shared: several processes may have the run open; the last one to close it gives it its status.
        may_wait: while MLflow is away, a warning says so, and the run is made by a later command.
        started: when a new run began, in seconds since 1970; None: now.

    Raises:
        TrackingError: the store cannot be used, or it is away and the run may not wait.
    """
    milliseconds = None if started is None else int(started * 1000)
    creation = Creation(name, run_tags(stage, meta.title, meta), milliseconds, os.environ.get(PARENT_RUN_VARIABLE))
    return _open_run(creation, project_run(), again, meta, shared=shared, may_wait=may_wait)


def start_parent_run(name: str, dataset: str) -> AbstractContextManager[Run]:
    """Opens the run that the stages of a pipeline nest under: that of ``mlflow run``, or a new one."""
    return _open_run(Creation(name, run_tags("pipeline", dataset)), os.environ.get("MLFLOW_RUN_ID"))


@contextmanager
def _open_run(
    creation: Creation,
    given: str | None,
    again: str | None = None,
    meta: Meta | None = None,
    *,
    shared: bool = False,
    may_wait: bool = True,
) -> Iterator[Run]:
    """A run from before it is made until it is closed, in which interruptions are deferred.

    Its lock tells other processes that it is open, and is free again once this process is gone.
    """
    try:
        client: MlflowClient | TrackingError = _open_store(None if shared else again)
        if may_wait:  # else this is a publisher itself
            send_postponed()
    except TrackingError as error:
        if not (error.is_outage and may_wait):
            raise
        client = error
    with deferred():
        run = _begin(client, creation, given, again, may_wait=may_wait)
        folder = runs_folder() / run.id
        path = folder / (f"open-{os.getpid()}.lock" if shared else OPEN)
        lock = FileLock(path)

        def close() -> None:
            run.flush()
            if not any(is_held(other) for other in folder.glob(OPEN_LOCKS) if other != path):
                run.terminate()

        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
            _check_artifacts(run)
            if meta:
                run.log_input(meta)
            check()
            yield run
            check()
            close()
        except BaseException as error:
            run.status = "KILLED" if interruption_behind(error) else "FAILED"
            try:
                close()
            except Exception as unclosed:  # a server that is gone must not hide the first error
                print(f"warning: run {run.id} could not be closed: {first_line(unclosed)}", file=sys.stderr)
            raise
        finally:
            if run.is_closed:  # else the next command closes it
                path.unlink(missing_ok=True)
            lock.release()
            with suppress(OSError):  # a run with a history keeps its folder
                folder.rmdir()


def _open_store(again: str | None) -> MlflowClient:
    """Opens the store, which ends the runs of dead processes, all but the one to go on with."""
    path = runs_folder() / again / OPEN if again else None
    if path and path.is_file():
        with suppress(Timeout), FileLock(path, timeout=0):
            return open_client()
    return open_client()


def _begin(
    client: MlflowClient | TrackingError, creation: Creation, given: str | None, again: str | None, *, may_wait: bool
) -> Run:
    """Takes the run that is given, goes on with an earlier one, or makes one; later, while MLflow is away.

    Args:
        client: of the store, or why there is none.
        creation: what a new run is.
        given: the id of the run that ``mlflow run`` has made.
        again: the id of the earlier one.
        may_wait: whether it may be made later.
    """
    if isinstance(client, TrackingError):
        return _begin_without_store(client, creation, given or again)
    try:
        with unreachable_in_one_line():
            creation = creation._replace(parent=active_run(client, creation.parent))
            used = given if active_run(client, given, ANOTHER) else None
            if again and not used and _is_in_place(client, active_run(client, again, ANOTHER), creation.parent):
                used = again
            if used is None:
                return Run(client, create_run(client, creation))
            run = Run(client, used)
            for key, value in creation.tags.items():
                client.set_tag(run.mlflow_id, key, value)
            client.update_run(run.mlflow_id, status="RUNNING")
            return run
    except TrackingError as error:
        if not (error.is_outage and may_wait):
            raise
        return _begin_without_store(error, creation, given or again)


def _begin_without_store(error: TrackingError, creation: Creation, known: str | None) -> Run:
    """A run of which MLflow hears later. One that it has is taken for the right one, which cannot be looked up."""
    run = Run(None, known or postpone(creation, int(time.time() * 1000)))
    run.warn(error)
    if known:
        for key, value in creation.tags.items():
            run.tag(key, value)
    return run


def _is_in_place(client: MlflowClient, run_id: str | None, parent_id: str | None) -> bool:
    """Whether the store has an earlier run where a new one would be made."""
    run = find_run(client, run_id) if run_id else None
    if run is None or run.data.tags.get(PARENT) != parent_id:
        return False
    return parent_id is not None or run.info.experiment_id == find_or_create_experiment(client, wanted_experiment())


def _check_artifacts(run: Run) -> None:
    """`mlflow ui` in an empty folder makes a store whose experiment *Default* keeps its files behind that server."""
    try:
        is_behind_a_server = store_uri().startswith("sqlite") and run.artifact_uri.startswith("mlflow-artifacts:")
    except TrackingError as error:
        if not error.is_outage:
            raise
        return
    if is_behind_a_server:
        raise WellfitError(
            f"the MLflow experiment of this run keeps its files behind a server, which {shown_store_uri()} is not: "
            f"choose another with `mlflow run . --experiment-name {EXPERIMENT}`, or name the server in "
            "MLFLOW_TRACKING_URI"
        )


def project_run() -> str | None:
    """The run that ``mlflow run -e`` has made for this stage or script, if it did."""
    if PARENT_RUN_VARIABLE not in os.environ:
        return os.environ.get("MLFLOW_RUN_ID")
    is_its_stage = os.environ.get(STAGE_VARIABLE, "") == os.environ.get("DVC_STAGE")
    return os.environ[PARENT_RUN_VARIABLE] if is_its_stage else None


def has_children(run_id: str) -> bool:
    """Whether a run has others nested below it."""
    client = open_client()
    with unreachable_in_one_line():
        found = mlflow_id(client, run_id)
        run = find_run(client, found) if found else None
        query = f"tags.`{PARENT}` = '{found}'"
        return bool(run and client.search_runs([run.info.experiment_id], query, max_results=1))


def reopen_run(run_id: str) -> Run | None:
    """A run that has ended, to add to it; None if it was deleted, or is in another store, as after ``dvc pull``.

    While MLflow is away, what is added waits in the outbox, and a warning says so.
    """
    try:
        client = open_client()
        send_postponed()
        found = mlflow_id(client, run_id)
        return Run(client, run_id) if found and find_run(client, found) else None
    except TrackingError as error:
        run = Run(None, run_id)
        run.warn(error)
        return run
