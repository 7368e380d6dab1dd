"""The network and baselines on made-up test rows."""

import re

import numpy as np
import pytest
from sklearn import metrics

from wellfit.baselines.comparison import (
    Compared,
    base_rate,
    compare,
    conclusion,
    difference_in_words,
    gain_in_words,
    worse_than_a_constant,
)
from wellfit.baselines.fit import Fitted
from wellfit.metrics.intervals import Estimate, EvaluateConfig, bootstrap_intervals, paired_difference
from wellfit.metrics.predictions import main_scores_of

from .conftest import table

CONFIG = EvaluateConfig(resamples=200, seed=3, calibration_bins=10, calibration="none", threshold=0.5, coverage=None)
ROWS = 400


def probabilities(y: np.ndarray, right: float, sure: float, seed: int) -> np.ndarray:
    """Of two classes; a share of the rows is right, and all are as sure."""
    hit = np.random.default_rng(seed).random(len(y)) < right
    true = np.where(hit, sure, 1 - sure)
    return np.column_stack([np.where(y == 0, true, 1 - true), np.where(y == 1, true, 1 - true)])


def classes(network: float, boosting: float, linear: float, sure: float = 0.8) -> list[Compared]:
    """Shares of the rows that are predicted right; gradient boosting was the better one on validation rows."""
    splits, meta = table(np.zeros((3 * ROWS, 1), np.float32), np.arange(3 * ROWS) % 2, classes=2)
    y = splits["test"].y
    fitted = [
        Fitted("gradient_boosting", {}, {"accuracy": 0.8, "log_loss": 0.4}, probabilities(y, boosting, 0.8, 1)),
        Fitted("linear", {}, {"accuracy": 0.9, "log_loss": 0.5}, probabilities(y, linear, 0.8, 2)),
        Fitted("constant", {}, {"accuracy": 0.5, "log_loss": 0.69}, np.full((len(y), 2), 0.5)),
    ]
    return compare(probabilities(y, network, sure, 0), fitted, splits["test"], meta, CONFIG)


@pytest.mark.parametrize("weighted", [False, True])
def test_baselines_are_scored_as_the_network_is(weighted: bool) -> None:
    random = np.random.default_rng(0)
    weights = random.uniform(0, 2, 120) if weighted else None
    splits, meta = table(np.zeros((120, 1), np.float32), random.normal(50, 9, 120), weights=weights)
    test = splits["test"]
    network, baseline = (test.y + random.normal(0, scale, 40) for scale in (1, 3))
    one = compare(network, [Fitted("linear", {}, {"rmse": 1.0, "mae": 1.0}, baseline)], test, meta, CONFIG)[0]
    w = {"sample_weight": test.weights}
    assert one.scores["rmse"] == pytest.approx(metrics.root_mean_squared_error(test.y, baseline, **w))
    assert one.scores["r2"] == pytest.approx(metrics.r2_score(test.y, baseline, **w))
    scores = [main_scores_of("regression", test.y, each) for each in (baseline, network)]
    bootstrap = (40, CONFIG.resamples, CONFIG.seed, test.weights)
    assert one.scores["mae_high"] == bootstrap_intervals(scores[0], *bootstrap)["mae_high"]
    # A lower error is better: the gain is the other way round than the difference.
    for name, difference in paired_difference(scores[0], scores[1], *bootstrap).items():
        assert one.gains[name] == pytest.approx(difference)
    assert one.gains["rmse"].low > 0
    found = one.metrics()
    assert found["baseline/linear/rmse_gain"] == one.gains["rmse"].mean
    assert found["baseline/linear/rmse_gain_low"] == one.gains["rmse"].low
    assert found["baseline/linear/r2"] == one.scores["r2"]
    assert len(found) == 4 + 2 * 2 + 2 * 3


def test_a_gain_is_positive_where_the_network_is_better() -> None:
    boosting, _, constant = classes(network=0.9, boosting=0.7, linear=0.9)
    for name in ("accuracy", "log_loss"):
        assert boosting.gains[name].low > 0
        assert constant.gains[name].low > 0


def test_the_base_rate_is_that_of_the_constant() -> None:
    compared = classes(0.9, 0.9, 0.9)
    rate = base_rate(compared)
    assert rate["accuracy"] == 0.5
    assert rate["log_loss"] == pytest.approx(np.log(2))
    assert rate["roc_auc"] == 0.5
    assert base_rate(compared[:2]) == {}


@pytest.mark.parametrize(
    ("network", "boosting", "linear", "sure", "words"),
    [
        (0.9, 0.7, 0.99, 0.8, "the network is I better than gradient boosting in accuracy"),
        (0.7, 0.9, 0.5, 0.8, "gradient boosting is I better than the network in accuracy here; use it"),
        (0.8, 0.8, 0.8, 0.8, "no clear difference between the network and gradient boosting in accuracy: I"),
        (
            0.8,
            0.8,
            0.8,
            0.9999,
            "no clear .*: I; gradient boosting is I better than the network in log loss",
        ),
    ],
)
def test_the_conclusion_is_about_the_best_baseline_on_validation_rows(
    network: float, boosting: float, linear: float, sure: float, words: str
) -> None:
    interval = r"NUMBER( points)? \[NUMBER, NUMBER\]"
    better, any_sign = (interval.replace("NUMBER", number) for number in (r"[\d.]+", r"-?[\d.]+"))
    pattern = words.replace("is I", f"is {better}").replace("I", any_sign)
    assert re.fullmatch(pattern, conclusion(classes(network, boosting, linear, sure)))


def test_there_is_no_conclusion_without_baselines() -> None:
    assert conclusion([]) == ""


def test_the_conclusion_names_the_threshold_that_the_scores_are_not_of() -> None:
    compared = classes(0.9, 0.7, 0.8)
    assert conclusion(compared, 0.5) == conclusion(compared)
    assert conclusion(compared, 0.2) == f"{conclusion(compared)} (both at a threshold of 0.5)"


@pytest.mark.parametrize(
    ("name", "difference", "words"),
    [
        ("accuracy", (0.0042, 0.0011, 0.0071), "0.42 points [0.11, 0.71]"),
        ("accuracy", (-0.2, -0.41, 0.00001), "-20 points [-41, 0]"),
        ("accuracy", (0.0, 0.0, 0.0), "0.00 points [0.00, 0.00]"),
        ("log_loss", (0.0331, 0.0296, 0.0363), "0.0331 [0.0296, 0.0363]"),
        ("rmse", (3749.4, 456.0, 7163.0), "3749 [456, 7163]"),
    ],
)
def test_a_difference_has_two_digits_of_its_interval(
    name: str, difference: tuple[float, float, float], words: str
) -> None:
    assert difference_in_words(name, Estimate(*difference)) == words


A, B = (
    "A is 10.0 points [9.0, 11.0] better than B in accuracy",
    "B is 10.0 points [9.0, 11.0] better than A in accuracy",
)
UNCLEAR = "no clear difference between A and B in accuracy: 0.0 points [-1.0, 1.0]"
BY_LOSS = "A is 0.200 [0.190, 0.210] better than B in log loss"


@pytest.mark.parametrize(
    ("accuracy", "log_loss", "words"),
    [
        (0.1, 0.2, A),
        (-0.1, -0.2, B),
        (-0.1, 0.0, B),
        (-0.1, 0.2, f"{B}; {BY_LOSS}"),
        (0.0, 0.2, f"{UNCLEAR}; {BY_LOSS}"),
        (0.0, 0.0, UNCLEAR),
    ],
)
def test_the_second_score_is_told_where_it_disagrees_or_decides(accuracy: float, log_loss: float, words: str) -> None:
    gains = {"accuracy": accuracy, "log_loss": log_loss}
    estimates = {name: Estimate(gain, gain - 0.01, gain + 0.01) for name, gain in gains.items()}
    assert gain_in_words(estimates, "A", "B") == words


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ({"r2": -0.31}, "the network is worse than a constant: R² is -0.31, below 0"),
        ({"r2": 0.01}, ""),
        (
            {"roc_auc": 0.52, "log_loss": 0.9},
            "the network is worse than a constant: log loss 0.9 instead of 0.693, and R",
        ),
        ({"roc_auc": 0.52, "log_loss": 0.6}, ""),
        ({"roc_auc": 0.95, "log_loss": 0.9}, ""),  # a rare class with a weight of its own
        ({"roc_auc": None, "log_loss": 0.9}, ""),  # a single class
    ],
)
def test_a_network_that_has_learned_nothing_is_told(scores: dict[str, float | None], said: str) -> None:
    found = worse_than_a_constant(scores, {"log_loss": 0.693})
    assert found.startswith(said)
    assert bool(found) == bool(said)
