"""How far chance may have moved the mean of scores of several seeds."""

import math
from collections.abc import Sequence
from typing import NamedTuple


class Estimate(NamedTuple):
    """A mean over seeds with the ends of its 95 % interval; NaN where it cannot be told."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies to one side of zero."""
        return self.low > 0 or self.high < 0


def mean_interval(scores: Sequence[float]) -> Estimate:
    """The mean and its 95 % interval by Student's t; of a single score the mean alone, of none nothing.

    Of differences between pairs this is the paired t-test. Equal scores have an interval without width.
    """
    from scipy.stats import t

    n = len(scores)
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan)
    mean = math.fsum(scores) / n
    if n == 1:
        return Estimate(mean, math.nan, math.nan)
    deviation = math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / (n - 1))
    half = float(t.ppf(0.975, n - 1)) * deviation / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half)
