"""What is published of a study: to MLflow a run and a run for each trial, to the study's storage how each trial ended.

It runs as a process of its own, beside the training. What cannot be published stays in the records of the trials, and
is published when the study is next opened.
"""

import itertools
import json
import sys
import time
import uuid
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from wellfit import tracking
from wellfit.data.meta import Meta
from wellfit.errors import WellfitError
from wellfit.files import write_json, write_text
from wellfit.manifest import sealed, unsealed
from wellfit.settings.params import Params, flatten
from wellfit.tracking.publication import Publication, run
from wellfit.training.record import HISTORY
from wellfit.tuning.record import TrialRecord, read_record
from wellfit.tuning.report import Row

if TYPE_CHECKING:
    import optuna

PUBLISHED = "mlflow.json"  # in the folder of a trial: its run in MLflow
RUN = "run.json"  # in the folder of a study: its run in MLflow
STORE_AGAIN_SECONDS = 2.0  # after which a storage that could not be reached is tried again
STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}


class StudyPublication(Publication):
    """The trials of a study, those that an earlier publisher left among them.

    Several processes may publish one study; its run is one.

    Args:
        opening: with ``folder``, of the study's records, ``storage``, as ``tune.storage`` says it, ``searched``, the
            keys of the space, ``monitor``, which is ``train.monitor``, and whether it is to rise.
    """

    def __init__(self, opening: Mapping[str, Any]) -> None:
        super().__init__(opening)
        self._folder, self._storage = Path(opening["folder"]), str(opening["storage"])
        self._to_store: deque[Path] = deque()
        self._store_at = 0.0  # when it is tried again
        self._left: set[Path] = set()  # by a publisher of before
        self._saved: optuna.Study | None = None
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self._folder / f"publisher-{uuid.uuid4().hex[:12]}.lock")
        with self._one_at_a_time():
            others = {path: tracking.is_held(path) for path in self._folder.glob("publisher-*.lock")}
            self._lock.acquire()
        for path, alive in others.items():
            if not alive:
                path.unlink(missing_ok=True)
        if not any(others.values()):  # else they may be in the hands of another
            self._take_what_was_left()

    def to_postpone(self, last: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Messages as of any publication, without the trials, which are among the records, and without an address."""
        opening, *_, end = super().to_postpone(last)
        return [{"open": {**opening["open"], "storage": ""}}, end]

    def add(self, folder: Path) -> None:
        """Takes a trial, and tells the storage of it at once, for other processes to know."""
        self._to_store.append(folder)
        if folder not in self._left and not (folder / PUBLISHED).exists():  # else it had ended when this process began
            super().add(folder)
        self._store_all()

    @property
    def seconds_to_next(self) -> float | None:
        """Until the next try to copy, or to tell the storage: other workers wait for it."""
        to_store = [max(0.0, self._store_at - time.monotonic())] if self._to_store else []
        to_copy = super().seconds_to_next
        return min(to_store if to_copy is None else [*to_store, to_copy], default=None)

    def copy_next(self) -> None:
        """Does what is due."""
        if self._to_store and time.monotonic() >= self._store_at:
            self._store_all()
        if super().seconds_to_next == 0.0:
            super().copy_next()

    def copy(self, folder: Path, run: tracking.Run) -> None:
        """Copies a trial, unless another publisher has: that of a worker that was killed may still be at work."""
        with FileLock(self._folder / "copies.lock"):
            if not (folder / PUBLISHED).exists():
                super().copy(folder, run)

    def ended_run(self, folder: Path) -> tracking.EndedRun:
        """What MLflow is told of a trial: its curves of loss and score, and the settings that it trained with.

        The metrics of all epochs are among the artifacts, the other settings of the data in the run of the study: a
        hundred params and as many points of curves cost MLflow a tenth of a second, of a thousand trials two minutes.
        MLflow's view of parallel coordinates opens with the params that differ and with the metric that came first.

        Raises:
            WellfitError: its folder is damaged.
        """
        record = read_record(folder)
        monitor = record.config["train"]["monitor"]
        # With folds, the best value is the mean of those of the folds, whose best epochs differ.
        best = {} if record.best is None else record.history[record.best_epoch - 1] | {monitor: record.best}
        scores = {name: value for name, value in best.items() if name.startswith("val/")}
        metrics = {f"best/{name}": scores[name] for name in sorted(scores, key=lambda name: name != monitor)}
        curves = dict.fromkeys([monitor, *itertools.chain(*tracking.CURVES_OF_TRIALS)])
        files = [(folder / HISTORY, "")]
        files += [(file, "checkpoint") for file in sorted(folder.glob("*.safetensors"))]
        tags = {
            "wellfit.trial": str(record.number),
            "wellfit.trial_state": record.state,
            "mlflow.note.content": _describe_trial(record, monitor),
        }
        if record.failure:
            tags["wellfit.failure"] = record.failure
        return tracking.EndedRun(
            stage="trial",
            name=f"trial {record.number} {self.meta.title} {record.config['model']['name']}",
            status=STATUS[record.state],
            started=record.started,
            ended=record.ended,
            tags=tags,
            params={key: value for key, value in flatten(record.config).items() if _is_of_trial(key)},
            metrics=metrics | {"best_epoch": record.best_epoch} if best else {},
            history=[{name: epoch[name] for name in curves if name in epoch} for epoch in record.history],
            best_epoch=record.best_epoch,
            files=files,
        )

    def start_run(self) -> tracking.Run:
        """Goes on with the run of before, where there is one."""
        opening, file = self._opening, self._folder / RUN
        with self._one_at_a_time():  # one study, one run, also where two processes begin it at once
            was_begun, again = file.exists(), _run_id(file)
            started = tracking.start_run(
                opening["stage"],
                opening["name"],
                self.meta,
                again=again,
                shared=True,
                may_wait=False,
                started=opening["started"],
            )
            study_run = self._open_run.enter_context(started)
            write_text(file, sealed({"run_id": study_run.id}))
            searched, monitor, higher = (opening[key] for key in ("searched", "monitor", "higher_is_better"))
            trials = tracking.trials_view(study_run.id, searched, monitor, higher_is_better=higher)
            study_run.tag_experiment(tracking.runs_view(searched) | trials)
            if was_begun and again != study_run.id:  # another store, or below another run: it lacks the trials
                for marker in self._folder.glob(f"trials/*/{PUBLISHED}"):
                    marker.unlink()
                self._take_what_was_left()
        if self._left:
            runs = tracking.children_by_tag(study_run, "wellfit.trial")
            self._half_copied = {folder: runs[folder.name] for folder in self._left if folder.name in runs}
        return study_run

    def log(self, ended: tracking.EndedRun, folder: Path, run: tracking.Run) -> str:
        """Makes or completes the run of a trial, and keeps its id."""
        run_id = super().log(ended, folder, run)
        write_json(folder / PUBLISHED, {"run_id": run_id})
        return run_id

    def close(self, status: str, failure: str = "") -> None:
        """Ends the study's run, unless another process has it open, too."""
        self._store_all()
        with self._one_at_a_time():  # of two that leave at once, one is the last
            super().close(status, failure)
        Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()

    def _one_at_a_time(self) -> FileLock:
        return FileLock(self._folder / "publishers.lock")

    def _take_what_was_left(self) -> None:
        """Takes the trials that MLflow lacks; the storage has been told of them when the study was opened."""
        trials = [path for path in self._folder.glob("trials/*") if path.name.isdecimal()]
        for trial in sorted(trials, key=lambda path: int(path.name)):
            if not (trial / PUBLISHED).exists() and trial not in self._waiting:
                self._left.add(trial)
                self._waiting.append(trial)

    def _store_all(self) -> None:
        """Tells the storage of every trial that it has not heard of."""
        from wellfit.tuning.databases import said_by
        from wellfit.tuning.storage import open_saved, store_record

        try:
            while self._to_store:
                self._saved = self._saved or open_saved(self._storage, self._folder.name)
                counts = store_record(self._saved, self._to_store[0])
                folder = self._to_store.popleft()
                if not counts and folder in self._waiting:
                    self._waiting.remove(folder)
        except Exception as error:  # of as many kinds as there are databases
            self._store_at = time.monotonic() + STORE_AGAIN_SECONDS
            self.warn(
                "storage",
                WellfitError(said_by(error)),
                f"the trials are kept in {self._folder} until the study is next opened",
            )


def _is_of_trial(key: str) -> bool:
    return not key.startswith("data.") or key in ("data.name", "data.augment")


def _run_id(file: Path) -> str | None:
    """The study's run in MLflow; None where there is none, or it is not known any more."""
    try:
        return str(unsealed(file.read_text(encoding="utf-8"))["run_id"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError):
        print(f"warning: {file} is damaged: MLflow gets a new run of the study", file=sys.stderr, flush=True)
        return None


def _describe_trial(record: TrialRecord, monitor: str) -> str:
    ended = {"complete": "It ran to its end", "pruned": "It was stopped early", "failed": "It failed"}[record.state]
    result = ""
    if record.best is not None:
        result = f"; its best `{monitor}` is {record.best:.6g}, in epoch {record.best_epoch}"
    failure = f": {record.failure}" if record.failure else ""
    lines = [f"Trial {record.number} of a study. {ended} after {len(record.history)} epochs{failure}{result}.", ""]
    lines += ["| key | value |", "|---|---|"]
    return "\n".join(lines + [f"| `{key}` | {json.dumps(value)} |" for key, value in record.values.items()])


def describe_study(params: Params, meta: Meta, best: Row | None = None) -> str:
    """The description of the study's run, as Markdown.

    Args:
        params: the configuration, with the space that is searched.
        meta: the data.
        best: the best trial, once it is known.
    """
    tune, monitor = params.tune, params.train.monitor
    space = params.model_dump(mode="json")["tune"]["space"]
    lines = [
        f"A study of {tune.n_trials} trials: each trains `{params.model.name}` on `{meta.title}` with "
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


if __name__ == "__main__":
    run(StudyPublication)
