"""Scores of simple models on rows that they were not fitted to."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression
from sklearn.metrics import balanced_accuracy_score, r2_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.preprocessing import TargetEncoder
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from wellfit.data.crossfit import CrossFit, draw_folds, line

RANDOM = np.random.default_rng(0)
N = 300
FOLD = RANDOM.permutation(N) % 3
CLASSES = RANDOM.integers(0, 3, N)
NUMBERS = RANDOM.normal(size=N)
VALUES = np.column_stack([CLASSES + RANDOM.normal(size=N), NUMBERS + RANDOM.normal(size=N)])


def test_a_tree_scores_as_with_scikit_learn() -> None:
    settings = {"max_depth": 7, "min_samples_leaf": 3, "random_state": 0}
    folds = PredefinedSplit(FOLD)
    predicted = cross_val_predict(DecisionTreeClassifier(**settings), VALUES, CLASSES, cv=folds)
    assert CrossFit(CLASSES, 3, FOLD).by_tree(VALUES) == pytest.approx(balanced_accuracy_score(CLASSES, predicted))
    predicted = cross_val_predict(DecisionTreeRegressor(**settings), VALUES, NUMBERS, cv=folds)
    assert CrossFit(NUMBERS, 0, FOLD).by_tree(VALUES) == pytest.approx(r2_score(NUMBERS, predicted))


def test_a_line_scores_as_with_scikit_learn() -> None:
    predicted = cross_val_predict(LinearRegression(), VALUES, NUMBERS, cv=PredefinedSplit(FOLD))
    assert CrossFit(NUMBERS, 0, FOLD).by_line(VALUES) == pytest.approx(r2_score(NUMBERS, predicted))


def test_codes_score_as_with_scikit_learn() -> None:
    codes = RANDOM.integers(0, 6, N)
    y = codes % 3 + NUMBERS
    predicted = np.empty(N)
    for fold in range(3):
        rows = fold == FOLD
        means = TargetEncoder(smooth=0.1).fit(codes[~rows, np.newaxis], y[~rows])
        predicted[rows] = means.transform(codes[rows, np.newaxis])[:, 0]
    assert CrossFit(y, 0, FOLD).by_codes(codes) == pytest.approx(r2_score(y, predicted))


def test_a_code_that_no_other_fold_has_counts_as_the_most_frequent_class() -> None:
    frequent = cross_val_predict(DummyClassifier(), CLASSES[:, np.newaxis], CLASSES, cv=PredefinedSplit(FOLD))
    alone = CrossFit(CLASSES, 3, FOLD).by_codes(np.arange(N))
    assert alone == pytest.approx(balanced_accuracy_score(CLASSES, frequent))


def test_ranks_are_those_of_scipy_without_missing_rows() -> None:
    y = np.round(np.exp(NUMBERS), 1)
    values = NUMBERS + 0.1 * RANDOM.normal(size=N)
    values[:20] = np.nan
    target = CrossFit(y, 0, FOLD)
    assert target.by_rank(values) == pytest.approx(spearmanr(y[20:], values[20:]).statistic ** 2, abs=0.01)
    assert target.by_rank(np.exp(y)) == pytest.approx(1)
    expected = CrossFit(rankdata(y), 0, FOLD).by_line(rankdata(NUMBERS)[:, np.newaxis])
    assert target.by_rank(NUMBERS) == pytest.approx(expected)


def test_classes_with_few_rows_are_not_counted() -> None:
    y = np.repeat([0, 1, 2], [150, 141, 9])
    codes = np.where(y == 2, 0, y)
    assert CrossFit(y, 3, FOLD).by_codes(codes) == 1
    assert CrossFit(y, 3, FOLD).is_enough
    assert not CrossFit(y[150:], 3, FOLD[150:]).is_enough
    assert not CrossFit(np.ones(N), 0, FOLD).is_enough


@pytest.mark.parametrize("score", [CrossFit.by_tree, CrossFit.by_line, CrossFit.by_forest])
def test_folds_without_rows_are_left_out(score: Callable[[CrossFit, np.ndarray], float]) -> None:
    assert 0 <= score(CrossFit(CLASSES, 3, FOLD % 2), VALUES) <= 1
    assert not CrossFit(CLASSES, 3, FOLD * 0).is_enough


def test_a_sum_that_does_not_vary_within_the_classes_is_found() -> None:
    flags = RANDOM.permutation(np.eye(6)[np.arange(N) % 6])[:, :5]  # one of six cases, of which the last has no flag
    y = flags.any(axis=1).astype(np.int64)
    values = np.column_stack([flags, RANDOM.normal(size=N)])
    assert CrossFit(y, 2, FOLD).by_line(values) == 1
    weights = np.abs(line(values, y, 2))
    assert weights[5] < 0.1 * weights[:5].min()


def test_least_squares_are_the_shortest_weights_of_columns_that_are_the_same() -> None:
    weights = line(np.column_stack([NUMBERS, NUMBERS, VALUES[:, 0]]), 6 * NUMBERS, 0)
    np.testing.assert_allclose(weights, [3, 3, 0], atol=1e-12)


def test_rows_of_a_unit_stand_in_one_fold() -> None:
    units = RANDOM.integers(0, 50, N)
    folds = draw_folds(units, np.random.default_rng(0))
    assert set(folds) == {0, 1, 2}
    assert all(len(set(folds[units == unit])) == 1 for unit in units)
