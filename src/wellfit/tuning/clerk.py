"""The clerk: a process of its own that tells MLflow and Optuna's storage of trials, beside the training.

The engine of a study writes a trial's record to a folder and hands over the folder's name, which takes microseconds.
Over there (``desk.py``) it is read back and copied, which takes tens of milliseconds, after imports that take seconds.
The two are joined by a pipe of JSON lines. Its end says that the engine is gone, whatever happened to it; the clerk
then ends what it has begun. What cannot be copied stays in the records, and is copied when the study is next opened.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from wellfit.data.store import Meta
from wellfit.interruptions import deferred, interruption_behind
from wellfit.settings.params import Params
from wellfit.tuning.report import Row, write_report


class Clerk:
    """The engine's end of the pipe; a context manager. Nothing here waits but :meth:`finish` and the way out.

    Example::

        with Clerk() as clerk:
            ...
            clerk.open(folder, params, meta, study_config(params), higher_is_better=False)
            write_record(folder / "trials" / "0", record, weights, meta.sha256)
            clerk.log_trial(folder / "trials" / "0")
            ...
            clerk.finish(report, rows)
    """

    def __init__(self) -> None:
        self._opening: dict[str, Any] = {}
        self._begin()

    def __enter__(self) -> Self:
        return self

    def open(
        self, folder: Path, params: Params, meta: Meta, config: Mapping[str, Any], *, higher_is_better: bool
    ) -> None:
        """Says what the study is. Where its folder knows a run of before, that run goes on.

        Args:
            folder: of the study's records, its name is the study's in ``tune.storage``.
            params: the configuration.
            meta: the data.
            config: the sections that decide what the trials are: the parameters of the study's run.
            higher_is_better: whether ``train.monitor`` is to rise.
        """
        self._opening = {
            "folder": str(folder.absolute()),
            "params": params.model_dump(mode="json"),
            "meta": meta.model_dump(mode="json", exclude={"sha256"}),
            "config": dict(config),
            "higher_is_better": higher_is_better,
            "source": sys.argv[0],
            "started": time.time(),
        }
        self._say({"open": self._opening})

    def log_trial(self, folder: Path) -> None:
        """Hands over the record of a trial that has ended."""
        self._say({"trial": str(folder.absolute())})

    def finish(self, report: Path, rows: Sequence[Row], repeats: Mapping[int, float] | None = None) -> None:
        """Waits until all is copied and the report is written.

        Args:
            report: the folder that :func:`wellfit.tuning.report.write_report` fills.
            rows: the trials of the study.
            repeats: seed to score of the best configuration.

        Raises:
            WellfitError: not one trial ended well.
            OSError: the report cannot be written.
        """
        message = {
            "report": str(report.absolute()),
            "rows": [row._asdict() for row in rows],
            "repeats": list((repeats or {}).items()),
        }
        sys.stdout.flush()  # the report says its own words over there
        self._say({"finish": message})
        status = self._end()
        if status:
            print(f"warning: the clerk of the study ended with status {status}; begun anew", file=sys.stderr)
            self._begin()  # it finds in the records what is left to do
            self._say({"open": self._opening})
            self._say({"finish": message})
            status = self._end()
        if status:
            write_report(
                report,
                rows,
                Params.model_validate(self._opening["params"]),
                Meta.model_validate(self._opening["meta"]).sha256,
                repeats,
                higher_is_better=self._opening["higher_is_better"],
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        is_failure = error is not None and not interruption_behind(error)
        if self._opening and not self._is_closed:
            self._say({"stop": "" if not is_failure else " ".join(str(error).split()) or type(error).__name__})
        self._end()

    def _begin(self) -> None:
        # In a session of its own, for Ctrl-C in a terminal goes to all processes of a group.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "wellfit.tuning.desk"], stdin=subprocess.PIPE, bufsize=0, start_new_session=True
        )
        os.set_blocking(self._pipe, False)
        self._unsaid = b""

    @property
    def _pipe(self) -> int:
        assert self._process.stdin is not None
        return self._process.stdin.fileno()

    @property
    def _is_closed(self) -> bool:
        return self._process.stdin is None or self._process.stdin.closed

    def _say(self, message: dict[str, Any]) -> None:
        self._unsaid += json.dumps(message).encode() + b"\n"
        # A pipe that is full takes the rest the next time, one whose reader has died takes nothing.
        with deferred(), suppress(BlockingIOError, BrokenPipeError):  # until it is known how much was written
            self._unsaid = self._unsaid[os.write(self._pipe, self._unsaid) :]

    def _end(self) -> int:
        """Says what is unsaid, closes the pipe and waits for the exit status."""
        if not self._is_closed:
            os.set_blocking(self._pipe, True)
            with suppress(BrokenPipeError):
                while self._unsaid:
                    self._unsaid = self._unsaid[os.write(self._pipe, self._unsaid) :]
            assert self._process.stdin is not None
            self._process.stdin.close()
        return self._process.wait()
