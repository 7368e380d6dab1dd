"""Runs that are open: made, filled, and closed on every way out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from wellfit.errors import WellfitError
from wellfit.interruptions import check, deferred, interruption_behind
from wellfit.provenance import git_commit
from wellfit.tracking.address import shown_store_uri, store_uri
from wellfit.tracking.failures import TrackingError, first_line, unreachable_in_one_line
from wellfit.tracking.run import Run
from wellfit.tracking.store import (
    EXPERIMENT,
    OPEN,
    OPEN_LOCKS,
    experiment_id,
    find_run,
    is_held,
    open_client,
    runs_folder,
)

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from wellfit.data.meta import Meta

PARENT_RUN_VARIABLE = "WELLFIT_PARENT_RUN_ID"  # set by pipelines/run.py for the stages below it
STAGE_VARIABLE = "WELLFIT_PARENT_RUN_STAGE"  # likewise: the stage whose run that is, if it is a stage's


def start_run(
    stage: str,
    name: str,
    meta: Meta,
    *,
    again: str | None = None,
    shared: bool = False,
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
        started: when a new run began, in seconds since 1970; None: now.
    """

    def make(client: MlflowClient) -> str:
        parent_id = _not_deleted(client, os.environ.get(PARENT_RUN_VARIABLE))
        adopted = _not_deleted(client, project_run())
        if again and not adopted and _is_in_place(client, _not_deleted(client, again), parent_id):
            adopted = again
        tags = run_tags(stage, meta.title, meta)
        if adopted:
            _tag(client, adopted, tags)
            client.update_run(adopted, status="RUNNING")
            return adopted
        if parent_id:
            tags["mlflow.parentRunId"] = parent_id
        experiment = client.get_run(parent_id).info.experiment_id if parent_id else experiment_id(client)
        start_time = None if started is None else int(started * 1000)
        return str(client.create_run(experiment, start_time, tags, name).info.run_id)

    if again and not shared:
        _open_store_for(again)
    return _open_run(make, meta, shared=shared)


def _open_store_for(run_id: str) -> None:
    """Opens the store, which ends the runs of dead processes, all but this one: it goes on."""
    path = runs_folder() / run_id / OPEN
    if path.is_file():
        with suppress(Timeout), FileLock(path, timeout=0):
            open_client()


def start_parent_run(name: str, dataset: str) -> AbstractContextManager[Run]:
    """Opens the run that the stages of a pipeline nest under: that of ``mlflow run``, or a new one."""

    def make(client: MlflowClient) -> str:
        tags = run_tags("pipeline", dataset)
        if run_id := os.environ.get("MLFLOW_RUN_ID"):
            _tag(client, run_id, tags)
            return run_id
        return str(client.create_run(experiment_id(client), tags=tags, run_name=name).info.run_id)

    return _open_run(make)


@contextmanager
def _open_run(make: Callable[[MlflowClient], str], meta: Meta | None = None, *, shared: bool = False) -> Iterator[Run]:
    """A run from before it is made until it is closed, in which interruptions are deferred.

    Its lock tells other processes that it is open, and is free again once this process is gone.
    """
    client = open_client()
    with deferred():
        with unreachable_in_one_line():
            run = Run(client, make(client))
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
            _check_artifacts(client, run.id)
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


def _not_deleted(client: MlflowClient, run_id: str | None) -> str | None:
    """A run that is to be used; None, and a line, where the store does not have it any more."""
    if run_id and not find_run(client, run_id):
        print(f"run {run_id} is not in {shown_store_uri()}, or was deleted there: it is done without", flush=True)
        return None
    return run_id


def _is_in_place(client: MlflowClient, run_id: str | None, parent_id: str | None) -> bool:
    """Whether the store has an earlier run where a new one would be made."""
    run = find_run(client, run_id) if run_id else None
    if run is None or run.data.tags.get("mlflow.parentRunId") != parent_id:
        return False
    return parent_id is not None or run.info.experiment_id == experiment_id(client)


def _check_artifacts(client: MlflowClient, run_id: str) -> None:
    """`mlflow ui` in an empty folder makes a store whose experiment *Default* keeps its files behind that server."""
    with unreachable_in_one_line():
        info = client.get_run(run_id).info
    if str(info.artifact_uri).startswith("mlflow-artifacts:") and store_uri().startswith("sqlite"):
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
        experiment = client.get_run(run_id).info.experiment_id
        query = f"tags.`mlflow.parentRunId` = '{run_id}'"
        return bool(client.search_runs([experiment], query, max_results=1))


def reopen_run(run_id: str) -> Run | None:
    """A run that has ended, to add to it; None if it was deleted, or is in another store, as after ``dvc pull``.

    While MLflow is away, what is added waits in the outbox, and a warning says so.
    """
    try:
        client = open_client()
        return Run(client, run_id) if find_run(client, run_id) else None
    except TrackingError as error:
        run = Run(None, run_id)
        run.warn(error)
        return run


def run_tags(stage: str, dataset: str, meta: Meta | None = None) -> dict[str, str]:
    """The tags of a run: where it comes from, and the data it uses.

    Args:
        stage: the tag ``wellfit.stage``.
        dataset: the name of the data.
        meta: the data, for a run that reads them.
    """
    tags = {
        "wellfit.stage": stage,
        "wellfit.dataset": dataset,
        "wellfit.data_sha256": meta.sha256 if meta else "",
        "wellfit.data_warnings": "\n".join(meta.warnings) if meta else "",
        "mlflow.source.name": sys.argv[0],
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": git_commit(),
        "dvc.exp_name": os.environ.get("DVC_EXP_NAME", ""),
        "dvc.exp_baseline_rev": os.environ.get("DVC_EXP_BASELINE_REV", ""),
        "dvc.stage": os.environ.get("DVC_STAGE", ""),
    }
    return {key: value for key, value in tags.items() if value}


def _tag(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    for key, value in tags.items():
        client.set_tag(run_id, key, value)
