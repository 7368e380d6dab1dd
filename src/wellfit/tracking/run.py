"""A run that is open: what is told of it reaches MLflow, at once or later."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wellfit.data.catalog import CATALOG
from wellfit.interruptions import check
from wellfit.tracking.address import shown_store_uri
from wellfit.tracking.batches import as_metrics, last_steps, send
from wellfit.tracking.creation import mlflow_id
from wellfit.tracking.delivery import perform
from wellfit.tracking.ended import EndedRun, with_all_tags
from wellfit.tracking.failures import TrackingError, unreachable_in_one_line
from wellfit.tracking.outage import check_answers
from wellfit.tracking.outbox import Outbox
from wellfit.tracking.runs import runs_folder
from wellfit.tracking.store import open_client, send_outbox

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

    from wellfit.data.meta import Meta

FLUSH_SECONDS = 5.0
RETRY_SECONDS = 30.0  # to the next try to send the metrics of epochs, once one has failed
RETRY_FACTOR = 20  # a server that hangs takes a twentieth of the time, at most


class Run:
    """An MLflow run to write to: an open one of :func:`start_run`, or one that has ended, of :func:`reopen_run`.

    Attributes:
        id: the run's id in MLflow, or one of its own if MLflow was away when it began.
        status: FINISHED, FAILED or KILLED: what it gets when it is closed.
        is_closed: False once it has ended without MLflow knowing: a later command closes it.
    """

    def __init__(self, client: MlflowClient | None, run_id: str) -> None:
        self.id = run_id
        self.status = "FINISHED"
        self.is_closed = True
        self._opened = client  # None: it was away
        self._unsent: list[Metric] = []
        self._flush_at = time.monotonic() + FLUSH_SECONDS
        self._history = runs_folder() / run_id / "history.jsonl"
        # The last step of each metric that the store has from before; None: that is not known yet.
        self._sent: dict[str, int] | None = {}
        self._outbox = Outbox(run_id)
        # Whether what is told now has to wait: MLflow was away, or something is in the outbox already.
        self._waits = client is None or bool(self._outbox.entries())
        self._warned = False

    @property
    def client(self) -> MlflowClient:
        """Of the store.

        Raises:
            TrackingError: MLflow is still away.
        """
        return self._opened or open_client()

    @property
    def mlflow_id(self) -> str:
        """Its id in MLflow, which differs from `id` if MLflow was away when it began.

        Raises:
            TrackingError: MLflow does not have it.
        """
        found = mlflow_id(self.client, self.id)
        if found is None:
            raise TrackingError(f"{shown_store_uri()} does not have run {self.id}", is_refusal=False, is_outage=False)
        return found

    @cached_property
    def experiment_id(self) -> str:
        """The id of its experiment."""
        return str(self._stored().info.experiment_id)

    @property
    def artifact_uri(self) -> str:
        """Where its files are."""
        return str(self._stored().info.artifact_uri)

    @property
    def tags(self) -> dict[str, str]:
        """Its tags, as MLflow has them now."""
        tags: dict[str, str] = self._stored().data.tags
        return tags

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Logs dotted keys of ``params.yaml`` and their values."""
        self._tell("params", values=dict(values))

    def log_metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        """Adds metrics to the next batch, but for NaN, infinity and None."""
        sent = self._sent or {}
        new = {name: value for name, value in values.items() if step > sent.get(name, -1)}
        self._unsent += as_metrics(new, int(time.time() * 1000), step)

    def go_on(self) -> None:
        """Begins the history anew, in a run that was stopped: what the store has of a metric is not sent again."""
        self._history.unlink(missing_ok=True)
        self._sent = None

    def log_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Appends an epoch to the local history, and sends all that is unsent to MLflow every few seconds."""
        line = {"epoch": epoch} | {k: v if math.isfinite(v) else None for k, v in values.items()}
        with self._history.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.log_metrics(values, step=epoch)
        if (began := time.monotonic()) > self._flush_at:
            pause = FLUSH_SECONDS
            try:
                self._send_metrics()
            except TrackingError as error:
                self.warn(error)
                pause = max(RETRY_SECONDS, RETRY_FACTOR * (time.monotonic() - began))
            self._flush_at = time.monotonic() + pause
        check()

    def _send_metrics(self) -> None:
        """Sends the metrics of epochs; nothing else of what waits, for it may be much."""
        with unreachable_in_one_line():
            if self._warned:
                check_answers()
            if self._sent is None:
                self._sent = sent = last_steps(self.client, self.mlflow_id)
                self._unsent = [each for each in self._unsent if each.step > sent.get(each.key, -1)]
            send(self.client, self.mlflow_id, [], self._unsent)

    def flush(self) -> None:
        """Sends the metrics that have been logged since the last time."""
        if self._unsent:
            metrics = [(each.key, each.value, each.timestamp, each.step) for each in self._unsent]
            self._unsent.clear()
            self._put("metrics", {"metrics": metrics, "resumed": self._sent is None})
        self._flush_at = time.monotonic() + FLUSH_SECONDS

    def log_history(self) -> None:
        """Copies the local history into the run's artifacts."""
        self.log_file(self._history)

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Copies a file into the run's artifacts, below ``folder``."""
        self._tell("file", path=str(path), folder=folder)

    def log_files(self, directory: Path, folder: str | None = None) -> None:
        """Copies all files of a directory into the run's artifacts, below ``folder``."""
        self._tell("files", path=str(directory), folder=folder)

    def log_model(
        self, folder: Path, meta: Meta, example: pd.DataFrame, searched: Sequence[str] = (), *, has_coverage: bool
    ) -> None:
        """Logs a model folder as its model, which takes over the scores that MLflow has.

        Args:
            folder: as `wellfit.serving.folder.save_model` wrote it.
            meta: of the data that it was trained on.
            example: a few rows as their owner has them, without what is no input.
            searched: keys whose values a study chose.
            has_coverage: whether the model gives intervals or sets.
        """
        self.flush()
        rows = example.to_json(orient="split", index=False, date_format="iso", double_precision=15, default_handler=str)
        said = {"meta": meta.model_dump(mode="json", exclude={"sha256"}), "searched": list(searched)}
        self._tell("model", path=str(folder), example=rows, has_coverage=has_coverage, **said)

    def log_child(self, run: EndedRun, meta: Meta, known_by: str) -> None:
        """Nests a run that has ended; one that is there already is used again.

        Args:
            run: without files.
            meta: the data, for the tags.
            known_by: the tag whose value tells it from the others.
        """
        self._tell("ended_run", known_by=known_by, **with_all_tags(run, meta)._asdict())

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
            with suppress(TrackingError), unreachable_in_one_line():  # said when it began to wait
                check_answers()
                send_outbox(self.client, self.id)
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
                perform(self.client, self.mlflow_id, kind, content)
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

    def _stored(self) -> Any:
        with unreachable_in_one_line():
            found = self.client.get_run(self.mlflow_id)
        check()
        return found
