"""A publisher without a process of its own, where it is not the publisher that is tried: its start takes seconds."""

import io
import json
from importlib import import_module
from typing import Any

import pytest

from wellfit.tracking.publisher import Publisher

PUBLICATIONS = {
    "wellfit.tuning.publish": "StudyPublication",
    "wellfit.compare.publish": "ComparisonPublication",
}


class PublisherHere(Publisher):
    """A publisher that works in this process, where MLflow is imported already, when all has been handed over."""

    def _begin(self) -> None:
        self._lines: list[bytes] = []
        self._pipe = io.BytesIO()

    def _send(self, message: dict[str, Any]) -> None:
        self._messages.append(message)
        self._lines.append(json.dumps(message).encode() + b"\n")

    def _end(self) -> int:
        from wellfit.tracking.publication import publish

        if not self._pipe.closed:
            self._pipe.close()
            publish(io.BytesIO(b"".join(self._lines)), vars(import_module(self._module))[PUBLICATIONS[self._module]])
        return 0


@pytest.fixture
def publisher_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stages' publisher works in this process, and tune draws no pictures."""
    monkeypatch.setattr("wellfit.stages.tune.Publisher", PublisherHere)
    monkeypatch.setattr("wellfit.stages.compare.Publisher", PublisherHere)
    monkeypatch.setattr("wellfit.tuning.report._draw", lambda *args: None)
