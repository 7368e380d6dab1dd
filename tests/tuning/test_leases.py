"""Leases: how long they hold, and for whom."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from wellfit.tuning import leases
from wellfit.tuning.leases import SECONDS, Lease, all_leases, trials_under_way

TRIAL = {"values": {"optim.lr": 0.1}}
HOLDER = """
import sys, optuna
from pathlib import Path
from wellfit.tuning.leases import Lease
study = optuna.load_study(study_name="study", storage="sqlite:///" + sys.argv[1] + "/studies.db")
lease = Lease(study, Path(sys.argv[1]) / "workers")
lease.trials[3] = {trial!r}
lease.write()
print("written", flush=True)
sys.stdin.read()
"""


class Clock:
    """The time, which stands still until it is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("time.time", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def study(tmp_path: Path) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(storage=f"sqlite:///{tmp_path}/studies.db", study_name="study")


@pytest.fixture
def lease(study: optuna.Study, tmp_path: Path) -> Iterator[Lease]:
    begun = Lease(study, tmp_path / "workers")
    begun.trials[3] = TRIAL
    yield begun
    begun.close()


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_lease_says_which_trials_are_under_way(study: optuna.Study, lease: Lease, tmp_path: Path) -> None:
    lease.write()
    assert trials_under_way(study, tmp_path / "workers") == {3: TRIAL}
    assert trials_under_way(study, tmp_path / "workers", without=lease.key) == {}
    lease.trials.clear()
    lease.close()
    assert trials_under_way(study, tmp_path / "workers") == all_leases(study) == {}
    assert not list((tmp_path / "workers").iterdir())


def test_a_lease_without_a_trial_is_not_written(study: optuna.Study, tmp_path: Path) -> None:
    empty = Lease(study, tmp_path / "workers")
    empty.write()
    empty.close()
    assert study.user_attrs == {}
    assert not (tmp_path / "workers").exists()


def test_a_lease_that_is_not_renewed_runs_out(study: optuna.Study, lease: Lease, clock: Clock, tmp_path: Path) -> None:
    lease.write()
    clock.now += SECONDS - 1
    assert trials_under_way(study, tmp_path / "workers") == {3: TRIAL}
    clock.now += 2
    assert trials_under_way(study, tmp_path / "workers") == {}


def test_a_lease_is_renewed_while_its_worker_trains(
    study: optuna.Study, lease: Lease, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.05)
    lease.write()
    first = all_leases(study)[lease.key]["until"]
    wait_until(lambda: all_leases(study)[lease.key]["until"] > first)
    lease.trials.clear()
    lease.write()
    time.sleep(0.2)
    assert all_leases(study) == {}  # there is nothing to renew


def test_a_storage_that_was_out_of_reach_hears_of_the_lease_later(
    study: optuna.Study, lease: Lease, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.05)
    lease.write()
    first, tries = all_leases(study)[lease.key]["until"], []

    def out_of_reach(*_: Any) -> None:
        tries.append(None)
        raise ConnectionError

    with monkeypatch.context() as outage:
        outage.setattr(study, "set_user_attr", out_of_reach)
        wait_until(lambda: len(tries) > 1)
    wait_until(lambda: all_leases(study)[lease.key]["until"] > first)


@pytest.mark.parametrize("machine", ["the same", "another"])
def test_the_death_of_a_worker_is_known_on_its_machine(
    study: optuna.Study, tmp_path: Path, machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER.format(trial=TRIAL), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "written\n"
    assert trials_under_way(study, tmp_path / "workers") == {3: TRIAL}
    holder.kill()
    holder.communicate()
    if machine == "another":  # whose folder this is, too
        (tmp_path / "boot_id").write_text("another")
        monkeypatch.setattr(leases, "BOOT_ID", tmp_path / "boot_id")
    assert trials_under_way(study, tmp_path / "workers") == ({} if machine == "the same" else {3: TRIAL})
    # Other records, as in another clone: the time alone decides.
    assert trials_under_way(study, tmp_path / "elsewhere") == {3: TRIAL}
