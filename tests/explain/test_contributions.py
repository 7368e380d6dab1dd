"""Shapley values: closed form, exact enumeration, and that they add up."""

from itertools import permutations

import numpy as np
import pytest

from wellfit.data.meta import Column
from wellfit.explain.columns import Feature, Place
from wellfit.explain.contributions import Contributions, shapley_values

RANDOM = np.random.default_rng(0)
BACKGROUND = RANDOM.normal(size=(60, 4)).astype(np.float32)
ROWS = RANDOM.normal(size=(3, 4)).astype(np.float32)


def features(*stored: tuple[int, ...]) -> list[Feature]:
    places = [
        [Place(Column(name=f"c{i}", fill=0.0, flags_missing=False, categories=()), i) for i in each] for each in stored
    ]
    return [Feature(each[0].column.name, tuple(each)) for each in places]


SINGLE = features((0,), (1,), (2,), (3,))


def curved(rows: np.ndarray) -> np.ndarray:
    a, b, c, d = rows.T.astype(np.float64)
    return a * b + np.sin(c) * (d > 0) + a * c * d


def exact(predict, row: np.ndarray, background: np.ndarray) -> np.ndarray:
    """By all orders of the columns, each with all rows of the background."""
    total = np.zeros(len(row))
    orders = list(permutations(range(len(row))))
    for order in orders:
        walked = background.copy()
        for column in order:
            before = predict(walked).mean()
            walked[:, column] = row[column]
            total[column] += predict(walked).mean() - before
    return total / len(orders)


def of_numbers(
    predict, background: np.ndarray = BACKGROUND, which: list[Feature] = SINGLE, seed: int = 0
) -> Contributions:
    return shapley_values(predict, ROWS, np.zeros(len(ROWS), np.int64), background, which, seed)


def test_a_linear_model_has_its_closed_form() -> None:
    beta = np.array([2.0, -1.0, 0.0, 0.5])
    found = of_numbers(lambda rows: rows.astype(np.float64) @ beta)
    np.testing.assert_allclose(found.values, beta * (ROWS - BACKGROUND.mean(axis=0, dtype=np.float64)), atol=1e-6)
    assert np.all(found.errors[:, 2] < 1e-12)


def test_they_are_near_the_exact_ones_as_near_as_the_errors_say() -> None:
    many = np.tile(BACKGROUND, (30, 1))  # each row of the background with thirty orders
    found = of_numbers(curved, many)
    expected = np.stack([exact(curved, row, BACKGROUND) for row in ROWS])
    assert np.all(np.abs(found.values - expected) < 4 * found.errors)
    assert found.errors.max() < 0.08


def test_the_errors_are_those_of_repeated_estimates() -> None:
    random = np.random.default_rng(5)
    estimates, errors = [], []
    for seed in range(200):
        found = of_numbers(curved, random.normal(size=(20, 4)).astype(np.float32), seed=seed)
        estimates.append(found.values)
        errors.append(found.errors)
    np.testing.assert_allclose(np.std(estimates, axis=0), np.sqrt(np.mean(np.square(errors), axis=0)), rtol=0.3)


@pytest.mark.parametrize("m", [2, 7])
def test_they_add_up_to_prediction_minus_mean_prediction(m: int) -> None:
    found = of_numbers(curved, BACKGROUND[:m])
    np.testing.assert_allclose(found.base, curved(BACKGROUND[:m]).mean())
    np.testing.assert_allclose(found.predictions, curved(ROWS))
    np.testing.assert_allclose(found.values.sum(axis=1), found.predictions - found.base, atol=1e-12)


def test_two_columns_that_act_alike_share_alike() -> None:
    rows, background = np.full((1, 2), 3, np.float32), np.zeros((2, 2), np.float32)
    pair = features((0,), (1,))
    found = shapley_values(lambda x: x[:, 0] * x[:, 1], rows, np.zeros(1, np.int64), background, pair, 0)
    np.testing.assert_allclose(found.values, [[4.5, 4.5]])  # exact, since each order comes with its reverse
    np.testing.assert_array_equal(found.errors, 0)


def test_each_row_has_the_probability_that_is_asked_for() -> None:
    def chances(rows: np.ndarray) -> np.ndarray:
        logits = rows.astype(np.float64)
        return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    found = shapley_values(chances, ROWS, np.array([2, 0, 3]), BACKGROUND, SINGLE, 0)
    np.testing.assert_allclose(found.predictions, chances(ROWS)[[0, 1, 2], [2, 0, 3]])
    np.testing.assert_allclose(found.base, chances(BACKGROUND).mean(axis=0)[[2, 0, 3]])
    np.testing.assert_allclose(found.values.sum(axis=1), found.predictions - found.base, atol=1e-12)


def test_columns_of_one_feature_are_replaced_together() -> None:
    together = features((0, 2), (1, 3))

    def complete(rows: np.ndarray) -> np.ndarray:
        of_background = np.isin(rows, BACKGROUND)
        assert np.all(of_background[:, 0] == of_background[:, 2])
        assert np.all(of_background[:, 1] == of_background[:, 3])
        return curved(rows)

    assert of_numbers(complete, which=together).values.shape == (3, 2)


def test_a_single_column_gets_everything() -> None:
    found = of_numbers(curved, which=features((0, 1, 2, 3)))
    np.testing.assert_allclose(found.values[:, 0], found.predictions - found.base)
