"""Commands as processes of their own, forked from one that has imported what they need: a start takes no time."""

import os
import resource
import signal
import sqlite3
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

# All that commands import. Nothing is computed here: a fork has no threads but its own.
import mlflow.pytorch  # noqa: F401

from wellfit.commands.process import end_with_parent, leave
from wellfit.commands.program import run as program
from wellfit.stages import train
from wellfit.training.resume import Snapshots
from wellfit.tuning import snapshot

from .outcomes import ONE_LINE, Broken

SECONDS = 120.0  # after which a command hangs
ENDING = 10.0  # seconds that the processes of a command may outlive it
ROOM = 2 << 30  # bytes that a command may take beyond what is mapped before it


class Done(NamedTuple):
    """A command that has ended: its status, negative for a signal, and what it said."""

    status: int
    out: str
    err: str


def start(folder: Path, *argv: str, memory: int | None = None) -> int:
    """Starts ``wellfit`` in a folder and returns its process id."""
    return fork(folder, lambda: program(argv), memory)


def fork(folder: Path, work: Callable[[], int | None], memory: int | None = None) -> int:
    """Starts work in a folder, as the leader of a group whose output goes to ``out`` and ``err`` beside the folder."""
    sys.stdout.flush()
    sys.stderr.flush()
    if pid := os.fork():
        return pid
    try:
        end_with_parent()
        os.setsid()
        os.chdir(folder)
        for descriptor, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(folder.parent / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if memory:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            limit = pages * resource.getpagesize() + memory
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        train.Snapshots = snapshot.Snapshots = partial(Snapshots, seconds=0.0, share=1e9)  # after each epoch
        leave(lambda: work() or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(99)


def wait(pid: int, folder: Path, until: Callable[[], bool] = lambda: False, seconds: float = SECONDS) -> Done | None:
    """Waits for the end of a process, or, with None, until something holds; a process that hangs is a fault."""
    end = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            texts = ((folder.parent / name).read_text(errors="replace") for name in ("out", "err"))
            return Done(os.waitstatus_to_exitcode(status), *texts)
        if until():
            return None
        if time.monotonic() > end:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise Broken(f"has not ended after {seconds:g} s")
        time.sleep(0.002)


def call(folder: Path, *argv: str, memory: int | None = None) -> Done:
    """Runs a command to its end, which no process of it may outlive."""
    return run(folder, lambda: program(argv), memory)


def run(folder: Path, work: Callable[[], int | None], memory: int | None = None) -> Done:
    """Does work in a process of its own, to its end."""
    done = wait(fork(folder, work, memory), folder)
    assert done is not None
    none_left(folder)
    return done


def one_line(done: Done, *named: str) -> str:
    """Checks that a command that failed said so in one line, which names at least one of several things."""
    lines = [line for line in done.err.splitlines() if line and not line.startswith("warning: ")]
    if done.status not in (1, 2) or len(lines) != 1 or "unexpected " in lines[0] or "Traceback" in done.out:
        raise Broken(f"exit {done.status}, not 1 with one line: {done.err[-2000:]!r}")
    if named and not any(name in lines[0] for name in named):
        raise Broken(f"names none of {', '.join(named)}: {lines[0]}")
    return ONE_LINE


def none_left(folder: Path, seconds: float = ENDING) -> None:
    """Checks that no process works in a folder any more; where others are at work here, too, it has more time."""
    end = time.monotonic() + seconds * max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))
    while left := _processes_in(folder):
        if time.monotonic() > end:
            raise Broken(f"processes are left: {left}")
        time.sleep(0.02)


def no_run_is_open(store: Path) -> None:
    """Checks that MLflow shows no run as running."""
    with closing(sqlite3.connect(store)) as connection:
        running = connection.execute("SELECT name FROM runs WHERE status = 'RUNNING'").fetchall()
    if running:
        raise Broken(f"runs are RUNNING: {running}")


def _processes_in(folder: Path) -> Sequence[str]:
    found = []
    for each in Path("/proc").iterdir():
        with suppress(OSError):
            if each.name.isdecimal() and Path(os.readlink(each / "cwd")).is_relative_to(folder):
                found.append((each / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [command for command in found if command]  # a zombie has none
