"""Which trials of a study are under way, and in which worker: a process that runs trials.

Each worker keeps one lease among the user attributes of the study: the trials that it runs, and a time until which they
are its own. It renews the lease as it trains. The trials of a lease that has run out are free for other workers, and so
are those of a worker that this machine knows to have died. A trial stays in its lease until the storage has its end.
"""

import os
import socket
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna

from wellfit.interruptions import deferred

PREFIX = "lease "
SHORTEST = 30.0  # seconds that a lease holds
FIRST = 1800.0  # before it is known how long an epoch takes
EPOCHS = 4  # for how many of the longest epochs so far a lease holds at least


class Lease:
    """The lease of this worker.

    Args:
        study: as it is kept in the storage.

    Attributes:
        trials: number of each trial under way to what other workers, and the end of the trial, have to know of it.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self.key = PREFIX + uuid.uuid4().hex[:12]
        self.trials: dict[int, dict[str, Any]] = {}
        self._is_written = False
        self._renew_at = 0.0
        self._last_epoch = time.monotonic()
        self._longest_epoch: float | None = None

    def renew(self) -> None:
        """Writes the lease again when a third of its time is over; called at the end of each epoch of a trial.

        A storage that cannot be reached does not hold up training: the lease is renewed with a later call.
        """
        now = time.monotonic()
        self._longest_epoch = max(self._longest_epoch or 0.0, now - self._last_epoch)
        self._last_epoch = now
        if self.trials and now >= self._renew_at:
            try:
                self.write()
            except Exception:  # of as many kinds as there are databases
                self._renew_at = now + SHORTEST / 3

    def write(self) -> None:
        """Writes down which trials are under way, or that none is."""
        longest = self._longest_epoch
        seconds = FIRST if longest is None else max(SHORTEST, EPOCHS * longest)
        trials = {str(number): trial for number, trial in self.trials.items()}
        lease = {"until": time.time() + seconds, "machine": _machine(), "process": os.getpid(), "trials": trials}
        with deferred():  # cut short, it could leave the journal's lock behind
            if trials or self._is_written:
                self._study.set_user_attr(self.key, lease if trials else None)
                self._is_written = True
        self._renew_at = time.monotonic() + seconds / 3


def trials_under_way(study: optuna.Study, without: str = "") -> dict[int, dict[str, Any]]:
    """The trials of all leases that hold.

    Args:
        study: as it is kept in the storage.
        without: key of a lease that is left out.

    Returns:
        Number of each trial to what its lease says of it.
    """
    held = [lease for key, lease in all_leases(study).items() if key != without and _holds(lease)]
    return {int(number): trial for lease in held for number, trial in lease["trials"].items()}


def all_leases(study: optuna.Study) -> dict[str, dict[str, Any]]:
    """Key to lease, those that have run out included."""
    return {key: lease for key, lease in study.user_attrs.items() if key.startswith(PREFIX) and lease}


def _holds(lease: Mapping[str, Any]) -> bool:
    if lease["machine"] == _machine() and not _is_alive(lease["process"]):
        return False
    return bool(time.time() < lease["until"])


def _machine() -> str:
    """Where the number of a process means the same process: a machine, or a container of its own on it."""
    processes = Path("/proc/self/ns/pid")
    namespace = os.readlink(processes) if processes.exists() else ""
    return f"{socket.gethostname()} {uuid.getnode():012x} {namespace}".strip()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
