"""Which trials of a study are under way, and in which worker: a process that runs trials.

Each worker keeps one lease among the user attributes of the study: the trials that it runs, and a time until which they
are its own. A thread renews it beside the training. The trials of a lease that has run out are free for other workers;
the clocks of their machines should agree to some seconds. A trial stays in its lease until the storage has its end.

A worker also holds a lock on a file. Another process of the same machine and the same records sees by it at once that
a worker has died, and need not wait until the lease has run out. Nothing else depends on the file.
"""

import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock

from wellfit import tracking
from wellfit.interruptions import deferred

PREFIX = "lease "
SECONDS = 60.0  # that a lease holds
RENEW_SECONDS = 15.0
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # the same in all containers of a machine


class Lease:
    """The lease of this worker; processes must be forked before it is first written, as it has a thread.

    Args:
        study: as it is kept in the storage.
        workers: folder of the lock files of this study's workers; made when needed.
        worker: its name; None: a new one. Whoever goes on as one that is gone knows that it is.

    Attributes:
        worker: its name.
        trials: number of each trial under way to what other workers, and the end of the trial, have to know of it.
    """

    def __init__(self, study: optuna.Study, workers: Path, worker: str | None = None) -> None:
        self._study = study
        self.worker = worker or uuid.uuid4().hex[:12]
        self.key = PREFIX + self.worker
        self.trials: dict[int, dict[str, Any]] = {}
        self._file = _lock_file(workers, self.key)
        self._lock: FileLock | None = None
        self._one_at_a_time = threading.Lock()
        self._closes = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def write(self) -> None:
        """Writes down which trials are under way, or that none is."""
        with deferred(), self._one_at_a_time:  # cut short, it could leave the journal's lock behind
            if self._lock is None:
                if not self.trials:
                    return
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._lock = FileLock(self._file)
                self._lock.acquire()
                self._thread.start()
            self._write()

    def close(self) -> None:
        """Stops renewing, and writes down what is left: trials that have ended, and that the storage lacks."""
        self._closes.set()
        if self._lock is None:
            return
        self._thread.join()
        try:
            self.write()
        finally:
            if not self.trials:
                self._file.unlink(missing_ok=True)
                self._lock.release()

    def _write(self) -> None:
        trials = {str(number): trial for number, trial in self.trials.copy().items()}
        lease = {"until": time.time() + SECONDS, "trials": trials}
        self._study.set_user_attr(self.key, lease if trials else None)

    def _renew(self) -> None:
        while not self._closes.wait(RENEW_SECONDS):
            # A storage that cannot be reached, of as many kinds as there are databases, is tried again the next time.
            with self._one_at_a_time, suppress(Exception):
                if self.trials:
                    self._write()


def trials_under_way(study: optuna.Study, workers: Path, without: str = "") -> dict[int, dict[str, Any]]:
    """The trials of all leases that hold.

    Args:
        study: as it is kept in the storage.
        workers: folder of the lock files of this study's workers.
        without: key of a lease that is left out.

    Returns:
        Number of each trial to what its lease says of it.
    """
    held = [lease for key, lease in all_leases(study).items() if key != without and holds(lease, workers, key)]
    return {int(number): trial for lease in held for number, trial in lease["trials"].items()}


def all_leases(study: optuna.Study) -> dict[str, dict[str, Any]]:
    """Key to lease, those that have run out included."""
    return {key: lease for key, lease in study.user_attrs.items() if key.startswith(PREFIX) and lease}


def holds(lease: dict[str, Any], workers: Path, key: str) -> bool:
    """Whether its time has not run out, and its worker has not died on this machine."""
    return time.time() < lease["until"] and not _has_died(_lock_file(workers, key))


def _lock_file(workers: Path, key: str) -> Path:
    """Named by the running system: on another machine that shares the folder, locks may mean nothing."""
    machine = BOOT_ID.read_text().strip() if BOOT_ID.exists() else f"{uuid.getnode():012x}"
    return workers / f"{key.removeprefix(PREFIX)}-{machine}.lock"


def _has_died(file: Path) -> bool:
    return file.exists() and not tracking.is_held(file)
