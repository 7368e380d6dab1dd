import math

import numpy as np
import pytest
from scipy import stats

from wellfit.compare.outcome import Outcome
from wellfit.compare.statistics import results_of
from wellfit.errors import WellfitError

from .conftest import outcomes_of

ACCURACY = ["test/accuracy"]


@pytest.mark.parametrize("n", [2, 5, 20])
def test_means_and_paired_differences_are_those_of_scipy(n: int) -> None:
    random = np.random.default_rng(n)
    plain = random.normal(0.9, 0.02, n)
    dropout = plain + random.normal(0.01, 0.01, n)
    outcomes = outcomes_of(plain={"test/accuracy": plain.tolist()}, dropout={"test/accuracy": dropout.tolist()})
    first, second = results_of(["plain", "dropout"], ACCURACY, outcomes[::-1])
    assert (first.variant, second.variant) == ("plain", "dropout")
    expected = stats.t.interval(0.95, n - 1, dropout.mean(), stats.sem(dropout))
    assert second.measured["test/accuracy"].mean == pytest.approx((dropout.mean(), *expected), rel=1e-9)
    paired = stats.ttest_rel(dropout, plain).confidence_interval()
    difference = second.measured["test/accuracy"].difference
    assert difference == pytest.approx(((dropout - plain).mean(), paired.low, paired.high), rel=1e-9)
    assert first.measured["test/accuracy"].differences == {}
    assert math.isnan(first.measured["test/accuracy"].difference.mean)


def test_only_seeds_that_both_have_are_paired() -> None:
    outcomes = outcomes_of(plain={"test/accuracy": [0.5, 0.7, 0.9]}, other={"test/accuracy": [0.6, 0.9, 0.1]})
    outcomes[0] = Outcome("plain", 0, [], {}, 0, 1.0, "it blew up")
    outcomes[5] = Outcome("other", 2, [], {"test/accuracy": math.nan}, 2, 9.0)
    first, other = results_of(["plain", "other"], ACCURACY, outcomes)
    assert first.measured["test/accuracy"].scores == {1: 0.7, 2: 0.9}
    assert other.measured["test/accuracy"].scores == {0: 0.6, 1: 0.9}
    assert other.measured["test/accuracy"].differences == {1: pytest.approx(0.2)}
    mean, low, high = other.measured["test/accuracy"].difference
    assert mean == pytest.approx(0.2)
    assert math.isnan(low)
    assert math.isnan(high)
    assert [outcome.seed for outcome in first.failed] == [0]
    assert [outcome.seed for outcome in first.trained] == [1, 2]


def test_epochs_and_seconds_are_means_of_what_did_not_fail() -> None:
    outcomes = [
        Outcome("a", 0, [], {}, 4, 1.0),
        Outcome("a", 1, [], {}, 7, 3.0),
        Outcome("a", 2, [], {}, 0, 90.0, "nan"),
    ]
    (result,) = results_of(["a"], [], outcomes)
    assert (result.best_epoch, result.seconds) == (5.5, 2.0)
    (failed,) = results_of(["a"], ["test/accuracy"], outcomes[2:])
    assert math.isnan(failed.best_epoch)
    assert math.isnan(failed.measured["test/accuracy"].mean.mean)


def test_equal_differences_have_an_interval_without_width() -> None:
    outcomes = outcomes_of(a={"test/accuracy": [0.5, 0.75]}, b={"test/accuracy": [0.75, 1.0]})
    assert results_of(["a", "b"], ACCURACY, outcomes)[1].measured["test/accuracy"].difference == (0.25, 0.25, 0.25)


def test_a_measure_that_no_training_has_is_an_error() -> None:
    outcomes = outcomes_of(a={"test/accuracy": [0.5, 0.75]})
    with pytest.raises(WellfitError, match=r"^measure test/acuracy is no score .*; did you mean test/accuracy\?$"):
        results_of(["a"], ["test/acuracy"], outcomes)
    with pytest.raises(WellfitError, match=r"; there are test/accuracy$"):
        results_of(["a"], ["x"], outcomes)
