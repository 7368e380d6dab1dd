"""What steps need from the host, moved to the device for a whole epoch at once, so that no step waits for a copy."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

S = TypeVar("S")
T = TypeVar("T")


class Ahead(Generic[S, T]):
    """Makes what each step needs: of a whole epoch at once, or of a single step where no epoch was begun.

    On a CPU nothing needs to be moved, so each step's is made when it is asked for, and takes no memory before.

    Args:
        make: from what decides it, for each of some steps that follow each other, to what they need.
        device: where the steps are taken.
    """

    def __init__(self, make: Callable[[Sequence[S]], list[T]], device: torch.device) -> None:
        self._make, self._device = make, device
        self._made: deque[T] = deque()

    def begin(self, steps: Sequence[S]) -> None:
        """Makes what all steps of an epoch need."""
        if self._device.type != "cpu":
            self._made = deque(self._make(steps))

    def next(self, step: S) -> T:
        """What the next step needs."""
        return self._made.popleft() if self._made else self._make([step])[0]


def moved(arrays: Sequence[NDArray[Any]], device: torch.device) -> list[Tensor]:
    """Arrays of one type, of any shapes, on a device, by a single copy."""
    flat = torch.from_numpy(np.concatenate([each.reshape(-1) for each in arrays])).to(device)
    parts = flat.split([each.size for each in arrays])
    return [part.view(each.shape) for part, each in zip(parts, arrays, strict=True)]
