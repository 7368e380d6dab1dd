"""Work in a fork of this process."""

import os
import signal
from typing import Any

import pytest

from wellfit.errors import WellfitError
from wellfit.tuning.beside import beside


def number_and_process(number: int) -> tuple[int, int]:
    return number, os.getpid()


def fail(error: Exception) -> None:
    raise error


def test_it_is_done_in_another_process() -> None:
    with beside(number_and_process, number=3) as result:
        number, process = result()
    assert number == 3
    assert process != os.getpid()
    with pytest.raises(ProcessLookupError):  # it has ended, and nobody has to wait for it
        os.kill(process, 0)


def test_an_error_is_raised_where_the_result_is_asked_for() -> None:
    with beside(fail, WellfitError("not like this")) as result, pytest.raises(WellfitError, match="not like this"):
        result()


def test_its_death_is_an_error() -> None:
    def die(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with beside(die) as result, pytest.raises(ChildProcessError, match="the process of die ended: -9"):
        result()


def test_where_there_are_no_forks_it_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with beside(number_and_process, 3) as result:
        assert result() == (3, os.getpid())
