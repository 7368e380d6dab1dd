import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score

from wellfit.metrics.threshold import Costs, predicted_classes, threshold_curve

COSTS = Costs(1.0, 4.0)


def rows(seed=0, n=120, decimals=None):
    random = np.random.default_rng(seed)
    y = (random.random(n) < 0.3).astype(np.int64)
    odds = np.exp(random.normal(size=n) + 2 * y - 1.5)
    probability = odds / (1 + odds)
    return y, probability if decimals is None else probability.round(decimals).clip(0.01, 0.99)


def score(y, predicted, weights, wanted):
    """By scikit-learn; a mean cost is negative, so that all are to rise."""
    if isinstance(wanted, Costs):
        (_, wrong), (missed, _) = confusion_matrix(y, predicted, sample_weight=weights, labels=[0, 1])
        return -(wrong * wanted.false_positive + missed * wanted.false_negative) / weights.sum()
    function = {"f1": f1_score, "balanced_accuracy": balanced_accuracy_score}[wanted]
    return function(y, predicted, sample_weight=weights)


@pytest.mark.parametrize("decimals", [None, 1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("wanted", ["f1", "balanced_accuracy", COSTS])
def test_the_threshold_is_that_of_brute_force(wanted, weighted, decimals):
    y, probability = rows(decimals=decimals)
    weights = np.arange(len(y)) % 3 * 0.5 if weighted else np.ones(len(y))
    curve = threshold_curve(y, probability, weights, wanted)
    both = np.column_stack([1 - probability, probability])

    def by_force(threshold):
        return score(y, predicted_classes(both, threshold), weights, wanted)

    sign = -1 if isinstance(wanted, Costs) else 1
    np.testing.assert_allclose(sign * curve.values, [by_force(t) for t in curve.thresholds], atol=1e-12)
    grid = [by_force(t) for t in np.linspace(0.01, 0.99, 50)]
    assert by_force(curve.chosen) >= max(grid) - 1e-12
    assert [sign * curve.at(t) for t in (0.2, 0.5, 0.77)] == pytest.approx([by_force(t) for t in (0.2, 0.5, 0.77)])


def test_of_equally_good_thresholds_the_nearest_to_a_half_is_chosen():
    y, probability = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.6, 0.9])
    assert threshold_curve(y, probability, np.ones(4), "f1").chosen == pytest.approx(0.4)
    y, probability = np.array([0, 1, 0, 1]), np.array([0.1, 0.3, 0.5, 0.9])  # 0.2 is as good
    assert threshold_curve(y, probability, np.ones(4), "balanced_accuracy").chosen == pytest.approx(0.7)
    y, probability = np.array([1, 1, 1, 1]), np.array([0.2, 0.3, 0.6, 0.9])  # the lower, the better
    assert threshold_curve(y, probability, np.ones(4), "f1").chosen == pytest.approx(0.1)


def test_certain_rows_leave_a_threshold_within_its_bounds():
    y, probability = np.array([0, 1, 0, 1]), np.array([0.0, 0.0, 1.0, 1.0])
    curve = threshold_curve(y, probability, np.ones(4), COSTS)
    assert curve.thresholds.tolist() == [0.5]
    assert curve.chosen == 0.5


def test_rows_of_weight_zero_give_no_threshold():
    y, probability = rows()
    weights = (np.arange(len(y)) % 2).astype(float)
    alone = threshold_curve(y[1::2], probability[1::2], np.ones(60), "f1")
    found = threshold_curve(y, probability, weights, "f1")
    np.testing.assert_array_equal(found.thresholds, alone.thresholds)
    assert found.chosen == alone.chosen


def test_other_rows_are_scored_at_the_threshold_that_was_chosen():
    y, probability = rows(1)
    assert threshold_curve(y, probability, np.ones(len(y)), "f1", chosen=0.37).chosen == 0.37


def test_at_a_half_the_most_probable_class_is_predicted():
    random = np.random.default_rng(0)
    for classes in (2, 5):
        odds = np.exp(random.normal(size=(500, classes)).round(1))
        probabilities = odds / odds.sum(axis=1, keepdims=True)  # some are ties
        np.testing.assert_array_equal(predicted_classes(probabilities, 0.5), probabilities.argmax(axis=1))


def test_a_low_threshold_predicts_the_second_class_more_often():
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3], [0.4, 0.6]])
    assert predicted_classes(probabilities, 0.2).tolist() == [0, 1, 1]
    assert predicted_classes(probabilities, 0.8).tolist() == [0, 0, 0]


def test_costs_lower_the_threshold_as_theory_says():
    """Of calibrated probabilities the best one is the share of the false positive's cost (Elkan 2001)."""
    random = np.random.default_rng(0)
    probability = random.random(20_000)
    y = (random.random(20_000) < probability).astype(np.int64)
    assert threshold_curve(y, probability, np.ones(20_000), COSTS).chosen == pytest.approx(0.2, abs=0.03)
