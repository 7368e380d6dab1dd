"""How well columns tell the target: scores of simple models on rows that they were not fitted to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

FOLDS = 3
COUNTED = 10  # rows of a class below which its recall is left out of a balanced accuracy
DEPTH, LEAF = 7, 3  # of a tree
TREES, MOST_SAMPLES = 30, 3_000  # of a forest, and rows of each tree

Rows = NDArray[np.bool_]
Floats = NDArray[np.floating]
Predict = Callable[[Rows], NDArray[Any]]


class CrossFit(NamedTuple):
    """The target of n rows, and their folds.

    Attributes:
        y: (n,) class indices, or numbers.
        classes: how many; 0 for numbers.
        fold: (n,) of each row, from 0.
    """

    y: NDArray[Any]
    classes: int
    fold: NDArray[np.int64]

    @property
    def score_name(self) -> Literal["balanced_accuracy", "r2"]:
        """What the scores are."""
        return "balanced_accuracy" if self.classes else "r2"

    @property
    def varies(self) -> bool:
        """Whether there is something to tell: two classes with enough rows, or different numbers."""
        return len(self._counted) > 1 if self.classes else bool(np.ptp(self.y) > 0)

    @property
    def ranked(self) -> CrossFit:
        """The same with the ranks of the numbers, which few large ones do not rule."""
        _, place, counts = np.unique(self.y, return_inverse=True, return_counts=True)
        return self._replace(y=(np.cumsum(counts) - counts / 2)[place])

    def by_codes(self, codes: NDArray[np.int64]) -> float:
        """The score of the most frequent class, or of the mean, of the rows with the same code.

        Args:
            codes: (n,) from 0.
        """
        size = int(codes.max()) + 1

        def fit(rows: Rows) -> Predict:
            y, code = self.y[rows], codes[rows]
            if self.classes:
                counts = np.bincount(code * self.classes + y, minlength=size * self.classes)
                prior = np.bincount(y, minlength=self.classes) / len(y)  # of codes that these rows do not have
                found = (counts.reshape(size, self.classes) + prior).argmax(axis=1)
            else:
                found = (np.bincount(code, y, minlength=size) + y.mean()) / (np.bincount(code, minlength=size) + 1)
            return lambda others: found[codes[others]]

        return self._score(fit)

    def by_tree(self, values: Floats) -> float:
        """The score of a shallow tree.

        Args:
            values: (n, columns), NaN where missing.
        """
        from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

        model = DecisionTreeClassifier if self.classes else DecisionTreeRegressor

        def fit(rows: Rows) -> Predict:
            tree = model(max_depth=DEPTH, min_samples_leaf=LEAF, random_state=0).fit(values[rows], self.y[rows])
            return lambda others: np.asarray(tree.predict(values[others]))

        return self._score(fit)

    def by_forest(self, values: Floats) -> float:
        """The score of a small random forest, of classes.

        Args:
            values: (n, columns), NaN where missing.
        """
        from sklearn.ensemble import RandomForestClassifier

        def fit(rows: Rows) -> Predict:
            forest = RandomForestClassifier(TREES, max_samples=min(int(rows.sum()), MOST_SAMPLES), random_state=0).fit(
                values[rows], self.y[rows]
            )
            return lambda others: np.asarray(forest.predict(values[others]))

        return self._score(fit)

    def by_line(self, values: Floats) -> float:
        """R2 of a least-squares fit, of numbers.

        Args:
            values: (n, columns), none missing.
        """

        def fit(rows: Rows) -> Predict:
            intercept, weights = least_squares(values[rows], self.y[rows])
            return lambda others: np.asarray(intercept + values[others] @ weights)

        return self._score(fit)

    @property
    def _counted(self) -> NDArray[np.int64]:
        """The classes that have enough rows."""
        return np.flatnonzero(np.bincount(self.y, minlength=self.classes) >= COUNTED)

    def _score(self, fit: Callable[[Rows], Predict]) -> float:
        """Balanced accuracy over the classes that have enough rows; or R2."""
        predicted = np.empty(len(self.y))
        for fold in range(FOLDS):
            rows = self.fold == fold
            predicted[rows] = fit(~rows)(rows)
        if self.classes:
            right = predicted == self.y
            return float(np.mean([right[self.y == label].mean() for label in self._counted]))
        return float(1 - np.mean((predicted - self.y) ** 2) / np.var(self.y))


def draw_folds(units: NDArray[Any], random: np.random.Generator) -> NDArray[np.int64]:
    """A fold for each row, the same for all rows of a unit.

    Args:
        units: (n,) the unit of each row.
        random: draws.
    """
    _, unit = np.unique(units, return_inverse=True)
    folds: NDArray[np.int64] = random.permutation(unit.max() + 1)[unit] % FOLDS
    return folds


def least_squares(values: Floats, y: NDArray[Any]) -> tuple[float, NDArray[np.float64]]:
    """Intercept and weights, (columns,), of the line with the least squares; the shortest one where many have them."""
    mean, std = values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64)
    std[std == 0] = 1.0
    weights = np.linalg.lstsq((values - mean) / std, y - y.mean(), rcond=None)[0] / std
    return float(y.mean() - mean @ weights), weights
