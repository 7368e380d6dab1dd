import math

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import binomtest

from wellfit.metrics.conformal import (
    Spread,
    class_bound,
    class_sets,
    conformal_quantile,
    fit_spread,
    interval_bound,
    intervals,
    measure_coverage,
)


@pytest.mark.parametrize(("n", "coverage"), [(9, 0.9), (19, 0.9), (20, 0.9), (99, 0.95), (250, 0.8), (1, 0.5)])
def test_the_quantile_is_the_one_of_the_closed_form(n, coverage):
    scores = np.random.default_rng(0).permutation(n) + 0.5
    expected = np.sort(scores)[math.ceil(round(coverage * (n + 1), 9)) - 1]
    for weight in (1.0, 0.3):
        assert conformal_quantile(scores, np.full(n, weight), coverage) == expected


@pytest.mark.parametrize(
    ("n", "coverage", "finite"), [(8, 0.9, False), (9, 0.9, True), (98, 0.99, False), (99, 0.99, True)]
)
def test_too_few_rows_give_an_infinite_bound(n, coverage, finite):
    assert np.isfinite(conformal_quantile(np.arange(n) * 1.0, np.ones(n), coverage)) == finite


def test_rows_of_weight_zero_are_ignored():
    scores, weights = np.arange(40.0), np.arange(40) % 2 * 1.0
    assert conformal_quantile(scores, weights, 0.9) == conformal_quantile(scores[1::2], np.ones(20), 0.9)
    few = np.where(np.arange(40) < 8, 1.0, 0.0)
    assert conformal_quantile(scores, few, 0.9) == np.inf


def test_a_row_of_twice_the_weight_counts_nearly_as_two_rows():
    scores = np.random.default_rng(0).normal(size=500)
    twice = np.r_[scores, scores[:100]]
    weights = np.r_[np.full(100, 2.0), np.ones(400)]
    found = conformal_quantile(scores, weights, 0.9)
    ranks = [(twice <= bound).mean() for bound in (found, conformal_quantile(twice, np.ones(600), 0.9))]
    assert ranks[0] == pytest.approx(ranks[1], abs=0.004)


def classes(seed, n, tied):
    random = np.random.default_rng(seed)
    logits = random.normal(scale=1.5, size=(n, 4))
    y = (softmax(logits, axis=1).cumsum(axis=1) < random.random((n, 1))).sum(axis=1)
    wrong = softmax(3 * logits + np.array([1.0, 0, 0, 0]), axis=1)  # any model will do
    return (wrong.round(1) if tied else wrong), y


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_sets_of_classes_hold_the_truth_as_often_as_asked(coverage, tied):
    hits = []
    for seed in range(120):
        p, y = classes(seed, 240, tied)
        bound = class_bound(p[:40], y[:40], np.ones(40), coverage)
        hits.append(class_sets(p[40:], bound)[np.arange(200), y[40:]].mean())
    mean, error = np.mean(hits), np.std(hits) / np.sqrt(len(hits))
    assert mean > coverage - 3 * error
    if not tied and coverage == 0.9:  # ties and the most probable class, which is always there, can only add
        assert mean < coverage + 1 / 41 + 3 * error


def test_a_set_is_never_empty():
    p = np.array([[0.3, 0.4, 0.3], [0.05, 0.05, 0.9]])
    assert class_sets(p, bound=0.05).tolist() == [[False, True, False], [False, False, True]]
    assert class_sets(p, bound=0.7).tolist() == [[True, True, True], [False, False, True]]
    assert class_sets(p, bound=np.inf).all()


def numbers(seed, n):
    """Predictions with errors that spread the more, the higher they are."""
    random = np.random.default_rng(seed)
    prediction = random.uniform(1, 10, n)
    return prediction, prediction + prediction * random.normal(size=n)


def test_intervals_hold_the_truth_as_often_as_asked():
    hits = []
    spread = fit_spread(*_with_residuals(numbers(1000, 2000)), np.ones(2000))
    for seed in range(120):
        prediction, y = numbers(seed, 250)
        bound, chosen = interval_bound(prediction[:50], y[:50], np.ones(50), 0.9, spread)
        low, high = intervals(prediction[50:], bound, chosen)
        hits.append(((low <= y[50:]) & (y[50:] <= high)).mean())
    mean, error = np.mean(hits), np.std(hits) / np.sqrt(len(hits))
    assert 0.9 - 3 * error - 0.005 < mean < 0.9 + 1 / 51 + 3 * error  # of two widths the narrower is taken


def _with_residuals(rows):
    return rows[0], rows[1] - rows[0]


def test_the_spread_follows_the_residuals_and_evens_out_the_coverage():
    prediction, y = numbers(0, 4000)
    spread = fit_spread(prediction, y - prediction, np.ones(4000))
    assert spread.at(np.array([2.0, 8.0])) == pytest.approx(np.sqrt(2 / np.pi) * np.array([2.0, 8.0]), rel=0.1)
    prediction, y = numbers(1, 4000)
    bound, chosen = interval_bound(prediction, y, np.ones(4000), 0.9, spread)
    assert chosen == spread
    lower = prediction < 5
    for found, is_even in (
        (intervals(prediction, bound, chosen), True),
        (intervals(prediction, 11.0, Spread()), False),
    ):
        covered = (found[0] <= y) & (y <= found[1])
        assert (abs(covered[lower].mean() - covered[~lower].mean()) < 0.03) == is_even


def test_an_even_spread_leaves_intervals_of_one_width():
    random = np.random.default_rng(0)
    prediction, error = random.normal(size=(2, 300))
    misleading = Spread((-2.0, 2.0), (0.1, 3.0))
    bound, chosen = interval_bound(prediction, prediction + error, np.ones(300), 0.9, misleading)
    assert chosen == Spread()
    assert bound == conformal_quantile(np.abs(error), np.ones(300), 0.9)


@pytest.mark.parametrize("case", ["few rows", "one prediction", "no residuals", "no weights but a few"])
def test_without_much_to_go_by_the_spread_is_even(case):
    prediction, y = numbers(0, 20 if case == "few rows" else 200)
    weights = np.ones(len(y))
    residual = y - prediction
    if case == "one prediction":
        prediction = np.full(200, 3.0)
    elif case == "no residuals":
        residual = np.zeros(200)
    elif case == "no weights but a few":
        weights[10:] = 0
    assert fit_spread(prediction, residual, weights) == Spread()


def test_coverage_by_group_with_wilson_intervals():
    covered = np.array([True, True, False, True, True, True])
    size = np.array([1.0, 2, 2, 1, 3, 3])
    found = measure_coverage(covered, size, np.array([0, 0, 0, 1, 1, 1]), ["a", "b", "none"], np.ones(6))
    assert [(each.group, each.rows, each.coverage, each.size) for each in found] == [
        ("all rows", 6, 5 / 6, 2.0),
        ("a", 3, pytest.approx(2 / 3), pytest.approx(5 / 3)),
        ("b", 3, 1.0, pytest.approx(7 / 3)),
    ]
    expected = binomtest(5, 6).proportion_ci(method="wilson")
    assert (found[0].low, found[0].high) == pytest.approx((expected.low, expected.high), rel=1e-5)


def test_coverage_counts_rows_by_their_weight():
    found = measure_coverage(
        np.array([True, False, True]), np.array([1.0, 2, np.inf]), np.zeros(3, int), ["a"], np.array([3.0, 1.0, 0.0])
    )
    assert found[0][:3] == ("all rows", 2, 0.75)
    assert found[0].size == 1.25
    expected = measure_coverage(np.array([True, False]), np.ones(2), np.zeros(2, int), [], np.array([9.0, 3.0]))[0]
    assert (found[0].low, found[0].high) == (expected.low, expected.high)  # whatever the unit of weights
