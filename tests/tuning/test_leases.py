"""Leases: how long they hold, and for whom."""

import os
import subprocess
import sys
from typing import Any

import optuna
import pytest

from wellfit.tuning.leases import FIRST, SHORTEST, Lease, all_leases, trials_under_way

TRIAL = {"values": {"optim.lr": 0.1}}


class Clock:
    """The time, which stands still until it is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("time.time", lambda: self.now)
        monkeypatch.setattr("time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def study() -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study()


@pytest.fixture
def lease(clock: Clock, study: optuna.Study) -> Lease:
    begun = Lease(study)
    begun.trials[3] = TRIAL
    begun.write()
    return begun


def test_a_lease_says_which_trials_are_under_way(study: optuna.Study, lease: Lease) -> None:
    assert trials_under_way(study) == {3: TRIAL}
    assert trials_under_way(study, without=lease.key) == {}
    lease.trials.clear()
    lease.write()
    assert trials_under_way(study) == all_leases(study) == {}


def test_a_lease_without_a_trial_is_not_written(study: optuna.Study) -> None:
    Lease(study).write()
    assert study.user_attrs == {}


def test_the_first_epoch_may_take_long(study: optuna.Study, lease: Lease, clock: Clock) -> None:
    clock.now += FIRST - 1
    assert trials_under_way(study) == {3: TRIAL}
    clock.now += 2
    assert trials_under_way(study) == {}


@pytest.mark.parametrize("seconds", [0.1, 10.0, 300.0])
def test_a_lease_holds_as_long_as_epochs_end(study: optuna.Study, lease: Lease, clock: Clock, seconds: float) -> None:
    for _ in range(int(2 * FIRST / seconds)):
        clock.now += seconds
        assert trials_under_way(study) == {3: TRIAL}
        lease.renew()
    clock.now += max(SHORTEST, 4 * seconds) + 1
    assert trials_under_way(study) == {}


def test_a_lease_is_not_written_at_each_epoch(
    study: optuna.Study, lease: Lease, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[float] = []
    monkeypatch.setattr(study, "set_user_attr", lambda key, value: writes.append(value["until"]))
    for _ in range(1000):
        clock.now += 1.0
        lease.renew()
    assert len(writes) < 100


def test_a_storage_that_is_out_of_reach_does_not_stop_training(
    study: optuna.Study, lease: Lease, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_reach(*_: Any) -> None:
        raise ConnectionError

    with monkeypatch.context() as outage:
        outage.setattr(study, "set_user_attr", out_of_reach)
        for _ in range(5):
            clock.now += 700.0
            lease.renew()
    assert trials_under_way(study) == {}
    clock.now += 700.0
    lease.renew()
    assert trials_under_way(study) == {3: TRIAL}


@pytest.mark.parametrize(("machine", "holds"), [("here", False), ("elsewhere", True)])
def test_the_death_of_a_worker_is_known_on_its_machine(study: optuna.Study, machine: str, holds: bool) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "getpid", lambda: ended.pid)
        if machine == "elsewhere":
            patch.setattr("socket.gethostname", lambda: "elsewhere")
        dead = Lease(study)
        dead.trials[3] = TRIAL
        dead.write()
    assert trials_under_way(study) == ({3: TRIAL} if holds else {})
