"""Runs: opened, filled and closed on every way out."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from wellfit.data.catalog import CATALOG
from wellfit.errors import WellfitError
from wellfit.tracking.store import (
    EXPERIMENT,
    OPEN,
    experiment_id,
    first_line,
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

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Logs dotted keys of ``params.yaml`` and their values."""
        from mlflow.entities import Param

        with unreachable_in_one_line():
            # `mlflow run -P optim.lr=1e-2` has logged that text on its run already, and MLflow takes no other for it.
            given = self._client.get_run(self.id).data.params
            texts = {key: json.dumps(value).strip('"') for key, value in values.items()}
            params = [Param(key, text) for key, text in texts.items() if key not in given]
            for start in range(0, len(params), 100):  # MLflow's limit a request
                self._client.log_batch(self.id, params=params[start : start + 100])

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
        with unreachable_in_one_line():
            while self._waiting:
                self._client.log_batch(self.id, metrics=self._waiting[:BATCH])
                del self._waiting[:BATCH]
        self._last_flush = time.monotonic()

    def log_history(self) -> None:
        """Copies the local history into the run's artifacts."""
        self.log_file(self._history)

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Copies a file into the run's artifacts, below ``folder``."""
        with unreachable_in_one_line():
            self._client.log_artifact(self.id, str(path), folder)

    def log_files(self, directory: Path, folder: str | None = None) -> None:
        """Copies all files of a directory into the run's artifacts, below ``folder``."""
        with unreachable_in_one_line():
            self._client.log_artifacts(self.id, str(directory), folder)

    def tag(self, key: str, value: object) -> None:
        """Sets a tag."""
        with unreachable_in_one_line():
            self._client.set_tag(self.id, key, value)


@contextmanager
def start_run(
    stage: str, name: str, meta: Meta, *, parent: Run | None = None, again: str | None = None
) -> Iterator[Run]:
    """Opens a run and closes it on every way out: FINISHED, FAILED after an error, KILLED when interrupted.

    Below ``mlflow run`` of the whole pipeline it is a child of that run; ``mlflow run -e`` of a single stage hands
    over its own run, which is used as it is.

    Args:
        stage: the tag ``wellfit.stage``.
        name: what the MLflow UI shows.
        meta: the data, logged as the run's input and as tags.
        parent: the study's run, for a trial.
        again: a run of before that goes on, where the store still has it in the same experiment below the same parent.
    """
    client = open_client()
    parent_id = parent.id if parent else os.environ.get(PARENT_RUN_VARIABLE)
    adopted = os.environ["MLFLOW_RUN_ID"] if is_project_run() and not parent else None
    if again and not adopted and _belongs(client, again, parent_id):
        adopted = again
    tags = _tags(stage) | {"wellfit.dataset": meta.name, "wellfit.data_sha256": meta.sha256}
    if meta.warnings:
        tags["wellfit.data_warnings"] = "\n".join(meta.warnings)
    with unreachable_in_one_line():
        if adopted:
            run_id = adopted
            client.update_run(run_id, status="RUNNING")
            for key, value in tags.items():
                client.set_tag(run_id, key, value)
        else:
            if parent_id:
                tags["mlflow.parentRunId"] = parent_id
            experiment = client.get_run(parent_id).info.experiment_id if parent_id else experiment_id(client)
            run_id = client.create_run(experiment, tags=tags, run_name=name).info.run_id
    with _open(client, run_id) as run:
        with unreachable_in_one_line():
            client.log_inputs(run_id, datasets=[_dataset_input(meta)])
        yield run


def _belongs(client: MlflowClient, run_id: str, parent_id: str | None) -> bool:
    """Whether a run of before is where a new one would be."""
    if not status_of(client, run_id):
        return False
    with unreachable_in_one_line():
        run = client.get_run(run_id)
        if run.data.tags.get("mlflow.parentRunId") != parent_id:
            return False
        return parent_id is not None or run.info.experiment_id == experiment_id(client)


@contextmanager
def _open(client: MlflowClient, run_id: str) -> Iterator[Run]:
    """A run that is under way. Its lock tells other processes so: it is free again once this process is gone."""
    run = Run(client, run_id)
    folder = runs_folder() / run_id
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / OPEN)
    lock.acquire()
    try:
        _check_artifacts(client, run_id)
        yield run
        run.flush()
        with unreachable_in_one_line():
            client.set_terminated(run_id, run.status)
    except BaseException as error:
        run.status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
        _close_quietly(run)
        raise
    finally:
        (folder / OPEN).unlink(missing_ok=True)
        lock.release()
        with suppress(OSError):  # a run with a history keeps its folder
            folder.rmdir()


def _check_artifacts(client: MlflowClient, run_id: str) -> None:
    """`mlflow ui` in an empty folder makes a store whose experiment *Default* keeps its files behind that server."""
    with unreachable_in_one_line():
        info = client.get_run(run_id).info
    if str(info.artifact_uri).startswith("mlflow-artifacts:") and store_uri().startswith("sqlite"):
        raise WellfitError(
            f"the MLflow experiment of this run keeps its files behind a server, which {store_uri()} is not: choose "
            f"another with `mlflow run . --experiment-name {EXPERIMENT}`, or name the server in MLFLOW_TRACKING_URI"
        )


@contextmanager
def start_parent_run(name: str, dataset: str) -> Iterator[Run]:
    """Opens the run that the stages of a pipeline nest under: that of ``mlflow run``, or a new one."""
    client = open_client()
    with unreachable_in_one_line():
        run_id = os.environ.get("MLFLOW_RUN_ID")
        if not run_id:
            run_id = client.create_run(experiment_id(client), run_name=name).info.run_id
        for key, value in (_tags("pipeline") | {"wellfit.dataset": dataset}).items():
            client.set_tag(run_id, key, value)
    with _open(client, run_id) as run:
        yield run


def is_project_run() -> bool:
    """Whether ``mlflow run -e`` started this stage and so made a run for it."""
    return "MLFLOW_RUN_ID" in os.environ and PARENT_RUN_VARIABLE not in os.environ


def has_children(run_id: str) -> bool:
    """Whether a run has others nested below it."""
    client = open_client()
    with unreachable_in_one_line():
        experiment = client.get_run(run_id).info.experiment_id
        query = f"tags.`mlflow.parentRunId` = '{run_id}'"
        return bool(client.search_runs([experiment], query, max_results=1))


def reopen_run(run_id: str) -> Run | None:
    """An ended run, to add to it; None where the store does not have it, as after ``dvc pull`` elsewhere."""
    client = open_client()
    return Run(client, run_id) if status_of(client, run_id) else None


def _close_quietly(run: Run) -> None:
    """Ends a run after a failure; a server that is gone must not hide the failure itself."""
    try:
        run.flush()
        run._client.set_terminated(run.id, run.status)
    except Exception as error:
        print(f"warning: run {run.id} could not be closed in MLflow: {first_line(error)}", file=sys.stderr)


def _tags(stage: str) -> dict[str, str]:
    tags = {
        "wellfit.stage": stage,
        "mlflow.source.name": sys.argv[0],
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": _git_commit(),
        "dvc.exp_name": os.environ.get("DVC_EXP_NAME", ""),
        "dvc.exp_baseline_rev": os.environ.get("DVC_EXP_BASELINE_REV", ""),
        "dvc.stage": os.environ.get("DVC_STAGE", ""),
    }
    return {key: value for key, value in tags.items() if value}


@cache
def _git_commit() -> str:
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--quiet", "--verify", "HEAD"], capture_output=True, text=True, check=False
        )
    except OSError:  # no git on this machine
        return ""
    return found.stdout.strip()


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
