import io
import sys
from collections.abc import Callable

import pytest

from wellfit import progress as module
from wellfit.interruptions import deferred
from wellfit.progress import LINE_SECONDS, Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_without_a_terminal_it_is_lines_every_few_seconds(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("train", 6, "epoch") as progress:
        for number in range(1, 7):
            progress.show(number, {"train/loss": 1 / number, "lr": 0.0001234567})
            clock.now += LINE_SECONDS / 2
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "train epoch 1/6  train/loss 1  lr 0.0001235",
        "train epoch 3/6  train/loss 0.3333  lr 0.0001235",
        "train epoch 5/6  train/loss 0.2  lr 0.0001235",
        "train epoch 6/6  train/loss 0.1667  lr 0.0001235",
    ]
    assert err == ""


def test_the_last_step_is_told_once(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("train", 1, "epoch") as progress:
        progress.show(1, {})
    assert capsys.readouterr().out.splitlines() == ["train epoch 1/1  "]


def test_what_was_not_told_yet_is_told_when_an_error_ends_it(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> None:
        with Progress("tune", 9, "trial") as progress:
            progress.show(1, {"best": 1.0})
            progress.show(2, {"best": 0.5})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        run()
    assert capsys.readouterr().out.splitlines() == ["tune trial 1/9  best 1", "tune trial 2/9  best 0.5"]


def test_nothing_shown_is_nothing_told(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("train", 3, "epoch"):
        pass
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_it_is_a_bar(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with Progress("train", 4, "epoch", done=1) as progress:
        for number in (2, 3, 4):
            progress.show(number, {"val/loss": 0.123456})
        progress._bar.refresh()
    shown = screen.getvalue()
    assert "train:" in shown
    assert "1/4" in shown  # where it began
    assert "4/4" in shown
    assert "val/loss 0.1235" in shown
    assert capsys.readouterr().out == ""
    assert shown.split("\r")[-1].strip() == ""  # the bar is gone when it is done


def test_steps_that_are_passed_over_count_as_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Progress("compare", 30, "epoch") as progress:
        progress.show(1, {})
        progress.show(21, {})  # the first of 20 ended early
        assert progress._bar.n == 21


def test_to_show_a_step_is_a_safe_point(ctrl_c: Callable[[], None]) -> None:
    shown = []

    def steps() -> None:
        with Progress("train", 6, "epoch") as progress:
            for number in range(1, 7):
                ctrl_c()
                progress.show(number, {})
                shown.append(number)

    with pytest.raises(KeyboardInterrupt), deferred():
        steps()
    assert shown == []
