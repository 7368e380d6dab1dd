"""More processes that train trials of a study, for machines whose cores one process cannot keep busy.

A worker is told what the study is, works on it like the process that started it, and says on its standard output which
records it has written. It takes its leave when that process does.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from wellfit.cli import end_with_parent
from wellfit.params import Params
from wellfit.tuning.size import Size


class Workers:
    """So many processes beside this one; a context manager that ends them.

    Args:
        count: of processes.
        params: with the space that is searched.
        data_folder: ``data/processed/<name>``.
        records: the folder that gets a folder for each trial.
        size: of the pack of each, and its threads.
    """

    def __init__(self, count: int, params: Params, data_folder: Path, records: Path, size: Size) -> None:
        task = {"params": params.model_dump(mode="json"), "data": str(data_folder), "records": str(records)}
        self._processes = [_start(task | {"size": size.members, "threads": size.threads}) for _ in range(count)]
        self._unread = [b"" for _ in self._processes]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()  # until then they keep their trials from being taken for lost
            if error is not None:
                process.terminate()
        for process in self._processes:
            process.wait()

    def ended(self) -> list[Path]:
        """The records that have been written since it was last asked."""
        return [path for number in range(len(self._processes)) for path in self._read(number)]

    def rest(self) -> list[Path]:
        """Those of all trials that are still under way, once they have ended."""
        paths = []
        for number, process in enumerate(self._processes):
            assert process.stdout is not None
            os.set_blocking(process.stdout.fileno(), True)
            while not self._unread[number].endswith(b"end\n") and (part := os.read(process.stdout.fileno(), 2**16)):
                self._unread[number] += part
            paths += self._lines(number)
        return paths

    def _read(self, number: int) -> list[Path]:
        stdout = self._processes[number].stdout
        assert stdout is not None
        try:
            self._unread[number] += os.read(stdout.fileno(), 2**16)
        except BlockingIOError:
            return []
        return self._lines(number)

    def _lines(self, number: int) -> list[Path]:
        *lines, self._unread[number] = self._unread[number].split(b"\n")
        return [Path(line.decode()) for line in lines if line != b"end"]


def _start(task: dict[str, Any]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "wellfit.tuning.workers"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(task).encode() + b"\n")
    process.stdin.flush()
    os.set_blocking(process.stdout.fileno(), False)
    return process


def work(task: dict[str, Any]) -> None:
    """Trains trials until the study has no more, and says so; then waits until it may go.

    Args:
        task: what the process that started this one has said.
    """
    import torch

    from wellfit.training.setup import load_training_data
    from wellfit.tuning.trials import open_study, record_trials

    params = Params.model_validate(task["params"])
    if task["threads"]:
        torch.set_num_threads(task["threads"])
    data = load_training_data(params, Path(task["data"]))
    with open_study(params, data) as study:
        for folder, _ in record_trials(study, params, data, task["size"], Path(task["records"])):
            print(folder, flush=True)
        print("end", flush=True)
        # Its trials count as lost once it is gone, unless the storage has been told of them by then.
        sys.stdin.read()


def main() -> None:
    """Works on the task that the standard input holds."""
    end_with_parent()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        work(json.loads(sys.stdin.readline()))


if __name__ == "__main__":
    main()
