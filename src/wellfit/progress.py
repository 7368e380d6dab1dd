"""Progress: a bar on a terminal, a line every few seconds elsewhere."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from wellfit.interruptions import check

LINE_SECONDS = 5.0


class Progress:
    """Counts steps of a known number; a context manager.

    Args:
        what: the word in front.
        total: number of steps.
        unit: what a step is called.
        done: steps done before.
    """

    def __init__(self, what: str, total: int, unit: str, done: int = 0) -> None:
        from tqdm import tqdm

        self._what, self._total, self._unit = what, total, unit
        self._is_terminal = sys.stderr.isatty()
        self._bar = tqdm(desc=what, total=total, unit=unit, initial=done, disable=not self._is_terminal, leave=False)
        self._last_line = -LINE_SECONDS
        self._unsaid = ""

    def __enter__(self) -> Self:
        return self

    def show(self, number: int, values: Mapping[str, float]) -> None:
        """Tells that so many steps have ended, with a few values of the last one. A safe point to be interrupted at."""
        check()
        text = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        if self._is_terminal:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(number - self._bar.n)
            return
        self._unsaid = f"{self._what} {self._unit} {number}/{self._total}  {text}"
        if time.monotonic() - self._last_line >= LINE_SECONDS:
            self._say()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._say()
        self._bar.close()

    def _say(self) -> None:
        if self._unsaid:
            print(self._unsaid, flush=True)
        self._unsaid = ""
        self._last_line = time.monotonic()
