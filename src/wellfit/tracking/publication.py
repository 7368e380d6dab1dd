"""The publisher's process: what it does with what :class:`wellfit.tracking.publisher.Publisher` hands over."""

import gc
import json
import os
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, BinaryIO, NoReturn

from wellfit.data.meta import Meta
from wellfit.errors import WellfitError, one_line
from wellfit.tracking.ended import EndedRun, create_ended_run, fill_ended_run
from wellfit.tracking.opening import start_run
from wellfit.tracking.postponed import forget, postpone
from wellfit.tracking.run import Run
from wellfit.tracking.store import write_ahead

RETRY_SECONDS = 30.0


class Publication(ABC):
    """A run, and a run below it for each training that has ended: what is published, and what waits.

    Args:
        opening: what :meth:`wellfit.tracking.publisher.Publisher.open` said, the details among it.
    """

    def __init__(self, opening: Mapping[str, Any]) -> None:
        self.meta = Meta.model_validate(opening["meta"])
        self._opening = opening
        self._waiting: deque[Path] = deque()
        half_copied = opening.get("half_copied", {})  # by a publisher of before: a training to its run
        self._half_copied = {Path(folder): str(run_id) for folder, run_id in half_copied.items()}
        self._run: Run | None = None
        self._open_run = ExitStack()
        self._retry_at = 0.0
        self._warned: set[str] = set()

    @abstractmethod
    def ended_run(self, folder: Path) -> EndedRun:
        """What MLflow is told of a training.

        Raises:
            WellfitError: its folder is damaged.
        """

    def start_run(self) -> Run:
        """Opens the run that all others are nested in, until ``_open_run`` is closed."""
        stage, name, started = (self._opening[key] for key in ("stage", "name", "started"))
        again = self._opening.get("again")
        opened = start_run(stage, name, self.meta, again=again, may_wait=False, started=started)
        return self._open_run.enter_context(opened)

    def add(self, folder: Path) -> None:
        """Takes a training that has ended."""
        self._waiting.append(folder)

    def copy(self, folder: Path, run: Run) -> None:
        """Copies a training to MLflow. One whose folder is damaged is passed over."""
        try:
            ended = self.ended_run(folder)
        except WellfitError as error:
            print(f"warning: {error}", file=sys.stderr, flush=True)
            return
        self.log(ended, folder, run)

    def log(self, ended: EndedRun, folder: Path, run: Run) -> str:
        """Makes the run of a training, or completes the one that was left half filled; gives its id."""
        if folder not in self._half_copied:
            self._half_copied[folder] = create_ended_run(ended, self.meta, run)
        fill_ended_run(run.client, self._half_copied[folder], ended)
        return self._half_copied.pop(folder)

    @property
    def seconds_to_next(self) -> float | None:
        """Until the next try to copy; None: there is nothing to do but wait for more."""
        return max(0.0, self._retry_at - time.monotonic()) if self._waiting or self._run is None else None

    def copy_next(self) -> None:
        """Copies the first training that waits, or opens the run where there is none yet; waits after a failure."""
        try:
            if self._run is None:
                self._run = self._opened()
            if self._waiting:
                self.copy(self._waiting[0], self._run)
                self._waiting.popleft()
        except Exception as error:
            self._waiting.rotate(-1)  # if the training was at fault, others need not wait for it
            self._retry_at = time.monotonic() + RETRY_SECONDS
            self.warn("MLflow", error)

    def copy_all(self) -> None:
        """Copies what waits, until it fails twice in a row or the run cannot be opened."""
        failures = 0
        while failures < 2 and (self._waiting or self._run is None):
            self._retry_at = 0.0
            self.copy_next()
            failures = failures + 1 if self._retry_at else 0
            if self._run is None:
                return

    def finish(self, report: Path | None, artifacts: str, metrics: Mapping[str, float], description: str) -> None:
        """Copies what waits, and the report."""
        self.copy_all()
        if self._run is None:
            return
        try:
            if report:
                self._run.log_files(report, artifacts)
            self._run.log_metrics(metrics)
            self._run.tag("mlflow.note.content", description)
        except WellfitError as error:
            self.warn("MLflow", error)

    def close(self, status: str, failure: str = "") -> None:
        """Ends the run."""
        try:
            if self._run is not None:
                self._run.status = status
                if failure:
                    self._run.tag("wellfit.failure", failure)
            self._open_run.close()
        except WellfitError as error:
            self.warn("MLflow", error)

    @property
    def is_complete(self) -> bool:
        """Whether MLflow has all that it was to be told."""
        return self._run is not None and not self._waiting

    def to_postpone(self, last: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """The messages by which a later publisher sends what is missing.

        Args:
            last: the message that ended this one.
        """
        left = {"half_copied": {str(folder): run_id for folder, run_id in self._half_copied.items()}}
        again = {"again": self._run.id} if self._run else {}
        return [{"open": {**self._opening, **left, **again}}, *({"add": str(each)} for each in self._waiting), last]

    def warn(self, what: str, error: Exception, kept: str = "the next command sends what is missing") -> None:
        """Says once what cannot be reached, and what becomes of the rest."""
        if what not in self._warned:
            self._warned.add(what)
            print(f"warning: {one_line(error)}; training goes on, {kept}", file=sys.stderr, flush=True)

    def _opened(self) -> Run:
        run = self.start_run()
        try:
            run.log_params(self._opening["params"])
            for key, value in self._opening["tags"].items():
                run.tag(key, value)
        except BaseException:
            self._open_run.close()  # it is opened anew the next time
            raise
        return run


def _messages(stream: BinaryIO) -> "SimpleQueue[dict[str, Any]]":
    """What comes through the pipe, as it comes; the end of it is a stop."""
    messages: SimpleQueue[dict[str, Any]] = SimpleQueue()

    def read() -> None:
        for line in stream:
            with suppress(ValueError):  # the other process died within a line
                messages.put(json.loads(line))
        messages.put({"stop": ""})

    threading.Thread(target=read, daemon=True).start()
    return messages


def publish(stream: BinaryIO, begin: Callable[[Mapping[str, Any]], Publication]) -> None:
    """Does what comes through a pipe, until its end.

    Args:
        stream: the far end of the pipe.
        begin: makes the publication, of what its opening says.
    """
    messages = _messages(stream)
    message = messages.get()
    if "open" not in message:
        return
    opening = message
    sys.argv[0] = opening["open"]["source"]  # the program that MLflow names is that of the other process
    with write_ahead():
        publication = begin(opening["open"])
        while "finish" not in message and "stop" not in message:
            try:
                message = messages.get(timeout=publication.seconds_to_next)
            except Empty:
                publication.copy_next()
                continue
            if "add" in message:
                publication.add(Path(message["add"]))
        if "finish" in message:
            told = message["finish"]
            report = Path(told["report"]) if told["report"] else None
            publication.finish(report, told["artifacts"], told["metrics"], told["description"])
        else:
            publication.copy_all()
        if publication.is_complete:
            forget(opening["open"]["module"], opening)
        else:
            postpone(opening["open"]["module"], publication.to_postpone(message))
        if "finish" in message:
            publication.close("FINISHED")
        else:
            publication.close("FAILED" if message["stop"] else "KILLED", message["stop"])


def run(begin: Callable[[Mapping[str, Any]], Publication]) -> NoReturn:
    """Publishes what comes through the standard input, and ends the process.

    Args:
        begin: makes the publication, of what its opening says.
    """
    gc.set_threshold(100_000)  # what is imported stays: searching it for garbage over and over takes its time
    if hasattr(os, "nice"):
        os.nice(5)  # training goes first
    publish(sys.stdin.buffer, begin)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # freeing it all takes a second
