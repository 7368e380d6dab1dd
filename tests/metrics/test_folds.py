import numpy as np
import pytest

from wellfit.metrics.folds import cross_fitted, effective_rows, row_weights


def test_each_row_gets_its_value_from_a_fit_of_the_other_half():
    y = np.random.default_rng(0).normal(size=41)
    seen: dict[int, set[int]] = {}

    def mean_of_others(fit, score):
        seen.update({int(row): set(fit.tolist()) for row in score})
        return np.full(len(score), y[fit].mean())

    values = cross_fitted(mean_of_others, np.ones(41), seed=0)
    assert seen.keys() == set(range(41))
    for row, others in seen.items():
        assert row not in others
        assert len(others) in (20, 21)
        assert values[row] == pytest.approx(y[sorted(others)].mean())


def test_rows_of_weight_zero_are_in_no_half():
    weights = np.array([1.0, 0, 2, 0, 3, 1])
    used = []

    def value(fit, score):
        used.extend([*fit, *score])
        return np.ones(len(score))

    assert cross_fitted(value, weights, seed=0).tolist() == [1, 0, 1, 0, 1, 1]
    assert set(used) == {0, 2, 4, 5}


def test_weights_that_are_not_given_are_ones():
    assert row_weights(None, 3).tolist() == [1, 1, 1]
    assert row_weights(np.array([1, 2], np.float32), 2).dtype == np.float64


def test_effective_rows():
    assert effective_rows(np.full(7, 3.0)) == pytest.approx(7)
    assert effective_rows(np.array([1.0, 0, 0])) == 1
    assert effective_rows(np.array([3.0, 1.0])) == pytest.approx(1.6)
