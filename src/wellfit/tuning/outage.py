"""A storage that cannot be reached for a while: what needs it waits, and training goes on."""

import sys
import time
from collections.abc import Callable
from typing import TypeVar

from wellfit.errors import WellfitError
from wellfit.interruptions import check
from wellfit.tuning.databases import is_outage, said_by

LIMIT_SECONDS = 600.0
AGAIN_SECONDS = 2.0

T = TypeVar("T")


def persistently(call: Callable[[], T], *, settle_seconds: float = 0.0) -> T:
    """Calls until the storage can be reached.

    Args:
        call: may be made again after it has failed half way.
        settle_seconds: after an outage, calls once more when so many seconds have passed, in which other workers have
            told the storage what they could not tell before.

    Returns:
        What the call returned.

    Raises:
        WellfitError: the storage cannot be reached for ten minutes.
    """
    began: float | None = None
    while True:
        try:
            result = call()
        except Exception as error:
            if not is_outage(error):
                raise
            now = time.monotonic()
            if began is None:
                began = now
                print(f"warning: {_fault(error)}; waits until it can", file=sys.stderr, flush=True)
            if now - began > LIMIT_SECONDS:
                kept = "the trials that have ended are kept, and the next call goes on with the study"
                raise WellfitError(f"{_fault(error)} for {LIMIT_SECONDS:g} seconds; {kept}") from None
            wait(AGAIN_SECONDS)
            continue
        if began is None or not settle_seconds:
            return result
        began = None
        wait(settle_seconds)


def wait(seconds: float) -> None:
    """Sleeps, and lets an interruption through."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        check()
        time.sleep(min(left, 1.0))


def _fault(error: Exception) -> str:
    return f"tune.storage cannot be reached ({said_by(error)})"
