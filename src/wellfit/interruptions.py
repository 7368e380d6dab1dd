"""Ctrl-C and SIGTERM at safe points, so that neither cuts in half what is being written to MLflow or to a storage.

Python runs the handler of a signal between any two instructions: also before a ``try`` that comes right after what it
guards, and inside a ``finally``. Inside :func:`deferred` the handler only sets a flag, and :func:`check` raises
KeyboardInterrupt at the safe points:

- the end of each epoch of a training, each step of an epoch that is long (``training/loop.py``), and each chunk of rows
  that a model predicts (``models/predict.py``);
- each epoch, step or trial whose progress is shown (``progress.py``);
- each figure, before it is drawn (``charts/style.py``);
- each call of an open run to MLflow, and the end of its body (``tracking/run.py``, ``tracking/ended.py``);
- the wait for DVC (``stages/run.py``).

A run is deferred from before it is made until it is closed. Code inside it that waits for another process must poll,
and call :func:`check` in between. Closing a run must not call it.

Outside :func:`deferred`, KeyboardInterrupt is raised at once. There it may reach us as another error: pydantic, for
one, wraps whatever is raised while it serializes a model. :func:`interruption_behind` finds it.
"""

import ctypes
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
PR_SET_PDEATHSIG = 1  # linux/prctl.h
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # opened here: a fork of several threads must not

_depth = 0  # number of deferred() blocks that are open
_pending: int | None = None  # the signal that has come
_not_before = 0.0  # time.monotonic() from which check() hands it on
_handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}  # those that _defer replaces


@contextmanager
def deferred() -> Iterator[None]:
    """Defers the first SIGINT or SIGTERM to the next :func:`check`, or to the end of the outermost such block.

    A second SIGINT interrupts at once. A SIGTERM after the first signal is ignored: ``mlflow run`` and the kernel send
    one after Ctrl-C. A signal that is ignored or ends the process stays so. Without effect outside the main thread,
    which alone runs handlers.

    Raises:
        KeyboardInterrupt: a signal has come, and the block ends without another exception.
    """
    global _depth, _pending
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    depth, pending = _depth, None
    try:
        _depth = depth + 1
        for signum in SIGNALS:
            handler = signal.getsignal(signum)
            if callable(handler) and handler is not _defer:
                _handlers[signum] = handler
                signal.signal(signum, _defer)
        yield
    finally:
        _depth = depth
        if depth == 0:
            pending, _pending = _pending, None
            for signum in SIGNALS:
                if signal.getsignal(signum) is _defer:  # else the handler of before has put another in place
                    signal.signal(signum, _handlers[signum])
    if pending is not None:
        _handlers[pending](pending, None)


def check() -> None:
    """Marks a safe point: hands a deferred signal to the handler that was there before.

    Raises:
        KeyboardInterrupt: a signal has come; with the argument ``SIGTERM`` if it was that, in the stages.
    """
    global _pending
    if (
        _pending is not None
        and time.monotonic() >= _not_before
        and threading.current_thread() is threading.main_thread()
    ):
        signum, _pending = _pending, None
        _handlers[signum](signum, None)


def is_pending() -> bool:
    """Whether a signal waits for the next :func:`check`."""
    return _pending is not None


@contextmanager
def preferably_whole(seconds: float) -> Iterator[None]:
    """Lets no :func:`check` interrupt what is inside, as long as that takes no longer than so many seconds."""
    global _not_before
    before = _not_before
    try:
        _not_before = time.monotonic() + seconds
        yield
    finally:
        _not_before = before


def end_with_parent() -> None:
    """Makes the kernel send this process SIGTERM when its parent dies, as nobody else would; on Linux only."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def interruption_behind(error: BaseException | None) -> KeyboardInterrupt | None:
    """The KeyboardInterrupt that an error is, or that it was raised from; None if there is none."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error


def _defer(signum: int, frame: FrameType | None) -> None:
    global _pending
    if _depth and _pending is None:
        _pending = signum
    elif not _depth or signum == signal.SIGINT:
        _pending = None
        _handlers[signum](signum, frame)
