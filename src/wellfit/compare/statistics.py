"""What the variants of a comparison came to over their seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from wellfit.compare.outcome import Outcome
from wellfit.errors import WellfitError
from wellfit.metrics.intervals import Estimate, mean_interval


@dataclass(frozen=True)
class Measured:
    """A score of a variant.

    Attributes:
        scores: by seed; those of trainings that failed, or that leave the score undefined, are left out.
        mean: of them.
        differences: to the first variant, by seed, of the seeds that both have a score of; empty for the first itself.
        difference: the mean of them.
    """

    scores: Mapping[int, float]
    mean: Estimate
    differences: Mapping[int, float]
    difference: Estimate


@dataclass(frozen=True)
class Result:
    """What a variant came to.

    Attributes:
        variant: its name.
        measured: by measure.
        outcomes: of its trainings, by rising seed, with those that failed.
    """

    variant: str
    measured: Mapping[str, Measured]
    outcomes: Sequence[Outcome]

    @property
    def trained(self) -> list[Outcome]:
        """The trainings that did not fail."""
        return [outcome for outcome in self.outcomes if not outcome.failure]

    @property
    def failed(self) -> list[Outcome]:
        """The trainings that failed."""
        return [outcome for outcome in self.outcomes if outcome.failure]

    @property
    def histories(self) -> list[Sequence[Mapping[str, float]]]:
        """Of the trainings that did not fail, or of all where all did."""
        return [outcome.history for outcome in self.trained or self.outcomes]

    @property
    def best_epoch(self) -> float:
        """The mean over the trainings that did not fail; NaN where none is left."""
        return mean_interval([outcome.best_epoch for outcome in self.trained]).mean

    @property
    def seconds(self) -> float:
        """Of a training, the mean over those that did not fail; NaN where none is left."""
        return mean_interval([outcome.seconds for outcome in self.trained]).mean


def results_of(variants: Sequence[str], measures: Sequence[str], outcomes: Sequence[Outcome]) -> list[Result]:
    """The variants side by side, in the order of ``variants``; the first is what the others are compared with.

    Args:
        variants: names, in the comparison's order.
        measures: names of scores.
        outcomes: of all trainings, in any order.

    Raises:
        WellfitError: a measure is a score of none of the trainings, though not all have failed.
    """
    by_variant = {
        variant: sorted((outcome for outcome in outcomes if outcome.variant == variant), key=lambda each: each.seed)
        for variant in variants
    }
    known = list(dict.fromkeys(name for outcome in outcomes for name in outcome.scores))
    for measure in measures:
        if known and measure not in known:
            close = get_close_matches(measure, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
            raise WellfitError(f"measure {measure} is no score of these trainings; {hint}")
    first = {measure: _scores(by_variant[variants[0]], measure) for measure in measures}
    results = []
    for variant, own in by_variant.items():
        measured = {
            measure: _measured(_scores(own, measure), {} if variant == variants[0] else first[measure])
            for measure in measures
        }
        results.append(Result(variant, measured, own))
    return results


def _scores(outcomes: Sequence[Outcome], measure: str) -> dict[int, float]:
    scores = {outcome.seed: outcome.scores.get(measure, math.nan) for outcome in outcomes}
    return {seed: score for seed, score in scores.items() if math.isfinite(score)}


def _measured(scores: Mapping[int, float], first: Mapping[int, float]) -> Measured:
    differences = {seed: score - first[seed] for seed, score in scores.items() if seed in first}
    return Measured(scores, mean_interval([*scores.values()]), differences, mean_interval([*differences.values()]))
