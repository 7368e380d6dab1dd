"""The clerk's own process: what it does with the trials that :class:`wellfit.tuning.clerk.Clerk` hands over."""

import gc
import json
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, BinaryIO

from filelock import FileLock

from wellfit import tracking
from wellfit.data.store import Meta
from wellfit.errors import WellfitError
from wellfit.files import read_json, write_json
from wellfit.settings.params import Params, flatten
from wellfit.training.record import CHECKPOINT, HISTORY
from wellfit.tuning.beside import beside
from wellfit.tuning.record import TrialRecord, read_record
from wellfit.tuning.report import Row, best_row, write_report

if TYPE_CHECKING:
    import optuna

COPIED = "mlflow.json"  # in the folder of a trial: its run in MLflow
RUN = "run.json"  # in the folder of a study: its run in MLflow
STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
RETRY_SECONDS = 30.0


class Desk:
    """What has come in and is not copied yet, and the study's run once MLflow has it.

    Args:
        opening: what :meth:`wellfit.tuning.clerk.Clerk.open` said.
    """

    def __init__(self, opening: Mapping[str, Any]) -> None:
        self.folder = Path(opening["folder"])
        self.params, self.meta = Params.model_validate(opening["params"]), Meta.model_validate(opening["meta"])
        self._config: dict[str, Any] = opening["config"]
        self._higher: bool = opening["higher_is_better"]
        self._started: float = opening["started"]
        self._to_store: deque[Path] = deque()
        self._to_copy: deque[Path] = deque()
        self._left: set[Path] = set()  # by a clerk of before
        self._half_copied: dict[str, str] = {}  # number of a trial to its run
        self._saved: optuna.Study | None = None
        self._run: tracking.Run | None = None
        self._open_run = ExitStack()
        self._retry_at = 0.0
        self._warned: set[str] = set()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.folder / f"clerk-{os.getpid()}.lock")
        with FileLock(self.folder / "clerks.lock"):
            others = {path: tracking.is_held(path) for path in self.folder.glob("clerk-*.lock")}
            self._lock.acquire()
        for path, alive in others.items():
            if not alive:
                path.unlink(missing_ok=True)
        if not any(others.values()):  # else they may be in the hands of another
            self._take_what_was_left()

    @property
    def seconds_to_rest(self) -> float | None:
        """Until the next try to copy what has come in; None: there is nothing to do but wait for more."""
        return max(0.0, self._retry_at - time.monotonic()) if self._to_copy or self._run is None else None

    def take(self, folder: Path) -> None:
        """Takes a trial, and tells the storage of it at once, for other processes to know."""
        if folder not in self._left:
            self._to_store.append(folder)
            self._to_copy.append(folder)
        self.store_all()

    def store_all(self) -> None:
        """Tells the storage of every trial that it has not heard of."""
        try:
            while self._to_store:
                self._store(self._to_store[0])
                self._to_store.popleft()
        except Exception as error:  # of as many kinds as there are databases
            self._warn("storage", error)

    def copy_one(self) -> None:
        """Copies the first trial that waits, or opens the run where MLflow has none yet; waits after a failure."""
        try:
            if self._run is None:
                self._run = self._open()
            if self._to_copy:
                self._copy(self._to_copy[0], self._run)
                self._to_copy.popleft()
        except Exception as error:
            self._to_copy.rotate(-1)  # if it was the trial's fault, others need not wait for it
            self._retry_at = time.monotonic() + RETRY_SECONDS
            self._warn("MLflow", error)

    def copy_all(self) -> None:
        """Copies what waits, until it fails twice in a row or the study's run cannot be opened."""
        failures = 0
        while failures < 2 and (self._to_copy or self._run is None):
            self._retry_at = 0.0
            self.copy_one()
            failures = failures + 1 if self._retry_at else 0
            if self._run is None:
                return

    def finish(self, report: Path, rows: Sequence[Row], repeats: Mapping[int, float]) -> None:
        """Copies what waits, and beside it writes the report, which is copied, too.

        Raises:
            WellfitError: not one trial ended well.
            OSError: the report cannot be written.
        """
        known = (self.params, self.meta.sha256, repeats)
        with beside(write_report, report, rows, *known, higher_is_better=self._higher) as written:
            self.copy_all()
            summary = written()
        if self._run is None:
            return
        try:
            self._run.log_files(report, "tune")
            self._run.log_metrics(summary)
            self._run.tag("mlflow.note.content", self._describe_study(best_row(rows, higher_is_better=self._higher)))
        except WellfitError as error:
            self._warn("MLflow", error)

    def close(self, status: str, failure: str = "") -> None:
        """Ends the study's run."""
        try:
            if self._run is not None:
                self._run.status = status
                if failure:
                    self._run.tag("wellfit.failure", failure)
            with FileLock(self.folder / "clerks.lock"):  # of two that leave at once, one is the last
                self._open_run.close()
        except WellfitError as error:
            self._warn("MLflow", error)
        finally:
            Path(self._lock.lock_file).unlink(missing_ok=True)
            self._lock.release()

    def _take_what_was_left(self) -> None:
        trials = [path for path in self.folder.glob("trials/*") if path.name.isdecimal()]
        for trial in sorted(trials, key=lambda path: int(path.name)):
            if not (trial / COPIED).exists() and trial not in self._to_copy:
                self._left.add(trial)
                self._to_store.append(trial)
                self._to_copy.append(trial)

    def _open(self) -> tracking.Run:
        with FileLock(self.folder / "clerks.lock"):  # one study, one run, also where two processes begin it at once
            file = self.folder / RUN
            again = read_json(file)["run_id"] if file.exists() else None
            name = f"tune {self.meta.name} {self.params.model.name}"
            run = self._open_run.enter_context(
                tracking.start_run("tune", name, self.meta, again=again, shared=True, started=self._started)
            )
            write_json(file, {"run_id": run.id})
            if again and again != run.id:  # another store, one made anew, or below another run: it lacks the trials
                for marker in self.folder.glob(f"trials/*/{COPIED}"):
                    marker.unlink()
                self._take_what_was_left()
        try:
            if self._left:
                self._half_copied = tracking.children_by_tag(run, "wellfit.trial")
            run.log_params(flatten(self._config))
            run.tag("wellfit.n_trials", self.params.tune.n_trials)  # not a param: it may change when a study goes on
            run.tag("wellfit.study", self.folder.name)  # by which the storage of Optuna knows it
            run.tag("mlflow.note.content", self._describe_study(None))
        except BaseException:
            self._open_run.close()  # it is opened anew the next time
            raise
        return run

    def _store(self, folder: Path) -> None:
        from wellfit.tuning.storage import end_trial, open_saved

        record = self._read(folder)
        if record is None:
            return
        if self._saved is None:
            self._saved = open_saved(self.params.tune.storage, self.folder.name)
        if folder in self._left:
            # Of a study whose storage was removed, another trial may have the number now.
            begun = [t for t in self._saved.get_trials(deepcopy=False) if t.number == record.number]
            if not begun or begun[0].user_attrs.get("values") != record.values:
                return
        end_trial(self._saved, record)

    def _read(self, folder: Path) -> TrialRecord | None:
        try:
            return read_record(folder)
        except WellfitError as error:
            print(f"warning: {error}", file=sys.stderr, flush=True)
            return None

    def _copy(self, folder: Path, run: tracking.Run) -> None:
        record = self._read(folder)
        if record is None:
            return
        again = self._half_copied.get(str(record.number)) if folder in self._left else None
        run_id = tracking.log_ended_run(ended_run(record, folder, self.params, self.meta), self.meta, run, again)
        write_json(folder / COPIED, {"run_id": run_id})

    def _describe_study(self, best: Row | None) -> str:
        tune, monitor = self.params.tune, self.params.train.monitor
        space = self.params.model_dump(mode="json")["tune"]["space"]
        lines = [
            f"A study of {tune.n_trials} trials: each trains `{self.params.model.name}` on `{self.meta.name}` with "
            f"other values of {len(tune.searched)} keys, and is judged by its best `{monitor}`. The trials are nested "
            "below, each with its curves and its best checkpoint; `tune/` among the artifacts is the report.",
            "",
            "| key | searched | best |",
            "|---|---|---|",
        ]
        for key in tune.searched:
            section, name = key.split(".")
            found = json.dumps(best.values[key]) if best else ""
            lines.append(f"| `{key}` | {json.dumps(space[section][name])} | {found} |")
        if best and best.value is not None:
            lines += ["", f"Best: trial {best.number}, `{monitor}` {best.value:.6g} in epoch {best.best_epoch}."]
        return "\n".join(lines)

    def _warn(self, what: str, error: Exception) -> None:
        if what in self._warned:
            return
        self._warned.add(what)
        from wellfit.tuning.storage import why

        until = f"training goes on, the trials are kept in {self.folder} until the study is next opened"
        print(f"warning: {why(error)}; {until}", file=sys.stderr, flush=True)


def ended_run(record: TrialRecord, folder: Path, params: Params, meta: Meta) -> tracking.EndedRun:
    """What MLflow is told of a trial.

    MLflow's view of parallel coordinates opens with the params that differ and with the metric that came first.
    """
    monitor = params.train.monitor
    best = record.history[record.best_epoch - 1] if record.best_epoch else {}
    scores = {name: value for name, value in best.items() if name.startswith("val/")}
    metrics = {f"best/{name}": scores[name] for name in sorted(scores, key=lambda name: name != monitor)}
    files = [(folder / HISTORY, "")]
    if (folder / CHECKPOINT).exists():
        files.append((folder / CHECKPOINT, "checkpoint"))
    tags = {
        "wellfit.trial": str(record.number),
        "wellfit.trial_state": record.state,
        "mlflow.note.content": _describe_trial(record, monitor),
    }
    if record.failure:
        tags["wellfit.failure"] = record.failure
    return tracking.EndedRun(
        stage="trial",
        name=f"trial {record.number} {meta.name} {params.model.name}",
        status=STATUS[record.state],
        started=record.started,
        ended=record.ended,
        tags=tags,
        params=flatten(record.config),
        metrics=metrics | {"best_epoch": record.best_epoch} if best else {},
        curves=tracking.thinned(record.history, record.best_epoch),
        epochs=len(record.history),
        files=files,
    )


def _describe_trial(record: TrialRecord, monitor: str) -> str:
    ended = {"complete": "It ran to its end", "pruned": "It was stopped early", "failed": "It failed"}[record.state]
    result = ""
    if record.best is not None:
        result = f"; its best `{monitor}` is {record.best:.6g}, in epoch {record.best_epoch}"
    failure = f": {record.failure}" if record.failure else ""
    lines = [f"Trial {record.number} of a study. {ended} after {len(record.history)} epochs{failure}{result}.", ""]
    lines += ["| key | value |", "|---|---|"]
    return "\n".join(lines + [f"| `{key}` | {json.dumps(value)} |" for key, value in record.values.items()])


def _messages(stream: BinaryIO) -> "SimpleQueue[dict[str, Any]]":
    """What comes through the pipe, as it comes; the end of it stops the study."""
    messages: SimpleQueue[dict[str, Any]] = SimpleQueue()

    def read() -> None:
        for line in stream:
            with suppress(ValueError):  # the engine died within a line
                messages.put(json.loads(line))
        messages.put({"stop": ""})

    threading.Thread(target=read, daemon=True).start()
    return messages


def _warm_up() -> None:
    """Imports what the report takes, while there is nothing else to do."""
    import sklearn.ensemble  # noqa: F401
    from optuna.importance import FanovaImportanceEvaluator

    import wellfit.charts.tuning  # noqa: F401

    FanovaImportanceEvaluator(n_trees=1)  # optuna imports it when it is first made


def work(stream: BinaryIO) -> int:
    """Does what comes through a pipe, until its end.

    Returns:
        The exit status: 0, or 1 where the report could not be written.
    """
    messages = _messages(stream)
    message = messages.get()
    if "open" not in message:
        return 0
    sys.argv[0] = message["open"]["source"]  # the program that MLflow names is the engine's
    with tracking.write_ahead():
        desk = Desk(message["open"])
        desk.store_all()
        is_warm = False
        ending: dict[str, Any] = {}
        while not ending:
            try:
                message = messages.get(timeout=desk.seconds_to_rest if is_warm else desk.seconds_to_rest or 0.0)
            except Empty:
                if desk.seconds_to_rest == 0.0:
                    desk.copy_one()
                elif not is_warm:
                    _warm_up()
                    is_warm = True
                continue
            if "trial" in message:
                desk.take(Path(message["trial"]))
            else:
                ending = message
        desk.store_all()
        if "stop" in ending:
            desk.copy_all()
            desk.close("FAILED" if ending["stop"] else "KILLED", ending["stop"])
            return 0
        told = ending["finish"]
        messages.get()  # the end of the pipe, which is no longer read when the report is forked off
        try:
            desk.finish(Path(told["report"]), [Row(**row) for row in told["rows"]], dict(told["repeats"]))
        except (WellfitError, OSError) as error:
            desk.close("FAILED", str(error))  # the engine will find the same, and say so
            return 1
        desk.close("FINISHED")
        return 0


if __name__ == "__main__":
    gc.set_threshold(100_000)  # what is imported stays: searching it for garbage over and over takes its time
    if hasattr(os, "nice"):
        os.nice(5)  # training goes first
    status = work(sys.stdin.buffer)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # freeing it all takes a second
