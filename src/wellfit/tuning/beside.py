"""Work in a fork of this process, beside what the process itself goes on with."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def beside(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Iterator[Callable[[], T]]:
    """Calls a function in a fork; where there are none, in this process, once its result is asked for.

    Args:
        function: what it returns or raises is pickled.
        args: for it.
        kwargs: for it.

    Yields:
        A function that waits for what it returns, or raises what it raises: ChildProcessError where it died.
    """
    if sys.platform != "linux":  # macOS may end a fork that draws
        yield lambda: function(*args, **kwargs)
        return
    context = get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_call, args=[sender, function, args, kwargs])
    process.start()
    sender.close()

    def result() -> T:
        try:
            outcome = receiver.recv()
        except EOFError:
            process.join()
            raise ChildProcessError(f"the process of {function.__name__} ended: {process.exitcode}") from None
        if isinstance(outcome, Exception):
            raise outcome
        found: T = outcome
        return found

    try:
        yield result
    finally:
        process.join()
        receiver.close()


def _call(sender: Connection, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
    try:
        outcome = function(*args, **kwargs)
    except Exception as error:
        outcome = error
    sender.send(outcome)
