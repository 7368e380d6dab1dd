"""More processes that train trials of a study, for machines whose cores one process cannot keep busy.

A worker is told what the study is, works on it like the process that started it, and says on its standard output, in
lines of JSON, which records it has written. It ends when its standard input does, whatever ended that process.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from wellfit.errors import WellfitError
from wellfit.settings.params import Params
from wellfit.tuning.size import Size


class Workers:
    """So many processes beside this one; a context manager that ends them.

    Args:
        count: of processes.
        params: with the space that is searched.
        data_folder: ``data/processed/<name>``.
        records: the folder that gets a folder for each trial.
        size: of the pack of each.
    """

    def __init__(self, count: int, params: Params, data_folder: Path, records: Path, size: Size) -> None:
        task = {"params": params.model_dump(mode="json"), "data": str(data_folder), "records": str(records)}
        self._processes = [_start(task | {"size": size}) for _ in range(count)]
        self._unread = dict.fromkeys(range(count), b"")  # of those that have not ended
        self._is_stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        for process in self._processes:
            assert process.stdout is not None
            process.wait()
            process.stdout.close()

    def stop(self) -> None:
        """Lets them go; until then they keep their trials from being taken for lost."""
        self._is_stopped = True
        for process in self._processes:
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.close()

    def ended(self) -> Iterator[Path]:
        """The records that have been written since it was last asked."""
        yield from self._read(seconds=0.0)

    def rest(self) -> Iterator[Path]:
        """Those of all trials that are still under way, as they end; after :meth:`stop` those that have ended."""
        while self._unread:
            yield from self._read(seconds=None)

    def _read(self, seconds: float | None) -> Iterator[Path]:
        outputs = {self._output(number): number for number in self._unread}
        if not outputs:
            return
        for output in select.select(list(outputs), [], [], seconds)[0]:
            number, part = outputs[output], os.read(output, 2**16)
            *lines, self._unread[number] = (self._unread[number] + part).split(b"\n")
            messages = [json.loads(line) for line in lines]
            yield from (Path(message["record"]) for message in messages if "record" in message)
            ends = [message["end"] for message in messages if "end" in message]
            if ends or not part:
                del self._unread[number]
                self._warn(number, ends[0] if ends else None)

    def _output(self, number: int) -> int:
        stdout = self._processes[number].stdout
        assert stdout is not None
        return stdout.fileno()

    def _warn(self, number: int, end: str | None) -> None:
        if end != "" and not self._is_stopped:
            why = end or f"exit status {self._processes[number].wait()}"
            text = f"warning: one of {len(self._processes) + 1} tune.processes has ended ({why}); the others go on"
            print(text, file=sys.stderr, flush=True)


def _start(task: dict[str, Any]) -> subprocess.Popen[bytes]:
    # In a session of its own, for Ctrl-C in a terminal goes to all processes of a group.
    process = subprocess.Popen(
        [sys.executable, "-m", "wellfit.tuning.workers"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it died at once: its output says so, by its end
        process.stdin.write(json.dumps(task).encode() + b"\n")
        process.stdin.flush()
    return process


def work(task: dict[str, Any], output: TextIO) -> None:
    """Trains trials until the study has no more, and says so.

    Args:
        task: what the process that started this one has said.
        output: gets a line for each trial and one at the end, or for what went wrong.
    """
    from wellfit.training.setup import load_training_data
    from wellfit.tuning.trials import open_study, record_trials

    def say(message: dict[str, str]) -> None:
        print(json.dumps(message), file=output, flush=True)

    params = Params.model_validate(task["params"])
    try:
        data = load_training_data(params, Path(task["data"]))
        with open_study(params, data) as study:
            for folder, _ in record_trials(study, params, data, Size(*task["size"]), Path(task["records"])):
                say({"record": str(folder)})
            say({"end": ""})
            # Its trials count as lost once it is gone, unless the storage has been told of them by then.
            threading.Event().wait()
    except (WellfitError, OSError) as error:
        say({"end": " ".join(str(error).split())})
    except Exception as error:
        say({"end": f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"})


def main() -> None:
    """Works on the task that the standard input holds, until the end of that."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    task = json.loads(sys.stdin.readline())
    threading.Thread(target=_interrupt_at_end, args=[sys.stdin.fileno()], daemon=True).start()
    # What training says is said by the process that started this one.
    with suppress(KeyboardInterrupt, BrokenPipeError), redirect_stdout(None):
        work(task, sys.__stdout__ or sys.stdout)


def _interrupt_at_end(stdin: int) -> None:
    while os.read(stdin, 2**16):
        pass
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


if __name__ == "__main__":
    main()
    os._exit(0)  # freeing it all takes a second
