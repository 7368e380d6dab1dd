"""Formulas of numbers that a target was computed by."""

import numpy as np
import pytest
from sklearn.datasets import load_wine

from wellfit.data.crossfit import CrossFit
from wellfit.data.formulas import best_pair, sum_or_product

RANDOM = np.random.default_rng(0)
N = 600
FOLD = RANDOM.permutation(N) % 3
A, B, C = (RANDOM.normal(size=N) for _ in "abc")
PRICE, COUNT = np.exp(A).round(2) + 1, RANDOM.integers(1, 9, N).astype(float)
SCORES = dict.fromkeys("abc", 0.5)


def numbers(**columns: np.ndarray) -> dict[str, np.ndarray]:
    return columns


def test_a_sum_names_the_columns_that_carry_it() -> None:
    (leak,) = sum_or_product(numbers(c=C, a=A, b=B), CrossFit(2 * A - B + 5, 0, FOLD))
    assert (leak.kind, leak.columns, leak.score_name) == ("sum", ("a", "b"), "r2")
    assert leak.weights == (2, -1)
    assert leak.score == 1


def test_a_product_has_powers() -> None:
    (leak,) = sum_or_product(numbers(c=C, p=PRICE, q=COUNT), CrossFit(3 * PRICE / COUNT**2, 0, FOLD))
    assert (leak.kind, leak.columns, leak.weights) == ("product", ("p", "q"), (1, -2))


def test_rows_with_nothing_in_them_do_not_hide_a_product() -> None:
    count = np.where(RANDOM.random(N) < 0.1, 0, COUNT)
    (leak,) = sum_or_product(numbers(p=PRICE, q=count), CrossFit(PRICE * count, 0, FOLD))
    assert (leak.kind, leak.columns) == ("product", ("p", "q"))


def test_few_missing_numbers_do_not_hide_a_sum() -> None:
    a = np.where(np.arange(N) % 50 == 0, np.nan, A)
    mostly_missing = np.where(np.arange(N) % 3 == 0, A, np.nan)
    (leak,) = sum_or_product(numbers(a=a, b=B, c=mostly_missing), CrossFit(A + B, 0, FOLD))
    assert leak.columns == ("a", "b")


def test_a_noisy_sum_is_none() -> None:
    y = A + B
    assert sum_or_product(numbers(a=A, b=B), CrossFit(y + 0.1 * C, 0, FOLD)) == []  # R2 0.995
    assert sum_or_product(numbers(a=A, b=B), CrossFit(y + 0.05 * C, 0, FOLD)) != []


def test_classes_that_few_rows_of_honest_columns_tell_are_none() -> None:
    x, y = load_wine(return_X_y=True)
    rows = y < 2
    target = CrossFit(y[rows], 2, FOLD[: rows.sum()])
    assert target.by_line(x[rows]) > 0.98
    assert sum_or_product({f"c{i}": column for i, column in enumerate(x[rows].T)}, target) == []
    assert sum_or_product({}, CrossFit(A, 0, FOLD)) == []


def test_a_sum_of_flags_tells_classes() -> None:
    flags = {f"f{i}": (RANDOM.random(N) < 0.1).astype(float) for i in range(4)}
    y = (sum(flags.values()) > 0).astype(np.int64)
    (leak,) = sum_or_product({**flags, "a": A}, CrossFit(y, 2, FOLD))
    assert (leak.kind, set(leak.columns), leak.score) == ("sum", set(flags), 1)


@pytest.mark.parametrize("kind", ["difference", "ratio"])
def test_a_pair_tells_classes(kind: str) -> None:
    a, b = PRICE, np.exp(B) + 1
    values = np.log(a / b) if kind == "ratio" else a - b
    y = np.digitize(values, [-0.5, 0.5]).astype(np.int64)
    (leak,) = best_pair(numbers(a=a, c=C, b=b), SCORES, CrossFit(y, 3, FOLD))
    assert (leak.kind, leak.columns, leak.score_name) == (kind, ("a", "b"), "balanced_accuracy")
    assert leak.score > 0.99


def test_pairs_of_honest_columns_are_none() -> None:
    y = (A - B + C > 0).astype(np.int64)
    assert best_pair(numbers(a=A, b=B), SCORES, CrossFit(y, 2, FOLD)) == []
    assert best_pair(numbers(a=A), SCORES, CrossFit(y, 2, FOLD)) == []


def test_of_many_columns_the_best_are_paired() -> None:
    columns = {f"c{i}": RANDOM.normal(size=N) for i in range(40)}
    y = (columns["c3"] > columns["c35"]).astype(np.int64)
    scores = dict.fromkeys(columns, 0.5)
    assert best_pair(columns, scores, CrossFit(y, 2, FOLD)) == []
    (leak,) = best_pair(columns, scores | {"c35": 0.7}, CrossFit(y, 2, FOLD))
    assert leak.columns == ("c3", "c35")


def test_large_ratios_are_no_error() -> None:
    tiny = np.full(N, 1e-30) * COUNT
    (leak,) = best_pair(numbers(a=1e30 * A, b=tiny), SCORES, CrossFit((A > 0).astype(np.int64), 2, FOLD))
    assert leak.score > 0.99
