"""Interruptions wait for safe points inside deferred(), and only there. The signals are real ones."""

import signal
import threading
from collections.abc import Sequence

import pytest
from pydantic import BaseModel, field_serializer

from wellfit.interruptions import check, deferred, interruption_behind

pytestmark = pytest.mark.usefixtures("ctrl_c")


def write(steps: list[str], signals: Sequence[int] = (signal.SIGINT,)) -> str:
    with deferred():
        steps.append("begun")
        for signum in signals:
            signal.raise_signal(signum)
        steps.append("ended")
        return "written"


def test_an_interruption_waits_for_the_end_of_the_block() -> None:
    steps: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        write(steps)
    assert steps == ["begun", "ended"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):  # elsewhere it is as ever
        signal.raise_signal(signal.SIGINT)
    assert write(steps, signals=()) == "written"


def test_it_waits_for_the_outermost_of_them() -> None:
    steps: list[str] = []

    def write_twice() -> None:
        with deferred():
            write(steps)
            write(steps, signals=())

    with pytest.raises(KeyboardInterrupt):
        write_twice()
    assert steps == ["begun", "ended"] * 2


def test_it_is_raised_once_at_the_next_safe_point() -> None:
    steps: list[str] = []
    with deferred():
        check()
        write(steps)
        with pytest.raises(KeyboardInterrupt):
            check()
        check()
    assert steps == ["begun", "ended"]


def test_a_second_one_does_not_wait() -> None:
    steps: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        write(steps, signals=(signal.SIGINT, signal.SIGINT))
    assert steps == ["begun"]
    assert write(steps, signals=()) == "written"  # neither of them is left over


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_sigterm_after_the_first_signal_is_ignored(first: int) -> None:
    """`mlflow run` sends one after Ctrl-C, and so does the kernel when the parent has died."""
    seen: list[int] = []
    signal.signal(signal.SIGINT, lambda signum, _: seen.append(signum))
    signal.signal(signal.SIGTERM, lambda signum, _: seen.append(signum))
    with deferred():
        assert write([], signals=(first, signal.SIGTERM)) == "written"
        assert not seen
    assert seen == [first]


def test_another_exception_takes_its_place() -> None:
    def fail() -> None:
        with deferred():
            signal.raise_signal(signal.SIGINT)
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        fail()
    assert write([], signals=()) == "written"


def test_the_handler_of_before_has_the_last_word() -> None:
    seen: list[int] = []

    def note(signum: int, frame: object) -> None:
        seen.append(signum)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    signal.signal(signal.SIGINT, note)
    signal.signal(signal.SIGTERM, note)
    with deferred():
        assert write([]) == "written"
        assert not seen
    assert seen == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is note
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN  # as the handler left it


def test_what_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with deferred():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_other_threads_neither_defer_nor_raise() -> None:
    outcomes: list[object] = []

    def body() -> None:
        try:
            with deferred():
                check()
                outcomes.append(signal.getsignal(signal.SIGINT))
        except BaseException as error:
            outcomes.append(error)

    def in_thread(*signals: int) -> None:
        for signum in signals:
            signal.raise_signal(signum)
        thread = threading.Thread(target=body)
        thread.start()
        thread.join()

    in_thread()
    assert outcomes == [signal.default_int_handler]
    with pytest.raises(KeyboardInterrupt), deferred():
        in_thread(signal.SIGINT)
    assert len(outcomes) == 2
    assert not isinstance(outcomes[1], BaseException)


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
