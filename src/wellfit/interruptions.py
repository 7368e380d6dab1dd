"""Interruptions that wait: Ctrl-C or SIGTERM must not cut what is written down elsewhere in half.

Python runs a signal's handler between two instructions, wherever the program stands: also before a ``try`` that comes
right after what it guards, and inside a ``finally``. Here the handler itself looks where the program stands. In a
function marked :func:`uninterrupted`, or in anything it called, the signal waits until that function asks for it with
:func:`raise_waiting`.

Elsewhere the KeyboardInterrupt may reach us as another error: pydantic, for one, wraps whatever is raised while it
writes a model down. :func:`interruption_behind` finds it.
"""

import signal
import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

_uninterrupted: set[CodeType] = set()
_holds = 0
_previous: dict[int, Callable[[int, FrameType | None], Any]] = {}
_waiting: int | None = None


def uninterrupted(function: Function) -> Function:
    """Marks a function in which SIGINT and SIGTERM wait; a second one does not.

    It holds while the handlers of :func:`hold` are in place. The function calls :func:`raise_waiting` as its last act.
    """
    _uninterrupted.add(function.__code__)
    return function


def hold() -> None:
    """Puts the handlers in place, in front of those there are; until :func:`release`, which may be nested.

    A signal that is ignored or ends the process at once stays so. Without effect outside the main thread, which alone
    has handlers.
    """
    global _holds
    if threading.current_thread() is not threading.main_thread():
        return
    for signum in (signal.SIGINT, signal.SIGTERM):
        handler = signal.getsignal(signum)
        if callable(handler) and handler is not _wait_or_pass:
            _previous[signum] = handler
            signal.signal(signum, _wait_or_pass)
    _holds += 1


def release() -> None:
    """Takes back one :func:`hold`; with the last, the handlers of before are in place again."""
    global _holds
    if threading.current_thread() is not threading.main_thread():
        return
    _holds -= 1
    if _holds == 0:
        for signum, handler in _previous.items():
            if signal.getsignal(signum) is _wait_or_pass:  # else one of before has put another in place
                signal.signal(signum, handler)


def raise_waiting() -> None:
    """Hands a signal that waits to the handler of before, which as a rule raises KeyboardInterrupt.

    Where the function that calls this was itself called by an uninterrupted one, it goes on waiting for that one's end.
    """
    global _waiting
    if _waiting is None or threading.current_thread() is not threading.main_thread():
        return
    if not _is_uninterrupted(sys._getframe(2)):
        signum, _waiting = _waiting, None
        _previous[signum](signum, None)


def interruption_behind(error: BaseException | None) -> KeyboardInterrupt | None:
    """The KeyboardInterrupt that an error is or was made of; None: it is a failure of its own."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error


def _wait_or_pass(signum: int, frame: FrameType | None) -> None:
    global _waiting
    if _waiting is None and _is_uninterrupted(frame):
        _waiting = signum
    else:
        _waiting = None
        _previous[signum](signum, frame)


def _is_uninterrupted(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code in _uninterrupted:
            return True
        frame = frame.f_back
    return False
