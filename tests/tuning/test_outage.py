"""Waiting for a storage that cannot be reached."""

import sqlite3
from collections.abc import Callable

import optuna
import pytest
from sqlalchemy.exc import OperationalError

from wellfit.errors import WellfitError
from wellfit.tuning import outage
from wellfit.tuning.outage import LIMIT_SECONDS, persistently


def away() -> Exception:
    error = optuna.exceptions.StorageInternalError("An exception is raised during the commit.")
    error.__cause__ = OperationalError("SELECT", {}, Exception("connection refused\nby the server"))
    return error


def failing(times: int, error: Callable[[], Exception] = away) -> tuple[Callable[[], int], list[None]]:
    calls: list[None] = []

    def call() -> int:
        calls.append(None)
        if len(calls) <= times:
            raise error()
        return len(calls)

    return call, calls


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that only waiting moves."""
    waited: list[float] = []
    monkeypatch.setattr("time.monotonic", lambda: sum(waited))
    monkeypatch.setattr(outage, "wait", waited.append)
    return waited


def test_what_can_be_reached_is_called_once(waits: list[float]) -> None:
    assert persistently(failing(0)[0], settle_seconds=15.0) == 1
    assert waits == []


def test_an_outage_is_waited_for_and_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert persistently(failing(5)[0]) == 6
    said = "warning: tune.storage cannot be reached (connection refused by the server); waits until it can\n"
    assert capsys.readouterr().err == said


def test_after_an_outage_others_have_time_to_say_what_they_could_not(waits: list[float]) -> None:
    assert persistently(failing(2)[0], settle_seconds=15.0) == 4
    assert waits[-1] == 15.0


def test_an_outage_that_does_not_end_is_one_line(waits: list[float]) -> None:
    with pytest.raises(WellfitError, match=r"cannot be reached \(connection refused by the server\) for 600 seconds"):
        persistently(failing(10**6)[0])
    assert sum(waits) == pytest.approx(LIMIT_SECONDS, abs=5)


@pytest.mark.parametrize(
    "error",
    [
        lambda: KeyError("no such study"),
        lambda: OperationalError("", {}, sqlite3.OperationalError("unable to open database file")),
    ],
)
def test_another_error_is_no_outage(error: Callable[[], Exception]) -> None:
    call, calls = failing(1, error)
    with pytest.raises((KeyError, OperationalError)):
        persistently(call)
    assert len(calls) == 1
