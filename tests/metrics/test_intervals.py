import math

import numpy as np
import pytest
from scipy import stats

from wellfit.metrics.intervals import (
    FloatArray,
    Scores,
    bootstrap_intervals,
    mean_interval,
    paired_difference,
    weighted_mean_interval,
)


def mean_of(x: FloatArray) -> Scores:
    return lambda weights: {"mean": weights @ x / weights.sum(-1)}


def share_of(hits: FloatArray) -> Scores:
    return lambda weights: {"accuracy": weights @ hits / weights.sum(-1)}


def constant(value: float) -> Scores:
    return lambda weights: {"r2": np.full(weights.shape[:-1], value)}


def test_paired_differences_are_those_of_the_same_resamples() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=60)
    y = x + random.normal(0.2, 0.1, 60)  # what is hard for one is hard for the other
    found = paired_difference(mean_of(y), mean_of(x), 60, 300, seed=9)["mean"]
    drawn = np.random.default_rng(9)
    means = [(y - x)[drawn.integers(60, size=60)].mean() for _ in range(300)]
    assert found == pytest.approx(((y - x).mean(), np.quantile(means, 0.025), np.quantile(means, 0.975)))
    assert found.excludes_zero
    single = [bootstrap_intervals(mean_of(values), 60, 300, seed=9) for values in (x, y)]
    assert single[0]["mean_high"] > single[1]["mean_low"]  # the intervals of the two overlap
    back = paired_difference(mean_of(x), mean_of(y), 60, 300, seed=9)["mean"]
    assert back == pytest.approx((-found.mean, -found.high, -found.low))


def test_paired_differences_weigh_rows_and_may_be_unknown() -> None:
    x, y, weights = np.arange(4.0), np.array([5.0, 1.0, 2.0, 4.0]), np.array([0, 1, 0, 3], np.float32)
    found = paired_difference(mean_of(y), mean_of(x), 4, 200, 0, weights)["mean"]
    assert found == pytest.approx((0.75, 0.0, 1.0))
    nothing = paired_difference(constant(math.nan), constant(1.0), 4, 100, 0)["r2"]
    assert all(math.isnan(number) for number in nothing)
    assert not nothing.excludes_zero


@pytest.mark.parametrize(("right", "rows"), [(36, 36), (0, 5), (1, 1)])
def test_accuracy_has_at_least_the_interval_of_wilson(right: int, rows: int) -> None:
    found = bootstrap_intervals(share_of((np.arange(rows) < right).astype(float)), rows, 100, seed=0)
    wilson = stats.binomtest(right, rows).proportion_ci(0.95, "wilson")
    assert (found["accuracy_low"], found["accuracy_high"]) == pytest.approx((wilson.low, wilson.high), abs=1e-6)


def test_the_interval_of_accuracy_counts_rows_by_their_weights() -> None:
    few, many = np.ones(10), np.ones(40)
    ends = [
        bootstrap_intervals(share_of(few), 10, 100, 0, weights)["accuracy_low"]
        for weights in (None, np.full(10, 3, np.float32))
    ]
    assert ends[0] == pytest.approx(ends[1])
    weights = np.r_[np.ones(10), np.zeros(30)].astype(np.float32)
    assert bootstrap_intervals(share_of(many), 40, 100, 0, weights)["accuracy_low"] == pytest.approx(ends[0])


@pytest.mark.parametrize("n", [2, 3, 5, 30])
def test_the_interval_is_that_of_student(n: int) -> None:
    scores = np.random.default_rng(n).normal(0.9, 0.02, n).tolist()
    expected = stats.t.interval(0.95, n - 1, np.mean(scores), stats.sem(scores))
    assert mean_interval(scores) == pytest.approx((np.mean(scores), *expected), rel=1e-12)


def test_a_single_score_has_no_interval_and_none_has_no_mean() -> None:
    mean, low, high = mean_interval([0.5])
    assert mean == 0.5
    assert math.isnan(low)
    assert math.isnan(high)
    assert all(math.isnan(number) for number in mean_interval([]))


def test_equal_scores_have_an_interval_without_width() -> None:
    assert mean_interval([0.25, 0.25, 0.25]) == (0.25, 0.25, 0.25)
    assert mean_interval([0.0, 0.0]) == (0.0, 0.0, 0.0)
    assert not mean_interval([0.0, 0.0]).excludes_zero
    assert mean_interval([-0.5, -0.5]).excludes_zero


@pytest.mark.parametrize(("scores", "excludes"), [([1.0, 1.1], True), ([-1.0, 1.1], False), ([-1.0, -1.1], True)])
def test_whether_an_interval_excludes_zero(scores: list[float], excludes: bool) -> None:
    assert mean_interval(scores).excludes_zero == excludes
    assert not mean_interval(scores[:1]).excludes_zero  # it has none


@pytest.mark.parametrize("weight", [1.0, 0.25])
def test_the_interval_of_rows_of_equal_weight_is_that_of_their_mean(weight: float) -> None:
    values = np.random.default_rng(0).normal(size=60)
    expected = stats.norm.interval(0.95, values.mean(), values.std() / np.sqrt(60))
    found = weighted_mean_interval(values, np.full(60, weight))
    assert found == pytest.approx((values.mean(), *expected), rel=1e-6)


def test_the_interval_of_weighted_rows_holds_their_mean() -> None:
    held = []
    for seed in range(300):
        random = np.random.default_rng(seed)
        weights = random.integers(0, 4, 200).astype(float)
        found = weighted_mean_interval(random.exponential(size=200) - 1.0, weights)
        held.append(found.low <= 0 <= found.high)
    assert 0.9 < np.mean(held) < 0.98
