"""Runs that are open: made, filled, and closed on every way out."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from wellfit.data.catalog import CATALOG
from wellfit.errors import WellfitError
from wellfit.interruptions import check, deferred, interruption_behind
from wellfit.provenance import git_commit
from wellfit.tracking.address import shown_store_uri, store_uri
from wellfit.tracking.batches import as_metrics, send
from wellfit.tracking.delivery import perform
from wellfit.tracking.failures import TrackingError, first_line, unreachable_in_one_line
from wellfit.tracking.outbox import Outbox
from wellfit.tracking.store import (
    EXPERIMENT,
    OPEN,
    OPEN_LOCKS,
    experiment_id,
    find_run,
    is_held,
    open_client,
    runs_folder,
    send_outbox,
)

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

    from wellfit.data.meta import Meta

PARENT_RUN_VARIABLE = "WELLFIT_PARENT_RUN_ID"  # set by pipelines/run.py for the stages below it
STAGE_VARIABLE = "WELLFIT_PARENT_RUN_STAGE"  # likewise: the stage whose run that is, if it is a stage's
FLUSH_SECONDS = 5.0
RETRY_SECONDS = 30.0  # to the next try to send the metrics of epochs, once one has failed


class Run:
    """An MLflow run to write to: an open one of :func:`start_run`, or one that has ended, of :func:`reopen_run`.

    Attributes:
        id: the run's id in MLflow.
        status: FINISHED, FAILED or KILLED: what it gets when it is closed.
        is_closed: False once it has ended without MLflow knowing: a later command closes it.
    """

    def __init__(self, client: MlflowClient | None, run_id: str) -> None:
        self.id = run_id
        self.status = "FINISHED"
        self.is_closed = True
        self._opened = client  # None: it was away
        self._unsent: list[Metric] = []
        self._last_flush = time.monotonic()
        self._history = runs_folder() / run_id / "history.jsonl"
        self._sent: dict[str, int] = {}  # the last step of each metric that the store has from before
        self._outbox = Outbox(run_id)
        # Whether what is told now has to wait: MLflow was away, or something is in the outbox already.
        self._waits = client is None or bool(self._outbox.entries())
        self._warned = False

    @property
    def _client(self) -> MlflowClient:
        return self._opened or open_client()

    @cached_property
    def experiment_id(self) -> str:
        """The id of its experiment."""
        return str(self._call(self._client.get_run).info.experiment_id)

    @property
    def tags(self) -> dict[str, str]:
        """Its tags, as MLflow has them now."""
        tags: dict[str, str] = self._call(self._client.get_run).data.tags
        return tags

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Logs dotted keys of ``params.yaml`` and their values."""
        self._tell("params", values=dict(values))

    def log_metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Adds metrics to the next batch, but for NaN, infinity and None."""
        new = {name: value for name, value in values.items() if step > self._sent.get(name, -1)}
        self._unsent += as_metrics(new, int(time.time() * 1000), step)

    def go_on(self) -> None:
        """Begins the history anew, in a run that was stopped: what the store has of a metric is not sent again."""
        self._history.unlink(missing_ok=True)
        for name in self._call(self._client.get_run).data.metrics:
            self._sent[name] = max(metric.step for metric in self._call(self._client.get_metric_history, name))

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Appends an epoch to the local history, and sends all that is unsent to MLflow every few seconds."""
        line = {"epoch": epoch} | {k: v if math.isfinite(v) else None for k, v in values.items()}
        with self._history.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.log_metrics(values, step=epoch)
        if time.monotonic() - self._last_flush > (RETRY_SECONDS if self._warned else FLUSH_SECONDS):
            try:
                with unreachable_in_one_line():
                    send(self._client, self.id, [], self._unsent)
            except TrackingError as error:
                self.warn(error)
            self._last_flush = time.monotonic()
        check()

    def flush(self) -> None:
        """Sends the metrics that have been logged since the last time."""
        if self._unsent:
            metrics = [(each.key, each.value, each.timestamp, each.step) for each in self._unsent]
            self._unsent.clear()
            self._put("metrics", {"metrics": metrics})
        self._last_flush = time.monotonic()

    def log_history(self) -> None:
        """Copies the local history into the run's artifacts."""
        self.log_file(self._history)

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Copies a file into the run's artifacts, below ``folder``."""
        self._tell("file", path=str(path), folder=folder)

    def log_files(self, directory: Path, folder: str | None = None) -> None:
        """Copies all files of a directory into the run's artifacts, below ``folder``."""
        self._tell("files", path=str(directory), folder=folder)

    def tag(self, key: str, value: object) -> None:
        """Sets a tag."""
        self._tell("tag", key=key, value=value)

    def tag_experiment(self, tags: Mapping[str, str]) -> None:
        """Sets tags of the run's experiment."""
        self._tell("experiment_tags", tags=dict(tags))

    def log_input(self, meta: Meta) -> None:
        """Logs the data set as the run's input."""
        source = {"source": CATALOG[meta.name].source}
        self._tell("input", name=meta.title, digest=meta.sha256[:8], source=source, profile=dict(meta.split_sizes))

    def terminate(self) -> None:
        """Sends the status that the run ends with, and before it what waits."""
        self.is_closed = self._put("status", {"status": self.status, "ended": int(time.time() * 1000)})
        if not self.is_closed and self._status_waits():
            with suppress(TrackingError):  # said when it began to wait
                send_outbox(self._client, self.id)
            self.is_closed = not self._status_waits()

    def _status_waits(self) -> bool:
        return any(entry.kind == "status" for entry in self._outbox.entries())

    def _tell(self, kind: str, **content: Any) -> None:
        self._put(kind, content)
        check()

    def _put(self, kind: str, content: Mapping[str, Any]) -> bool:
        """Tells MLflow something, or keeps it for later: what MLflow does not take costs no training.

        Returns:
            Whether MLflow has it.
        """
        if not self._waits:
            try:
                perform(self._client, self.id, kind, content)
                return True
            except TrackingError as error:
                self.warn(error)
        try:
            self._outbox.append(kind, content)
            self._waits = True
        except OSError as error:
            print(f"warning: run {self.id} will lack a part, which cannot be kept: {error}", file=sys.stderr)
        return False

    def warn(self, error: TrackingError) -> None:
        """Says once that MLflow is away."""
        if not self._warned:
            self._warned = True
            print(f"warning: {error}; the work goes on, and the next command sends what is missing", file=sys.stderr)

    def _call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with unreachable_in_one_line():
            result = method(self.id, *args, **kwargs)
        check()
        return result


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
