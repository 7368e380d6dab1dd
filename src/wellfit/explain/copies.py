"""Altered copies of rows through a model, many copies in one call."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wellfit.metrics.scores import FloatArray

# From rows as they are stored, (n, columns) float32 or (n, C, H, W) uint8, to probabilities (n, C), or to numbers (n,)
# in the target's unit.
Predict = Callable[[NDArray[Any]], FloatArray]

CELLS = 2**22  # of the rows of one call, which bound its memory


def predictions_of(predict: Predict, copies: Iterable[NDArray[Any]]) -> Iterator[FloatArray]:
    """The predictions of each copy, in turn.

    Args:
        predict: the model.
        copies: (n, ...) rows each, as they are stored; they are asked for as they are needed.
    """
    for together in _gathered(copies):
        ends = np.cumsum([len(copy) for copy in together])
        yield from np.split(predict(np.concatenate(together)), ends[:-1])


def _gathered(copies: Iterable[NDArray[Any]]) -> Iterator[list[NDArray[Any]]]:
    """Lists of copies that together have about ``CELLS`` cells."""
    together: list[NDArray[Any]] = []
    cells = 0
    for copy in copies:
        together.append(copy)
        cells += copy.size
        if cells >= CELLS:
            yield together
            together, cells = [], 0
    if together:
        yield together
