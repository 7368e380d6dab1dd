"""What steps need from the host, moved to the device for a whole epoch at once, so that no step waits for a copy."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

OF_NUMBERS = 64  # steps at once that need a few numbers each: on a CPU a fifth of the time that they take one by one

S = TypeVar("S")
T = TypeVar("T")


class Ahead(Generic[S, T]):
    """Makes what each step needs: of a whole epoch at once, or of a single step where no epoch was begun.

    On a CPU nothing needs to be moved, so what a few steps need is made when the first of them asks for it: it takes
    little memory.

    Args:
        make: from what decides it, for each of some steps that follow each other, to what they need.
        device: where the steps are taken.
        at_once: steps of an epoch for which a CPU makes it at once.
    """

    def __init__(self, make: Callable[[Sequence[S]], list[T]], device: torch.device, at_once: int = 1) -> None:
        self._make, self._is_on_cpu, self._at_once = make, device.type == "cpu", at_once
        self._made: deque[T] = deque()
        self._to_come: Iterator[S] = iter(())

    def begin(self, steps: Sequence[S]) -> None:
        """Makes what all steps of an epoch need, or says on a CPU which are to come."""
        self._made = deque() if self._is_on_cpu else deque(self._make(steps))
        self._to_come = iter(steps if self._is_on_cpu else ())

    def next(self, step: S) -> T:
        """What the next step needs."""
        if not self._made:
            self._made.extend(self._make(list(islice(self._to_come, self._at_once)) or [step]))
        return self._made.popleft()


def moved(arrays: Sequence[NDArray[Any]], device: torch.device) -> list[Tensor]:
    """Arrays of one type, of any shapes, on a device, by a single copy."""
    flat = torch.from_numpy(np.concatenate([each.reshape(-1) for each in arrays])).to(device)
    parts = flat.split([each.size for each in arrays])
    return [part.view(each.shape) for part, each in zip(parts, arrays, strict=True)]
