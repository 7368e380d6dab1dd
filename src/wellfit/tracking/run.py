"""A run that is open: what is told of it reaches MLflow, at once or later."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wellfit.data.catalog import CATALOG
from wellfit.interruptions import check
from wellfit.tracking.batches import as_metrics, send
from wellfit.tracking.delivery import perform
from wellfit.tracking.failures import TrackingError, unreachable_in_one_line
from wellfit.tracking.outbox import Outbox
from wellfit.tracking.store import (
    open_client,
    runs_folder,
    send_outbox,
)

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

    from wellfit.data.meta import Meta

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
