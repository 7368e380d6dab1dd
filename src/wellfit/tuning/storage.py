"""Where a study is kept: a journal file, or a database that several processes and machines share.

Whatever Optuna can open, ``optuna-dashboard`` shows too.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import optuna
from filelock import FileLock
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, get_storage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from wellfit.errors import WellfitError
from wellfit.files import project_root
from wellfit.settings.params import PARAMS_FILE

STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
IDENTITY = "wellfit_identity"
LOST = "its process ended before it did"
STALE = 30.0  # seconds after which Optuna takes the lock of a journal for one that was left behind


class Ended(Protocol):
    """A trial that has ended, as its record tells it."""

    @property
    def number(self) -> int:
        """In the study."""

    @property
    def state(self) -> str:
        """complete, pruned or failed."""

    @property
    def config(self) -> dict[str, Any]:
        """The sections that decided what the model became."""

    @property
    def history(self) -> list[dict[str, float]]:
        """The metrics of each epoch."""

    @property
    def best(self) -> float | None:
        """The best value of train.monitor."""

    @property
    def best_epoch(self) -> int:
        """Counted from 1; 0: none."""

    @property
    def failure(self) -> str:
        """Why it failed, or an empty text."""


def open_saved(storage: str, name: str, direction: StudyDirection | None = None) -> optuna.Study:
    """The study as it is kept.

    Args:
        storage: ``tune.storage``: a folder below the project's root, or a URL.
        name: of the study.
        direction: that it is made with where it is missing; None: it must be there.

    Returns:
        A study to look at and to add to; its sampler and pruner mean nothing.

    Raises:
        WellfitError: the storage cannot be opened or read, or belongs to MLflow, or the study is missing.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    place, way_out = _spoken(storage), f"mend tune.storage ({PARAMS_FILE})"
    if "://" not in storage:
        place = str(_journal(storage, name))
        way_out = "move it away to begin the study anew"
    try:
        with study_lock(name):  # two processes that make the tables of one database at once damage it
            opened = _open_url(storage) if "://" in storage else _open_journal(_journal(storage, name))
            if direction is None:
                return optuna.load_study(study_name=name, storage=opened)
            return optuna.create_study(storage=opened, study_name=name, direction=direction, load_if_exists=True)
    except WellfitError:
        raise
    except OSError as error:
        raise WellfitError(
            f"tune.storage {_spoken(storage)} cannot be used: {error.strerror or error}; name another ({PARAMS_FILE})"
        ) from None
    except Exception as error:  # of as many kinds as there are databases
        raise WellfitError(f"{place} cannot be opened ({why(error)}); {way_out}") from None


def why(error: Exception) -> str:
    """What is wrong with a storage, in one line: of a database's error its own words, without the SQL."""
    return " ".join(str(getattr(error, "orig", None) or error).split())[:200] or type(error).__name__


def end_trial(saved: optuna.Study, record: Ended) -> bool:
    """Writes down how a trial ended that :meth:`wellfit.tuning.study.Study.ask` has claimed, in any process.

    A journal gets all of it in one write. A trial whose end is known already is left as it is.

    Args:
        saved: from :func:`open_saved`.
        record: of the trial.

    Returns:
        Whether it was written.
    """
    storage = saved._storage
    trial_id = storage.get_trial_id_from_study_id_trial_number(saved._study_id, record.number)
    if storage.get_trial(trial_id).state.is_finished():
        return False
    monitor = record.config["train"]["monitor"]
    values = {epoch: metrics[monitor] for epoch, metrics in enumerate(record.history, start=1) if monitor in metrics}
    attributes: dict[str, Any] = {"epochs": len(record.history), "best_epoch": record.best_epoch, "best": record.best}
    attributes["failure"] = record.failure
    with at_once(storage):
        for name, attribute in attributes.items():
            storage.set_trial_user_attr(trial_id, name, attribute)
        for epoch, value in values.items():
            storage.set_trial_intermediate_value(trial_id, epoch, value)
        storage.set_trial_state_values(trial_id, STATES[record.state], _final(record, values))
    return True


def is_lost(trial: FrozenTrial) -> bool:
    """Whether a trial was under way in a process that is no more."""
    return trial.state == TrialState.FAIL and trial.user_attrs.get("failure") == LOST


def study_lock(name: str) -> FileLock:
    """What a process of this machine holds while it opens a study or claims a trial."""
    return FileLock(lock_path(f"{name}.lock"))


def lock_path(name: str) -> Path:
    """A file below ``.wellfit/locks``, whose folder is made."""
    folder = project_root() / ".wellfit" / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


@contextmanager
def at_once(storage: BaseStorage) -> Iterator[None]:
    """Gathers what is written to a journal into one write; other storages write as they go."""
    backend = storage._backend if isinstance(storage, JournalStorage) else None
    if not isinstance(backend, Journal):
        yield
        return
    with backend.gathering():
        yield


class Journal(JournalFileBackend):
    """Optuna's journal file, which bears a writer that was killed in the midst of a line, and writes much at once.

    Args:
        path: of the file; made when missing.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._file_lock = path, JournalFileOpenLock(str(path))
        self._gathered: list[dict[str, Any]] | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(str(path), self._file_lock)
        self.append_logs([])  # mends it before it is read

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Until it is left, what is appended waits; an exception drops it."""
        self._gathered = []
        try:
            yield
            gathered, self._gathered = self._gathered, None
            self.append_logs(gathered)
        finally:
            self._gathered = None

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Appends lines, in one write.

        A last line without an end, left by a writer that was killed, is cut off: Optuna passes over it as long as it is
        the last, and cannot read on once another follows.
        """
        if self._gathered is not None:
            self._gathered += logs
            return
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self._file_lock.acquire()
        try:
            with self._path.open("a+b") as file:
                _cut_torn_line(file)
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
        finally:
            self._file_lock.release()


def _cut_torn_line(file: Any) -> None:
    end = file.seek(0, os.SEEK_END)
    if end == 0:
        return
    file.seek(end - 1)
    if file.read(1) == b"\n":
        return
    file.seek(0)
    file.truncate(file.read().rfind(b"\n") + 1)
    file.seek(0, os.SEEK_END)


def _final(record: Ended, values: dict[int, float]) -> list[float] | None:
    """What Optuna calls the value of a trial: the best one; of one that was stopped the last, as its ``tell`` does."""
    if record.state == "complete" and record.best is not None:
        return [record.best]
    if record.state == "pruned" and values and values[len(values)] == values[len(values)]:
        return [values[len(values)]]
    return None


def _journal(storage: str, name: str) -> Path:
    return project_root() / storage / f"{name}.log"


def _open_journal(path: Path) -> BaseStorage:
    # Of a process that was killed as it wrote. Optuna waits for half a minute from now on; it may be days old.
    lock = path.with_name(f"{path.name}.lock")
    with suppress(FileNotFoundError):
        if time.time() - lock.stat().st_mtime > STALE:
            lock.unlink()
    return JournalStorage(Journal(path))


def _open_url(url: str) -> BaseStorage:
    from sqlalchemy.engine import make_url

    address = make_url(url)
    options: dict[str, Any] = {"pool_pre_ping": True}  # else the first call after a server's restart fails
    if address.get_backend_name() == "sqlite":
        options["connect_args"] = {"timeout": 60}
        if address.database in (None, "", ":memory:"):
            raise WellfitError(f"tune.storage {url} is kept in memory only: name a file ({PARAMS_FILE})")
        # From the project's root, wherever a stage runs.
        address = address.set(database=str(project_root() / str(address.database)))
    text = address.render_as_string(hide_password=False)
    _refuse_mlflow(text, url)
    return get_storage(RDBStorage(text, engine_kwargs=options))


def _refuse_mlflow(url: str, said: str) -> None:
    """Optuna and MLflow both keep the version of their tables in one of the same name."""
    from sqlalchemy import create_engine, inspect
    from sqlalchemy.engine import make_url

    own = make_url(url)
    trackers = {f"sqlite:///{project_root() / 'mlflow.db'}", os.environ.get("MLFLOW_TRACKING_URI", "")}
    is_mlflow = url in trackers
    if not is_mlflow and (own.get_backend_name() != "sqlite" or Path(str(own.database)).exists()):
        engine = create_engine(url)
        is_mlflow = {"experiments", "runs"} <= set(inspect(engine).get_table_names())
        engine.dispose()
    if is_mlflow:
        raise WellfitError(
            f"tune.storage {_spoken(said)} is MLflow's database; name another, such as sqlite:///studies.db "
            f"({PARAMS_FILE})"
        )


def _spoken(storage: str) -> str:
    """A URL without its password."""
    if "://" not in storage:
        return storage
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(storage).render_as_string(hide_password=True)
    except ArgumentError:
        return storage
