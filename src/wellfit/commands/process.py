"""A command as a process: its exit status, errors in one line, signals, and a lock."""

import gc
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

from filelock import FileLock, Timeout

from wellfit.commands.user import settle_user
from wellfit.errors import WellfitError
from wellfit.files import FULL
from wellfit.interruptions import end_with_parent, interruption_behind
from wellfit.torchrun import ELASTIC, is_follower

INTERRUPTED, TERMINATED, NOBODY_READS = 130, 143, 141  # 128 + the number of SIGINT, SIGTERM and SIGPIPE


def leave(call: Callable[[], int]) -> NoReturn:
    """Ends the process with the exit status that a call returns."""
    # Importing torch and mlflow makes a million objects that live as long as the process. Searching them for garbage
    # over and over, and freeing them one by one at the end, took 3 of the 14 seconds of the train stage on digits.
    gc.set_threshold(100_000)
    # Threads of torch that wait for each other shall sleep, not spin: beside another busy process they would burn the
    # time that the one they wait for needs, and a pack trained 2 to 10 times as slowly.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        status = call()
    except SystemExit as end:  # argparse's, after --help and after a wrong option
        status = int(end.code or 0)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        status = status or NOBODY_READS
    except OSError:
        status = status or 1
    os._exit(status)


def guarded(name: str, work: Callable[[], None], *, debug: bool) -> int:
    """Does the work of a command, whose errors are one line on standard error, and returns the exit status."""
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else the shell has made it ignored
        signal.signal(signal.SIGINT, _interrupt)
    if {"DVC_STAGE", "MLFLOW_RUN_ID", ELASTIC} & set(os.environ):
        end_with_parent()
    settle_user()
    try:
        work()
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads(sys.stdout):  # as of `wellfit train | head -1`
            return NOBODY_READS
        status, text = _explain(error)
        with suppress(OSError):  # of a full disk, or of `2>&1 | head -1`
            if debug:
                traceback.print_exception(error)
            rank = f" (rank {os.environ['RANK']})" if is_follower() else ""
            print(f"{name}{rank}: {' '.join(text.split())}", file=sys.stderr)
        return status
    return 0


def _nobody_reads(stream: TextIO) -> bool:
    """Whether a stream is a pipe whose reader has gone."""
    poll = select.poll()
    poll.register(stream, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _explain(error: BaseException) -> tuple[int, str]:
    """Exit status and words for what ended a command."""
    if interruption := interruption_behind(error):
        return (TERMINATED if interruption.args else INTERRUPTED), "interrupted"
    if isinstance(error, WellfitError):
        return error.status, str(error)
    if isinstance(error, OSError):  # of a missing right, for one, the system's words say it all
        return 1, _of_full_disk(error) if error.errno in FULL else str(error)
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":  # a name, as Python has it
        name = os.fsencode(error.object).decode(errors="backslashreplace")
        return 1, f"{name}: its name has bytes that are not UTF-8; rename it"
    if isinstance(error, ModuleNotFoundError):  # as where only the packages are that predict
        return 1, f"this needs the package {error.name}: install wellfit with all that it depends on"
    if isinstance(error, MemoryError):
        return 1, "not enough memory for this; give fewer rows, or more memory"
    return 1, f"unexpected {type(error).__name__}: {error} (--debug shows where)"


def _of_full_disk(error: OSError) -> str:
    where = f"where {error.filename} is to be written" if error.filename else f"on the disk of {Path.cwd()}"
    return f"no space is left {where}: free some, and run this again"


@contextmanager
def only_one(what: str) -> Iterator[None]:
    """Keeps a second run of the same command in this folder from mixing its outputs with ours."""
    str(Path.cwd()).encode()  # an address of MLflow's database or of a study cannot hold a name that is not UTF-8
    path = Path(".wellfit", "locks", f"{what.replace(' ', '-')}.lock")
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise WellfitError(f"another {what} is running in {Path.cwd()}; wait for it or stop it") from None
    except OSError as error:  # another user's, as a folder that Docker mounts may be, or one that is read-only
        fault = f"{Path.cwd()} cannot be written to ({error.strerror})"
        raise WellfitError(f"{fault}: make it your own, or copy it") from None
    try:
        yield
    finally:
        lock.release()


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    # `mlflow run` sends SIGTERM after Ctrl-C, and so does the kernel when the parent has died: it must not cut the
    # clean-up short.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if signum == signal.SIGTERM:
        raise KeyboardInterrupt("SIGTERM")
    raise KeyboardInterrupt
