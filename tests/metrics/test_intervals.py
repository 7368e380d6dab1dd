import math

import numpy as np
import pytest
from scipy import stats

from wellfit.metrics.intervals import mean_interval, weighted_mean_interval


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
