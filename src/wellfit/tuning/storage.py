"""Where a study is kept: a journal file, or a database that several processes and machines share.

Whatever Optuna can open, ``optuna-dashboard`` shows too.
"""

import copy
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.distributions import json_to_distribution
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from wellfit.errors import WellfitError, without_secrets
from wellfit.files import project_root
from wellfit.settings.params import PARAMS_FILE
from wellfit.tuning.databases import is_collision, is_outage, open_database, said_by
from wellfit.tuning.journal import head_file, line_of, mend
from wellfit.tuning.leases import all_leases
from wellfit.tuning.record import TrialRecord, read_record, set_aside
from wellfit.tuning.seal import is_intact, seal
from wellfit.tuning.space import drawn

STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
IDENTITY = "wellfit_identity"
DISTRIBUTIONS = "wellfit_distributions"
TRIES = 10  # to open a database in which another machine makes the tables
FOLDER = "wellfit_records"
ATTRIBUTES = (FOLDER, DISTRIBUTIONS, IDENTITY)  # of a study that was begun, in the order of their writing
STALE = 30.0  # seconds after which Optuna takes the lock of a journal for one that was left behind


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
    place, way_out = without_secrets(storage), f"mend tune.storage ({PARAMS_FILE})"
    if "://" not in storage:
        place = str(_journal(storage, name))
        way_out = "move it away to begin the study anew"
    try:
        with study_lock(name):  # two processes that make the tables of one database at once damage it
            saved = _open(storage, name, direction)
            saved.user_attrs  # noqa: B018 (read, as all that needs the study does)
            return saved
    except WellfitError:
        raise
    except OSError as error:
        fault = f"{without_secrets(storage)} cannot be used: {error.strerror or error}"
        raise WellfitError(f"tune.storage {fault}; name another ({PARAMS_FILE})") from None
    except Exception as error:  # of as many kinds as there are databases
        raise WellfitError(f"{place} cannot be opened ({said_by(error)}); {way_out}") from None


def _open(storage: str, name: str, direction: StudyDirection | None) -> optuna.Study:
    """Opens a study; tries again where another machine makes the same tables."""
    chance = random.SystemRandom()
    for tries_left in reversed(range(TRIES)):
        try:
            opened = open_database(storage) if "://" in storage else _open_journal(_journal(storage, name))
            if direction is None:
                return optuna.load_study(study_name=name, storage=opened)
            return optuna.create_study(storage=opened, study_name=name, direction=direction, load_if_exists=True)
        except Exception as error:
            if not tries_left or not is_collision(error):
                raise
        time.sleep(chance.uniform(0.05, 0.5))
    raise AssertionError


def store_record(saved: optuna.Study, folder: Path) -> bool:
    """Tells the storage how a trial ended; sets its record aside where it is damaged, or another worker's was first.

    Args:
        saved: from :func:`open_saved`.
        folder: of the record, ``trials/<number>``.

    Returns:
        Whether it counts.
    """
    with study_lock(saved.study_name):  # two publishers of one folder may be told of the same trial
        try:
            record = read_record(folder)
        except WellfitError as error:
            where = set_aside(folder)
            print(f"warning: {error}: set aside in {where}, and the trial is run again", file=sys.stderr, flush=True)
            return False
        if end_trial(saved, record):
            return True
        where = set_aside(folder)
    print(f"trial {record.number} ended in another worker first; its record here is set aside in {where}", flush=True)
    return False


def end_trial(saved: optuna.Study, record: TrialRecord) -> bool:
    """Adds a trial that has ended, in one write; leaves it where the storage has its end already.

    Args:
        saved: from :func:`open_saved`; :class:`wellfit.tuning.study.Study` has begun it, in any process.
        record: of the trial.

    Returns:
        Whether it counts: False where the storage has the end of another worker, which was first.
    """
    if first := _first_end(saved, record.number):
        return _is_of(first, record)
    attributes = saved.user_attrs
    distributions = {key: json_to_distribution(text) for key, text in attributes[DISTRIBUTIONS].items()}
    params = drawn(record.values, distributions)
    monitor = record.config["train"]["monitor"]
    values = {epoch: metrics[monitor] for epoch, metrics in enumerate(record.history, start=1) if monitor in metrics}
    known = {"place": record.number, "values": record.values, "epochs": len(record.history)}
    known |= {"best_epoch": record.best_epoch, "best": record.best, "failure": record.failure}
    for lease in all_leases(saved).values():
        trial = lease["trials"].get(str(record.number), {})
        known |= trial if trial.get("values") == record.values else {}  # else it is another worker's
    ended = create_trial(
        state=STATES[record.state],
        values=_final(record, values),
        params=params,
        distributions={key: distributions[key] for key in params},
        user_attrs=known,
        intermediate_values=values,
    )
    seal(ended)
    ended.datetime_start = datetime.fromtimestamp(record.started)
    ended.datetime_complete = datetime.fromtimestamp(record.ended)
    saved.add_trial(ended)
    first = _first_end(saved, record.number)
    return first is not None and _is_of(first, record)


def _first_end(saved: optuna.Study, number: int) -> FrozenTrial | None:
    """Of two workers that end a trial at once, both ends are there, and the first counts."""
    return next((trial for place, trial in _ends(saved) if place == number), None)


def _ends(saved: optuna.Study) -> Iterator[tuple[int, FrozenTrial]]:
    """Place and trial of each end, in their order, without those that were changed since they were written."""
    for trial in _trials(saved):
        if is_intact(saved, trial):
            yield trial.user_attrs["place"], trial


def _is_of(trial: FrozenTrial, record: TrialRecord) -> bool:
    known = {"values": record.values, "epochs": len(record.history), "best": record.best, "failure": record.failure}
    return all(trial.user_attrs.get(key) == value for key, value in known.items())


def ended_trials(saved: optuna.Study) -> dict[int, FrozenTrial]:
    """The trials in the storage by their places, which are their numbers here: Optuna numbers them as they end.

    Of two that took one place the first to end is meant. Those that others have added, or changed, are left out.
    """
    ended: dict[int, FrozenTrial] = {}
    for place, trial in _ends(saved):
        if place not in ended:
            ended[place] = copy.copy(trial)
            ended[place].number = place
    return dict(sorted(ended.items()))


def changed_places(saved: optuna.Study) -> list[int]:
    """The places of trials that were changed in the storage, and whose end it has not been told again since."""
    attributes = [each.user_attrs for each in _trials(saved) if not is_intact(saved, each)]
    places = {said["place"] for said in attributes if isinstance(said.get("place"), int)}
    return sorted(places - {place for place, _ in _ends(saved)})


def _trials(saved: optuna.Study) -> list[FrozenTrial]:
    try:
        return saved.get_trials(deepcopy=False)
    except Exception as error:  # of as many kinds as there are databases, and of values that a cell cannot have
        if is_outage(error):
            raise
        fault = f"the study {saved.study_name} cannot be read ({said_by(error)})"
        raise WellfitError(f"{fault}; mend tune.storage or name another ({PARAMS_FILE})") from None


def study_names(storage: str, prefix: str) -> list[str]:
    """The studies in a storage whose names begin like this.

    Args:
        storage: ``tune.storage``.
        prefix: of the names.
    """
    if "://" in storage:
        return [name for name in optuna.get_all_study_names(open_database(storage)) if name.startswith(prefix)]
    return sorted(path.stem for path in _journal(storage, prefix).parent.glob(f"{prefix}*.log"))


def study_lock(name: str) -> FileLock:
    """What a process of this machine holds while it makes or opens a study."""
    folder = project_root() / ".wellfit" / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{name}.lock")


class Journal(JournalFileBackend):
    """Optuna's journal file, which survives that a writer is killed in the middle of a line.

    Args:
        path: of the file; made when missing.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._file_lock = path, JournalFileOpenLock(str(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            head_file(path).unlink(missing_ok=True)  # of a study that was moved away
        super().__init__(str(path), self._file_lock)
        self._file_lock.acquire()
        try:
            mend(path, ATTRIBUTES)
        finally:
            self._file_lock.release()
        self.append_logs([])  # cuts a torn line off before it is read

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Appends lines, in one write.

        A last line without an end, left by a writer that was killed, is cut off: Optuna passes over it as long as it is
        the last, and cannot read on once another follows.
        """
        text = b"".join(map(line_of, logs))
        self._file_lock.acquire()
        try:
            with self._path.open("a+b") as file:
                _cut_torn_line(file)
                file.write(text)
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


def _final(record: TrialRecord, values: dict[int, float]) -> list[float] | None:
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
