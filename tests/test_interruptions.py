"""Interruptions wait in marked functions, and only there. The signals are real ones."""

import signal
import threading
from collections.abc import Iterator

import pytest
from pydantic import BaseModel, field_serializer

from wellfit import interruptions
from wellfit.interruptions import hold, interruption_behind, raise_waiting, release, uninterrupted


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


@uninterrupted
def write(steps: list[str], signals: int = 1) -> str:
    steps.append("begun")
    for _ in range(signals):
        signal.raise_signal(signal.SIGINT)
    steps.append("ended")
    raise_waiting()
    return "written"


@uninterrupted
def write_twice(steps: list[str]) -> None:
    write(steps)
    write(steps, signals=0)
    raise_waiting()


def test_an_interruption_waits_for_the_end_of_a_marked_function() -> None:
    steps: list[str] = []
    hold()
    with pytest.raises(KeyboardInterrupt):
        write(steps)
    assert steps == ["begun", "ended"]
    with pytest.raises(KeyboardInterrupt):  # elsewhere it is as ever
        signal.raise_signal(signal.SIGINT)
    assert write(steps, signals=0) == "written"
    release()


def test_it_waits_for_the_outermost_of_them() -> None:
    steps: list[str] = []
    hold()
    with pytest.raises(KeyboardInterrupt):
        write_twice(steps)
    assert steps == ["begun", "ended"] * 2
    release()


def test_a_second_one_does_not_wait() -> None:
    steps: list[str] = []
    hold()
    with pytest.raises(KeyboardInterrupt):
        write(steps, signals=2)
    assert steps == ["begun"]
    assert write(steps, signals=0) == "written"  # neither of them is left over
    release()


def test_the_handler_of_before_has_the_last_word() -> None:
    seen: list[int] = []

    def note(signum: int, frame: object) -> None:
        seen.append(signum)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    signal.signal(signal.SIGINT, note)
    signal.signal(signal.SIGTERM, note)
    hold()
    hold()
    assert write([]) == "written"
    release()
    assert seen == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is interruptions._wait_or_pass  # the outer one still holds
    release()
    assert signal.getsignal(signal.SIGINT) is note
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN  # as the handler left it


def test_what_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    hold()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    release()


def test_other_threads_leave_the_handlers_alone() -> None:
    failures: list[Exception] = []

    def body() -> None:
        try:
            hold()
            raise_waiting()
            release()
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert not failures
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class Interrupted(BaseModel):
    """Gets Ctrl-C as it is written down."""

    lr: float = 0.1

    @field_serializer("lr")
    def _write(self, lr: float) -> float:
        signal.raise_signal(signal.SIGINT)
        return lr


def test_an_interruption_is_found_behind_the_error_that_was_made_of_it() -> None:
    with pytest.raises(ValueError, match="KeyboardInterrupt") as caught:  # pydantic does not let it through
        Interrupted().model_dump()
    assert type(interruption_behind(caught.value)) is KeyboardInterrupt
    with pytest.raises(KeyError) as unrelated:
        {}["lr"]
    assert interruption_behind(unrelated.value) is None
    assert interruption_behind(None) is None


def test_an_error_on_the_way_out_is_of_the_interruption() -> None:
    def body() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full") as caught:
        body()
    assert type(interruption_behind(caught.value)) is KeyboardInterrupt
