"""Columns that say much the same."""

import numpy as np
import pytest

from wellfit.data.meta import Column
from wellfit.explain.columns import Feature, Place
from wellfit.explain.related import related_columns

RANDOM = np.random.default_rng(0)
ONE = RANDOM.normal(size=500)
X = np.stack([ONE, RANDOM.normal(size=500), -2 * ONE + RANDOM.normal(size=500), ONE * 1.001, np.ones(500)], axis=1)


def features(n: int, *, categories: tuple[int, ...] = ()) -> list[Feature]:
    found = []
    for i in range(n):
        fill, names = (None, ("a", "b")) if i in categories else (0.0, ())
        found.append(
            Feature("abcde"[i], (Place(Column(name="abcde"[i], fill=fill, flags_missing=False, categories=names), i),))
        )
    return found


def test_pairs_come_by_their_strength() -> None:
    found = related_columns(X.astype(np.float32), features(5))
    assert [(pair.one, pair.other) for pair in found] == [("a", "d"), ("a", "c"), ("c", "d")]
    assert found[1].correlation == pytest.approx(np.corrcoef(X[:, 0], X[:, 2])[0, 1], abs=1e-6)


def test_codes_of_categories_are_not_numbers() -> None:
    assert related_columns(X.astype(np.float32), features(5, categories=(0, 3))) == []


@pytest.mark.parametrize("which", [[0], [4]])
def test_a_single_or_constant_column_has_no_pair(which: list[int]) -> None:
    assert related_columns(X[:, which].astype(np.float32), features(1)) == []
