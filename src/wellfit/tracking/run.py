"""Runs: opened, filled and closed on every way out."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from wellfit.data.catalog import CATALOG
from wellfit.errors import WellfitError
from wellfit.interruptions import hold, interruption_behind, raise_waiting, release, uninterrupted
from wellfit.provenance import git_commit
from wellfit.tracking.store import (
    EXPERIMENT,
    OPEN,
    OPEN_LOCKS,
    experiment_id,
    first_line,
    is_held,
    open_client,
    runs_folder,
    status_of,
    store_uri,
    unreachable_in_one_line,
)

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from wellfit.data.store import Meta

PARENT_RUN_VARIABLE = "WELLFIT_PARENT_RUN_ID"  # set by pipelines/run.py for the stages below it
BATCH = 1000  # metrics a request, MLflow's limit
FLUSH_SECONDS = 5.0


class Run:
    """An open MLflow run. Made by :func:`start_run`, or by :func:`reopen_run` for one that has ended."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.id = run_id
        self.status = "FINISHED"
        self._client = client
        self._waiting: list[Any] = []
        self._last_flush = time.monotonic()
        self._history = runs_folder() / run_id / "history.jsonl"

    @cached_property
    def experiment_id(self) -> str:
        """Of the experiment it is in."""
        return str(self._call(self._client.get_run).info.experiment_id)

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Logs dotted keys of ``params.yaml`` and their values."""
        from mlflow.entities import Param

        # `mlflow run -P optim.lr=1e-2` has logged that text on its run already, and MLflow takes no other for it.
        given = self._call(self._client.get_run).data.params
        texts = {key: json.dumps(value).strip('"') for key, value in values.items()}
        params = [Param(key, text) for key, text in texts.items() if key not in given]
        for start in range(0, len(params), 100):  # MLflow's limit a request
            self._call(self._client.log_batch, params=params[start : start + 100])

    def log_metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Adds metrics to the next batch. NaN and None are left out: the store cannot hold them."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._waiting += [
            Metric(name, float(value), now, step)
            for name, value in values.items()
            if value is not None and math.isfinite(value)
        ]

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Appends an epoch to the local history, and sends it to MLflow once enough has gathered."""
        line = {"epoch": epoch} | {k: v if math.isfinite(v) else None for k, v in values.items()}
        with self._history.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.log_metrics(values, step=epoch)
        if time.monotonic() - self._last_flush > FLUSH_SECONDS:
            try:
                self.flush()
            except WellfitError as error:
                print(f"warning: {error}; training goes on, the history is kept in {self._history}", file=sys.stderr)
                self._last_flush = time.monotonic()

    def flush(self) -> None:
        """Sends what has gathered."""
        while self._waiting:
            self._call(self._client.log_batch, metrics=self._waiting[:BATCH])
            del self._waiting[:BATCH]
        self._last_flush = time.monotonic()

    def log_history(self) -> None:
        """Copies the local history into the run's artifacts."""
        self.log_file(self._history)

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Copies a file into the run's artifacts, below ``folder``."""
        self._call(self._client.log_artifact, str(path), folder)

    def log_files(self, directory: Path, folder: str | None = None) -> None:
        """Copies all files of a directory into the run's artifacts, below ``folder``."""
        self._call(self._client.log_artifacts, str(directory), folder)

    def tag(self, key: str, value: object) -> None:
        """Sets a tag."""
        self._call(self._client.set_tag, key, value)

    def log_input(self, meta: Meta) -> None:
        """Names the data that went in."""
        self._call(self._client.log_inputs, datasets=[_dataset_input(meta)])

    def terminate(self) -> None:
        """Sets the status that the run ends with."""
        self._call(self._client.set_terminated, self.status)

    @uninterrupted
    def _call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        # Cut short, the store could be left in the middle of a transaction, and the run could not be closed.
        with unreachable_in_one_line():
            result = method(self.id, *args, **kwargs)
        raise_waiting()
        return result


def start_run(
    stage: str,
    name: str,
    meta: Meta,
    *,
    parent: Run | None = None,
    again: str | None = None,
    shared: bool = False,
    started: float | None = None,
) -> AbstractContextManager[Run]:
    """Opens a run and closes it on every way out: FINISHED, FAILED after an error, KILLED when interrupted.

    Below ``mlflow run`` of the whole pipeline it is a child of that run; ``mlflow run -e`` of a single stage hands
    over its own run, which is used as it is.

    Args:
        stage: the tag ``wellfit.stage``.
        name: what the MLflow UI shows.
        meta: the data, logged as the run's input and as tags.
        parent: the study's run, for a trial.
        again: a run of before that goes on, where the store still has it in the same experiment below the same parent.
        shared: several processes may have the run open; the last to leave it gives it its status.
        started: when a new run began, in seconds since 1970; None: now.
    """

    def start(client: MlflowClient) -> str:
        parent_id = parent.id if parent else os.environ.get(PARENT_RUN_VARIABLE)
        adopted = os.environ["MLFLOW_RUN_ID"] if is_project_run() and not parent else None
        if again and not adopted and _belongs(client, again, parent_id):
            adopted = again
        tags = run_tags(stage, meta)
        if adopted:
            client.update_run(adopted, status="RUNNING")
            for key, value in tags.items():
                client.set_tag(adopted, key, value)
            return adopted
        if parent_id:
            tags["mlflow.parentRunId"] = parent_id
        experiment = client.get_run(parent_id).info.experiment_id if parent_id else experiment_id(client)
        start_time = None if started is None else int(started * 1000)
        return str(client.create_run(experiment, start_time, tags, name).info.run_id)

    return _UnderWay(start, meta, shared=shared)


def _belongs(client: MlflowClient, run_id: str, parent_id: str | None) -> bool:
    """Whether a run of before is where a new one would be."""
    if not status_of(client, run_id):
        return False
    with unreachable_in_one_line():
        run = client.get_run(run_id)
        if run.data.tags.get("mlflow.parentRunId") != parent_id:
            return False
        return parent_id is not None or run.info.experiment_id == experiment_id(client)


class _UnderWay(AbstractContextManager[Run]):
    """A run from its start to its end. Its lock tells other processes so: it is free again once this process is gone.

    An interruption is let in where the run is known to be closed after it: not while it is being made or closed.
    """

    def __init__(self, start: Callable[[MlflowClient], str], meta: Meta | None = None, *, shared: bool = False) -> None:
        self._start, self._meta, self._shared = start, meta, shared

    @uninterrupted
    def __enter__(self) -> Run:
        client = open_client()
        hold()
        try:
            with unreachable_in_one_line():
                self._run = Run(client, self._start(client))
            self._folder = runs_folder() / self._run.id
            self._path = self._folder / (f"open-{os.getpid()}.lock" if self._shared else OPEN)
            self._lock = FileLock(self._path)
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._lock.acquire()
                _check_artifacts(client, self._run.id)
                if self._meta:
                    self._run.log_input(self._meta)
                raise_waiting()
            except BaseException as error:
                self._end(error)
                raise
        except BaseException:
            release()
            raise
        return self._run

    @uninterrupted
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._end(error)
        finally:
            release()
        raise_waiting()

    def _end(self, error: BaseException | None) -> None:
        try:
            if error is None:
                self._run.flush()
                if not self._is_left_to_others():
                    self._run.terminate()
        except BaseException as unsent:
            error = unsent
            raise
        finally:
            if error:
                self._run.status = "KILLED" if interruption_behind(error) else "FAILED"
                _close_quietly(self._run, terminate=not self._is_left_to_others())
            self._path.unlink(missing_ok=True)
            self._lock.release()
            with suppress(OSError):  # a run with a history keeps its folder
                self._folder.rmdir()

    def _is_left_to_others(self) -> bool:
        return self._shared and any(is_held(path) for path in self._folder.glob(OPEN_LOCKS) if path != self._path)


def _check_artifacts(client: MlflowClient, run_id: str) -> None:
    """`mlflow ui` in an empty folder makes a store whose experiment *Default* keeps its files behind that server."""
    with unreachable_in_one_line():
        info = client.get_run(run_id).info
    if str(info.artifact_uri).startswith("mlflow-artifacts:") and store_uri().startswith("sqlite"):
        raise WellfitError(
            f"the MLflow experiment of this run keeps its files behind a server, which {store_uri()} is not: choose "
            f"another with `mlflow run . --experiment-name {EXPERIMENT}`, or name the server in MLFLOW_TRACKING_URI"
        )


def start_parent_run(name: str, dataset: str) -> AbstractContextManager[Run]:
    """Opens the run that the stages of a pipeline nest under: that of ``mlflow run``, or a new one."""

    def start(client: MlflowClient) -> str:
        tags = _tags("pipeline") | {"wellfit.dataset": dataset}
        if run_id := os.environ.get("MLFLOW_RUN_ID"):
            for key, value in tags.items():
                client.set_tag(run_id, key, value)
            return run_id
        return str(client.create_run(experiment_id(client), tags=tags, run_name=name).info.run_id)

    return _UnderWay(start)


def is_project_run() -> bool:
    """Whether ``mlflow run -e`` started this stage and so made a run for it."""
    return "MLFLOW_RUN_ID" in os.environ and PARENT_RUN_VARIABLE not in os.environ


@uninterrupted
def has_children(run_id: str) -> bool:
    """Whether a run has others nested below it."""
    client = open_client()
    with unreachable_in_one_line():
        experiment = client.get_run(run_id).info.experiment_id
        query = f"tags.`mlflow.parentRunId` = '{run_id}'"
        found = bool(client.search_runs([experiment], query, max_results=1))
    raise_waiting()
    return found


def reopen_run(run_id: str) -> Run | None:
    """An ended run, to add to it; None where the store does not have it, as after ``dvc pull`` elsewhere."""
    client = open_client()
    return Run(client, run_id) if status_of(client, run_id) else None


def _close_quietly(run: Run, *, terminate: bool) -> None:
    """Ends a run after a failure; a server that is gone must not hide the failure itself."""
    try:
        run.flush()
        if terminate:
            run.terminate()
    except Exception as error:
        print(f"warning: run {run.id} could not be closed: {first_line(error)}", file=sys.stderr)


def run_tags(stage: str, meta: Meta) -> dict[str, str]:
    """The tags of every run that uses data."""
    tags = _tags(stage) | {"wellfit.dataset": meta.name, "wellfit.data_sha256": meta.sha256}
    if meta.warnings:
        tags["wellfit.data_warnings"] = "\n".join(meta.warnings)
    return tags


def _tags(stage: str) -> dict[str, str]:
    tags = {
        "wellfit.stage": stage,
        "mlflow.source.name": sys.argv[0],
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": git_commit(),
        "dvc.exp_name": os.environ.get("DVC_EXP_NAME", ""),
        "dvc.exp_baseline_rev": os.environ.get("DVC_EXP_BASELINE_REV", ""),
        "dvc.stage": os.environ.get("DVC_STAGE", ""),
    }
    return {key: value for key, value in tags.items() if value}


def _dataset_input(meta: Meta) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=meta.name,
        digest=meta.sha256[:8],
        source_type="wellfit",
        source=json.dumps({"source": CATALOG[meta.name].source}),
        profile=json.dumps(dict(meta.split_sizes)),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])
