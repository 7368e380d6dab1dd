"""Permutation importance: against a closed form, against scikit-learn, and what it must not do."""

import numpy as np
import pytest
from sklearn.inspection import permutation_importance as by_sklearn
from sklearn.linear_model import LinearRegression

from wellfit.data.meta import Column
from wellfit.data.store import Split
from wellfit.explain.columns import Feature, Place
from wellfit.explain.importance import Importance, permutation_importance
from wellfit.metrics.predictions import ClassificationScores

RANDOM = np.random.default_rng(0)


def number(name: str, value: int, flag: int | None = None) -> Feature:
    column = Column(name=name, fill=0.0, flags_missing=flag is not None, categories=())
    return Feature(name, (Place(column, value, flag),))


FEATURES = [number(name, i) for i, name in enumerate("abc")]
X = RANDOM.normal(size=(400, 3)).astype(np.float32)
BETA = np.array([3.0, 1.0, 0.0])


def linear(rows: np.ndarray) -> np.ndarray:
    return rows @ BETA


def split_of(x: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> Split:
    return Split(x, y, np.arange(len(y)), weights)


def of_numbers(y: np.ndarray, repeats: int = 20, weights: np.ndarray | None = None, seed: int = 0) -> Importance:
    return permutation_importance(linear, split_of(X, y, weights), "regression", FEATURES, repeats, seed)


def test_rmse_rises_as_the_closed_form_of_a_linear_model_says() -> None:
    noise = RANDOM.normal(size=400)
    found = of_numbers(linear(X) + noise, repeats=50).scores["rmse"]
    # Shuffled, a column is independent of the target: its part of the error is twice its variance.
    expected = np.sqrt(np.mean(noise**2) + 2 * BETA**2 * X.var(axis=0)) - np.sqrt(np.mean(noise**2))
    np.testing.assert_allclose(found.mean, expected, rtol=0.05, atol=1e-9)
    assert found.mean[2] == found.spread[2] == 0
    assert np.all((found.low <= found.mean) & (found.mean <= found.high))


def test_it_agrees_with_scikit_learn() -> None:
    y = linear(X) + RANDOM.normal(size=400)
    model = LinearRegression().fit(X, y)
    theirs = by_sklearn(model, X, y, scoring="neg_root_mean_squared_error", n_repeats=50, random_state=0)
    ours = permutation_importance(model.predict, split_of(X, y), "regression", FEATURES, 50, 0).scores["rmse"]
    near = 4 * np.hypot(theirs.importances_std, ours.spread) / np.sqrt(50)
    assert np.all(np.abs(ours.mean - theirs.importances_mean) < near + 1e-9)
    np.testing.assert_allclose(ours.spread, theirs.importances_std, rtol=0.5, atol=0.002)


def chances(rows: np.ndarray) -> np.ndarray:
    second = 1 / (1 + np.exp(-rows @ BETA))
    return np.stack([1 - second, second], axis=1)


def test_classes_are_scored_by_log_loss_and_accuracy_of_their_own_rows() -> None:
    y = (X[:, 0] > 0).astype(np.int64)
    weights = RANDOM.uniform(0.5, 3, 400).astype(np.float32)
    found = permutation_importance(chances, split_of(X, y, weights), "classification", FEATURES, 1, 3)
    assert list(found.scores) == ["log_loss", "accuracy"]
    shuffled = X.copy()
    shuffled[:, 0] = X[np.random.default_rng(3).permutation(400), 0]  # the same again
    before, after = (ClassificationScores(y, chances(rows), 15)(weights.astype(np.float64)) for rows in (X, shuffled))
    assert found.scores["log_loss"].mean[0] == pytest.approx(after["log_loss"] - before["log_loss"])
    assert found.scores["accuracy"].mean[0] == pytest.approx(before["accuracy"] - after["accuracy"])


def test_a_number_and_its_flag_move_together() -> None:
    x = np.stack([RANDOM.normal(size=200), np.zeros(200)], axis=1).astype(np.float32)
    x[:50] = 0, 1  # missing

    def is_consistent(rows: np.ndarray) -> np.ndarray:
        assert np.all(rows[rows[:, 1] == 1, 0] == 0)
        assert np.sum(rows[:, 1]) % 50 == 0
        return rows.sum(axis=1)

    y = x.sum(axis=1)
    found = permutation_importance(is_consistent, split_of(x, y), "regression", [number("a", 0, 1)], 5, 0)
    assert found.scores["rmse"].mean[0] > 0.5


def test_the_intervals_are_as_wide_as_the_chance_of_rows_and_shufflings() -> None:
    """Of many samples of rows, about 95 % of the intervals hold the value of infinitely many rows, and none is wide."""
    inside, means, halves = 0, [], []
    for seed in range(150):
        random = np.random.default_rng(seed)
        x = random.normal(size=(200, 1)).astype(np.float32)
        y = 2.0 * x[:, 0] + 3 * random.normal(size=200)
        test = split_of(x, y)
        worse = permutation_importance(lambda rows: 2.0 * rows[:, 0], test, "regression", FEATURES[:1], 5, seed)
        found = worse.scores["rmse"]
        inside += found.low[0] <= np.sqrt(9 + 2 * 4) - 3 <= found.high[0]
        means.append(found.mean[0])
        halves.append(found.high[0] - found.mean[0])
    assert inside >= 0.9 * 150
    assert np.mean(halves) < 1.25 * 1.96 * np.std(means)


def test_rows_of_little_weight_do_not_narrow_the_interval() -> None:
    y = linear(X) + RANDOM.normal(size=400)
    weights = np.where(np.arange(400) < 40, 1, 1e-6).astype(np.float32)
    equal, few = (of_numbers(y, weights=each).scores["rmse"] for each in (None, weights))
    assert few.high[0] - few.low[0] > 1.3 * (equal.high[0] - equal.low[0])


def test_the_same_seed_gives_the_same_and_columns_are_ranked() -> None:
    y = linear(X)
    one, same, other = (of_numbers(y, 3, seed=seed) for seed in (1, 1, 2))
    assert one.order.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(one.scores["rmse"].mean, same.scores["rmse"].mean)
    assert np.any(one.scores["rmse"].mean != other.scores["rmse"].mean)


def test_a_single_shuffling_has_no_spread() -> None:
    assert of_numbers(linear(X), repeats=1).scores["rmse"].spread.tolist() == [0, 0, 0]
