"""A clerk without a process of its own, where it is not the clerk that is tried: its start takes seconds."""

import io
import json
from collections.abc import Mapping
from typing import Any

import pytest

from wellfit.tuning.clerk import Clerk


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
        from wellfit.tuning.desk import work

        if self._ended is None:
            self._ended = work(io.BytesIO(b"".join(self._lines)))
        return self._ended


@pytest.fixture
def clerk_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage's clerk works in this process, and draws no pictures."""
    monkeypatch.setattr("wellfit.tuning.tune.Clerk", ClerkHere)
    monkeypatch.setattr("wellfit.tuning.report._draw", lambda *args: None)


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has run other tests cannot be forked to train, a new one can: the tests would differ by it."""
    monkeypatch.setattr("wellfit.tuning.tune.processes_for", lambda *_: 1)
