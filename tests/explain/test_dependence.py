"""Partial dependence: against scikit-learn, and what is drawn of numbers, categories and gaps."""

import numpy as np
from sklearn.inspection import partial_dependence as by_sklearn
from sklearn.linear_model import LinearRegression

from wellfit.data.meta import Column
from wellfit.explain.columns import Place
from wellfit.explain.dependence import MOST_CATEGORIES, POINTS, partial_dependence

RANDOM = np.random.default_rng(0)
SIZE = Place(Column(name="size", fill=5.0, flags_missing=True, categories=()), 0, 1)
COLOUR = Place(Column(name="colour", fill=None, flags_missing=False, categories=("blue", "grey", "red")), 2)


def rows(n: int) -> np.ndarray:
    x = np.zeros((n, 3), np.float32)
    x[:, 0], x[:, 2] = RANDOM.normal(10, 3, n), RANDOM.choice([0, 2, 2, -1], n)
    x[: n // 5, :2] = 5, 1
    return x


TRAIN, TEST = rows(1000), rows(50)


def squares(x: np.ndarray) -> np.ndarray:
    return x[:, 0].astype(np.float64) ** 2 + 100 * x[:, 1] + 1000 * x[:, 2]


def test_it_is_that_of_scikit_learn() -> None:
    x = RANDOM.normal(size=(80, 2)).astype(np.float32)
    model = LinearRegression().fit(np.hstack([x, x**2]), x[:, 0] ** 2)

    class Squared(LinearRegression):
        def fit(self, x, y):
            self.model_ = model
            self.n_features_in_ = 2
            return self

        def predict(self, x):
            return model.predict(np.hstack([x, x**2]))

    ours = partial_dependence(
        Squared().fit(x, x[:, 0]).predict,
        x,
        x,
        [Place(Column(name="a", fill=0.0, flags_missing=False, categories=()), 0)],
        [0],
        3,
    )[0]
    theirs = by_sklearn(Squared().fit(x, x[:, 0]), x, [0], custom_values={0: ours.values}, kind="both", method="brute")
    np.testing.assert_allclose(ours.mean[:, 0], theirs["average"][0], atol=1e-6)
    np.testing.assert_allclose(ours.curves, theirs["individual"][0][:3], atol=1e-6)


def test_numbers_run_over_quantiles_of_the_training_rows_that_know_them() -> None:
    found = partial_dependence(squares, TEST, TRAIN, [SIZE], [0], 7)[0]
    known = TRAIN[TRAIN[:, 1] == 0, 0]
    np.testing.assert_allclose(found.values, np.quantile(known, np.linspace(0.01, 0.99, POINTS)), rtol=1e-6)
    np.testing.assert_allclose(found.spread, np.quantile(known, np.arange(1, 10) / 10), rtol=1e-6)
    # The flag is off along the curve, and on where the number is missing.
    np.testing.assert_allclose(found.mean[:, 0], np.float32(found.values) ** 2.0 + 1000 * TEST[:, 2].mean(), rtol=1e-6)
    assert found.missing is not None
    np.testing.assert_allclose(found.missing, 25 + 100 + 1000 * TEST[:, 2].mean(), rtol=1e-6)
    assert found.curves.shape == (7, POINTS)
    np.testing.assert_allclose(found.curves[:, 0], np.float32(found.values[0]) ** 2.0 + 1000 * TEST[:7, 2], rtol=1e-6)


def test_few_different_numbers_are_all_values() -> None:
    train = TRAIN.copy()
    train[:, 0] = RANDOM.choice([1, 2, 7], len(train))
    assert partial_dependence(squares, TEST, train, [SIZE], [0], 0)[0].values.tolist() == [1, 2, 7]


def test_categories_come_by_their_frequency() -> None:
    found = partial_dependence(squares, TEST, TRAIN, [COLOUR], [0], 2)[0]
    assert found.categories == ("red", "blue", "grey")  # grey is in no training row any more
    expected = squares(TEST).mean() - 1000 * TEST[:, 2].mean() + 1000 * np.array([2, 0, 1])
    np.testing.assert_allclose(found.mean[:, 0], expected)
    np.testing.assert_allclose(found.spread, [np.mean(TRAIN[:, 2] == code) for code in (2, 0, 1)])
    assert found.missing is None


def test_of_many_categories_the_most_frequent_are_drawn() -> None:
    names = tuple(map(str, range(30)))
    train = np.repeat(np.arange(30), np.arange(30) + 1)[:, np.newaxis].astype(np.float32)
    place = Place(Column(name="code", fill=None, flags_missing=False, categories=names), 0)
    found = partial_dependence(lambda x: x[:, 0], train[:5], train, [place], [0], 0)[0]
    assert found.categories == names[: -MOST_CATEGORIES - 1 : -1]


def test_of_several_outputs_there_are_no_single_curves() -> None:
    def chances(x: np.ndarray) -> np.ndarray:
        return np.stack([x[:, 0], 2 * x[:, 0], 3 * x[:, 0]], axis=1)

    found = partial_dependence(chances, TEST, TRAIN, [SIZE], [0, 2], 5)[0]
    np.testing.assert_allclose(found.mean, found.values[:, np.newaxis] * [1, 3], rtol=1e-6)
    assert len(found.curves) == 0
