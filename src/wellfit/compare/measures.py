"""Scores as people tell them: by name, and with their numbers in a unit that reads well."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from wellfit.charts.style import plain
from wellfit.metrics.intervals import Estimate
from wellfit.metrics.names import is_higher_better, is_share, score_name

SPLITS = {"train": "training", "val": "validation", "test": "test"}
MOST_DECIMALS = 6  # of plain numbers; what is smaller is told with an exponent


@dataclass(frozen=True)
class Measure:
    """A score of a split, such as ``test/accuracy``, or its gap between training and validation, ``gap/accuracy``."""

    key: str

    @property
    def score(self) -> str:
        """The score without its split."""
        return self.key.rpartition("/")[2]

    @property
    def is_gap(self) -> bool:
        """Whether it tells how much better the training rows fare."""
        return self.key.startswith("gap/")

    @property
    def is_share(self) -> bool:
        """Whether the score lies between 0 and 1."""
        return is_share(self.score)

    @property
    def higher_is_better(self) -> bool:
        """Whether it is to rise; a gap is to be small."""
        return not self.is_gap and is_higher_better(self.key)

    @property
    def name(self) -> str:
        """The score in words."""
        return score_name(self.score)

    @property
    def label(self) -> str:
        """The measure in words, without an article."""
        split = self.key.rpartition("/")[0]
        return f"{self.name} gap" if self.is_gap else f"{SPLITS.get(split, split)} {self.name}".strip()

    @property
    def subject(self) -> str:
        """The measure in words, as a sentence has it."""
        return f"the {self.label}" if self.is_gap else self.label

    @property
    def factor(self) -> float:
        """What a number is multiplied by to be told."""
        return 100.0 if self.is_share else 1.0

    @property
    def unit(self) -> str:
        """Of a difference, with a space in front; empty for what is told as it is."""
        return " points" if self.is_share else ""

    def in_unit(self, target: str) -> str:
        """The score in words with the unit of its numbers, for an axis.

        Args:
            target: what is predicted, with its unit.
        """
        return f"{self.name} ({plain(target, 40)})" if self.score in ("mae", "rmse") and target else self.name

    def value(self, estimate: Estimate) -> str:
        """A mean and its interval, such as ``93.1 % [92.5, 93.7]``."""
        unit = "" if not self.is_share else self.unit if self.is_gap else " %"
        return self._tell(estimate, 1 if self.is_share else self._digits(estimate), unit, "")

    def difference(self, estimate: Estimate, *, signed: bool = True) -> str:
        """A difference and its interval, such as ``+0.1 points [-0.3, 0.5]``.

        Args:
            estimate: the difference.
            signed: whether a plus is written; without, what lies below zero as a whole is told as if above.
        """
        if not signed and estimate.mean < 0:
            estimate = Estimate(-estimate.mean, -estimate.high, -estimate.low)
        return self._tell(estimate, self._digits(estimate), self.unit, "+" if signed else "")

    def relative(self, difference: float, first: float) -> str:
        """The size of a difference in per cent of what it is a difference to; empty where that says nothing."""
        if self.is_share or self.is_gap or self.score == "r2" or not first > 0:
            return ""
        per_cent = 100 * abs(difference) / first
        return f"{per_cent:.1f} %" if per_cent < 9.95 else f"{per_cent:,.0f} %"

    def _digits(self, estimate: Estimate) -> int:
        """Decimals: one for points, or so many that what excludes zero is seen to; else three digits of the mean."""
        numbers = [abs(self.factor * number) for number in estimate if math.isfinite(number) and number]
        if not numbers:
            return 1
        if self.is_share:
            nearest = min(numbers)
            return next((n for n in (1, 2) if round(nearest, n)), 3) if estimate.excludes_zero else 1
        mean, largest = abs(self.factor * estimate.mean), max(numbers)
        size = mean if 3 * mean >= largest else largest  # the digits of a mean near zero are noise
        return max(0, 2 - math.floor(math.log10(size)))

    def _tell(self, estimate: Estimate, decimals: int, unit: str, sign: str) -> str:
        if math.isnan(estimate.mean):
            return ""
        mean, low, high = (_number(self.factor * number, decimals) for number in estimate)
        plus = sign if not mean.startswith("-") else ""
        return f"{plus}{mean}{unit}" + ("" if math.isnan(estimate.low) else f" [{low}, {high}]")


def listed(parts: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *others, last = parts
    return f"{', '.join(others)} and {last}" if others else last


def _number(value: float, decimals: int) -> str:
    if decimals > MOST_DECIMALS:
        return f"{value:.3g}"
    return f"{round(value, decimals) + 0.0:,.{decimals}f}"  # + 0.0: no -0.0
