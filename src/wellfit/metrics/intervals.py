"""How far chance may have moved a score: over rows by the bootstrap, over seeds by Student's t, of shares by Wilson."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from wellfit.config import Config, Rule, Seed
from wellfit.metrics.folds import effective_rows
from wellfit.metrics.scores import FloatArray, IntArray
from wellfit.metrics.threshold import DEFAULT_THRESHOLD, Threshold

COVERAGE = 0.95
Z = 1.959964  # half the width of a 95 % interval in standard errors

CELLS = 2**20  # weights of the rows of the resamples that are scored at once

Values = dict[str, Any]  # named scores: a number each, or (K,)
Scores = Callable[[FloatArray], Values]  # from the weights of the rows, (n,) or (K, n)


class EvaluateConfig(Config):
    """The section ``evaluate``."""

    resamples: int = Field(ge=100, le=100_000)
    seed: Seed
    calibration_bins: int = Field(ge=2, le=100)
    calibration: Literal["auto", "none", "temperature"]
    threshold: Threshold
    coverage: float | None = Field(gt=0, lt=1)


RULES = [
    Rule(
        ("evaluate.calibration", "data.name", "data.task"),
        lambda p, data: p.evaluate.calibration == "temperature" and data.task == "regression",
        "evaluate.calibration temperature is for classes, but data.name {data.name} is a regression; use auto or none",
    ),
    Rule(
        ("evaluate.threshold", "data.name", "data.task"),
        lambda p, data: p.evaluate.threshold != DEFAULT_THRESHOLD and data.task == "regression",
        f"evaluate.threshold must be {DEFAULT_THRESHOLD} for a regression (data.name {{data.name}}), got "
        "{evaluate.threshold}",
    ),
    Rule(
        ("evaluate.threshold", "data.name", "data.task"),
        lambda p, data: p.evaluate.threshold != DEFAULT_THRESHOLD and data.classes > 2,
        f"evaluate.threshold must be {DEFAULT_THRESHOLD} for more than two classes (data.name {{data.name}} has "
        "{classes}), got {evaluate.threshold}",
    ),
]


class Estimate(NamedTuple):
    """A number with the ends of its 95 % interval; NaN where it cannot be told."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies to one side of zero."""
        return self.low > 0 or self.high < 0


def bootstrap_intervals(
    scores: Scores,
    n_rows: int,
    resamples: int,
    seed: int,
    weights: NDArray[np.float32] | None = None,
) -> dict[str, float | None]:
    """Scores with 95 % percentile bootstrap intervals over the rows (Efron 1979).

    Resamples in which a score is undefined do not count for that score. An interval is stretched to hold its
    estimate: chance can only add to ``ece``, a sum of absolute values, so that resamples of it may all lie above.
    That of ``accuracy`` is stretched to hold Wilson's, too: no resample of rows that are all right has one that is
    wrong, and an interval without width would say that none ever will be. With weights, Wilson's is that of the
    effective number of rows (Kish 1965).

    Args:
        scores: from weights (n_rows,) or (K, n_rows) to named scores, such as a
            `wellfit.metrics.predictions.ClassificationScores`.
        n_rows: rows to draw from, as many as are drawn.
        resamples: number of resamples.
        seed: of the draws; the same seed gives the same intervals to the last bit.
        weights: (n_rows,) how much each row counts, or None where all count alike.

    Returns:
        ``NAME``, ``NAME_low`` and ``NAME_high`` for each score; all three None where the score is undefined.
    """
    estimates = _resampled(scores, n_rows, resamples, seed, weights)
    if "accuracy" in estimates:
        estimate = estimates["accuracy"]
        rows = n_rows if weights is None else effective_rows(weights.astype(np.float64))
        (low,), (high,) = wilson_interval(np.array([estimate.mean]), np.array([rows]))
        estimates["accuracy"] = Estimate(estimate.mean, min(estimate.low, float(low)), max(estimate.high, float(high)))
    result: dict[str, float | None] = {}
    for name, estimate in estimates.items():
        for end, value in zip(("", "_low", "_high"), estimate, strict=True):
            result[f"{name}{end}"] = None if math.isnan(value) else value
    return result


def paired_difference(
    first: Scores,
    second: Scores,
    n_rows: int,
    resamples: int,
    seed: int,
    weights: NDArray[np.float32] | None = None,
) -> dict[str, Estimate]:
    """How far the scores of one model lie above those of another, with 95 % bootstrap intervals.

    Both are scored on the same resamples. What makes a resample hard for both then leaves the difference as it is, and
    the interval is narrower than those of the two scores let expect.

    Args:
        first: from weights (n_rows,) or (K, n_rows) to named scores of one model.
        second: likewise of the other, on the same rows; has the same names.
        n_rows: as in :func:`bootstrap_intervals`, and so are the following.
        resamples: likewise.
        seed: likewise.
        weights: likewise.

    Returns:
        ``first`` minus ``second`` for each score.
    """

    def difference(resamples: FloatArray) -> Values:
        others = second(resamples)
        return {name: value - others[name] for name, value in first(resamples).items()}

    return _resampled(difference, n_rows, resamples, seed, weights)


def _resampled(
    scores: Scores, n_rows: int, resamples: int, seed: int, weights: NDArray[np.float32] | None
) -> dict[str, Estimate]:
    random = np.random.default_rng(seed)
    own = np.ones(n_rows) if weights is None else weights.astype(np.float64)
    estimates = scores(own)
    drawn: dict[str, list[FloatArray]] = {name: [] for name in estimates}
    together = max(1, CELLS // n_rows)
    for start in range(0, resamples, together):
        draws = [random.integers(n_rows, size=n_rows) for _ in range(min(together, resamples - start))]
        weighted = np.stack([np.bincount(draw, minlength=n_rows) for draw in draws]) * own
        weighted = weighted[weighted.any(axis=1)]  # not where only rows of weight zero were drawn
        if len(weighted):
            for name, values in scores(weighted).items():
                drawn[name].append(values)
    return {name: _estimate(estimate, np.concatenate([[], *drawn[name]])) for name, estimate in estimates.items()}


def _estimate(mean: float, drawn: FloatArray) -> Estimate:
    defined = drawn[~np.isnan(drawn)]
    if math.isnan(mean) or len(defined) == 0:
        return Estimate(mean, math.nan, math.nan)
    low, high = np.quantile(defined, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return Estimate(mean, min(float(low), mean), max(float(high), mean))


def wilson_interval(share: FloatArray, rows: FloatArray | IntArray) -> tuple[FloatArray, FloatArray]:
    """95 % interval of shares (Wilson 1927), which stays within 0 and 1 and holds for few rows.

    Args:
        share: (n,) from 0 to 1.
        rows: (n,) that each is a share of, at least 1.
    """
    center = (share + Z**2 / (2 * rows)) / (1 + Z**2 / rows)
    half = Z / (1 + Z**2 / rows) * np.sqrt(share * (1 - share) / rows + Z**2 / (4 * rows**2))
    return center - half, center + half


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


def weighted_mean_interval(values: FloatArray, weights: FloatArray) -> Estimate:
    """A weighted mean over rows and its 95 % interval, by the normal distribution (Cochran 1977).

    Args:
        values: (n,).
        weights: (n,) not negative, not all zero.
    """
    total = weights.sum()
    mean = float(weights @ values / total)
    half = Z * float(np.sqrt((weights**2) @ (values - mean) ** 2) / total)
    return Estimate(mean, mean - half, mean + half)
