"""Columns that say much the same, of which importance cannot tell one from the other."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.explain.columns import Feature

STRONG = 0.7  # correlation from which two columns are named


class Pair(NamedTuple):
    """Two columns of numbers and their correlation."""

    one: str
    other: str
    correlation: float


def related_columns(rows: NDArray[np.float32], features: Sequence[Feature]) -> list[Pair]:
    """The pairs of columns of numbers that are strongly correlated, the strongest first.

    Args:
        rows: (n, columns) as they are stored.
        features: the columns; those made of several, and categories, are not compared.
    """
    numbers = [each for each in features if len(each.places) == 1 and each.places[0].column.fill is not None]
    varied = [each for each in numbers if np.ptp(rows[:, each.places[0].value]) > 0]
    if not varied:
        return []
    correlation = np.atleast_2d(np.corrcoef(rows[:, [each.places[0].value for each in varied]].T.astype(np.float64)))
    one, other = np.nonzero(np.triu(np.abs(correlation) >= STRONG, k=1))
    pairs = [Pair(varied[i].name, varied[j].name, float(correlation[i, j])) for i, j in zip(one, other, strict=True)]
    return sorted(pairs, key=lambda pair: -abs(pair.correlation))
