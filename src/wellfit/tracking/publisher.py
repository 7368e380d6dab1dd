"""The publisher: a process of its own that copies to MLflow what a study or a comparison has done, beside the training.

A training that has ended is written to a folder, and the folder's name is handed over, which takes microseconds. The
process (``publication.py``) reads the folder and copies it, which takes tens of milliseconds, after imports that take
seconds. The two are joined by a pipe of JSON lines. Its end says that this process is gone, whatever happened to it;
the publisher then ends what it has begun.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from wellfit.data.meta import Meta
from wellfit.interruptions import deferred, interruption_behind


class Publisher:
    """The near end of the pipe; a context manager. Nothing here waits but :meth:`finish` and the way out.

    Args:
        module: that the process runs: ``wellfit.tuning.publish`` or ``wellfit.compare.publish``.

    Example::

        with Publisher("wellfit.tuning.publish") as publisher:
            publisher.open("tune", "tune moons", meta, params, tags, details)
            write_record(folder / "trials" / "0", record, weights, meta.sha256)
            publisher.add(folder / "trials" / "0")
            publisher.finish(report, "tune", {"best/val/loss": 0.1}, "What came of it.")
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._messages: list[dict[str, Any]] = []  # for another process, if the first one dies
        self._begin()

    def __enter__(self) -> Self:
        return self

    def open(
        self,
        stage: str,
        name: str,
        meta: Meta,
        params: Mapping[str, Any],
        tags: Mapping[str, Any],
        details: Mapping[str, Any],
    ) -> None:
        """Says what the run is that all others are nested in.

        Args:
            stage: the tag ``wellfit.stage``.
            name: what the MLflow UI shows.
            meta: the data.
            params: dotted keys of ``params.yaml`` and their values.
            tags: of the run.
            details: what the module has to know.
        """
        opening = {
            "stage": stage,
            "name": name,
            "meta": meta.model_dump(mode="json", exclude={"sha256"}),
            "params": dict(params),
            "tags": dict(tags),
            "source": sys.argv[0],
            "started": time.time(),
            "module": self._module,
        }
        self._send({"open": opening | dict(details)})

    def add(self, folder: Path) -> None:
        """Hands over the folder of a training that has ended."""
        self._send({"add": str(folder.absolute())})

    def finish(self, report: Path | None, artifacts: str, metrics: Mapping[str, float], description: str) -> None:
        """Waits until all is published, the report included.

        Args:
            report: the folder of the report; None: there is none.
            artifacts: the folder that it goes to among the run's artifacts.
            metrics: of the run.
            description: of the run.
        """
        said = {"report": str(report.absolute()) if report else None, "artifacts": artifacts}
        self._send({"finish": said | {"metrics": dict(metrics), "description": description}})
        status = self._end()
        if status:
            print(f"warning: the publisher ended with status {status}; begun anew", file=sys.stderr)
            self._begin()
            self._unsent = b"".join(map(_line, self._messages))
            status = self._end()
        if status:
            print(f"warning: the publisher ended with status {status}; MLflow lacks a part", file=sys.stderr)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._messages and not self._pipe.closed:
            is_failure = error is not None and not interruption_behind(error)
            self._send({"stop": (" ".join(str(error).split()) or type(error).__name__) if is_failure else ""})
        self._end()

    def _begin(self) -> None:
        # In a session of its own, for Ctrl-C in a terminal goes to all processes of a group.
        self._process = subprocess.Popen(
            [sys.executable, "-m", self._module], stdin=subprocess.PIPE, bufsize=0, start_new_session=True
        )
        assert self._process.stdin is not None
        self._pipe = self._process.stdin
        os.set_blocking(self._pipe.fileno(), False)
        self._unsent = b""

    def _send(self, message: dict[str, Any]) -> None:
        self._messages.append(message)
        self._unsent += _line(message)
        # A pipe that is full takes the rest the next time, one whose reader has died takes nothing.
        with deferred(), suppress(BlockingIOError, BrokenPipeError):  # cut short, half of it could be sent twice
            self._unsent = self._unsent[os.write(self._pipe.fileno(), self._unsent) :]

    def _end(self) -> int:
        """Sends what is unsent, closes the pipe and waits for the exit status."""
        if not self._pipe.closed:
            os.set_blocking(self._pipe.fileno(), True)
            with suppress(BrokenPipeError):
                while self._unsent:
                    self._unsent = self._unsent[os.write(self._pipe.fileno(), self._unsent) :]
            self._pipe.close()
        return self._process.wait()


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"
