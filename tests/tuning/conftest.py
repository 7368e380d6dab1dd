"""A clerk without a process of its own, where it is not the clerk that is tried: its start takes seconds."""

import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from wellfit.tuning.clerk import Clerk


@contextmanager
def _here(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Iterator[Callable[[], Any]]:
    yield lambda: function(*args, **kwargs)


class ClerkHere(Clerk):
    """A clerk whose desk is in this process, where MLflow is imported already; it works when all has been said."""

    def _begin(self) -> None:
        self._lines: list[bytes] = []
        self._ended: int | None = None

    @property
    def _is_closed(self) -> bool:
        return self._ended is not None

    def _say(self, message: Mapping[str, Any]) -> None:
        self._lines.append(json.dumps(message).encode() + b"\n")

    def _end(self) -> int:
        from wellfit.tuning import desk

        if self._ended is None:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(desk, "beside", _here)  # its words would be lost, and what is patched elsewhere
                self._ended = desk.work(io.BytesIO(b"".join(self._lines)))
        return self._ended


@pytest.fixture
def clerk_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage's clerk works in this process, and draws no pictures."""
    monkeypatch.setattr("wellfit.stages.tune.Clerk", ClerkHere)
    monkeypatch.setattr("wellfit.tuning.report._draw", lambda *args: None)


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has run other tests cannot be forked to train, a new one can: the tests would differ by it."""
    monkeypatch.setattr("wellfit.stages.tune.processes_for", lambda *_: 1)
