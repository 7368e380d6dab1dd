"""How well columns tell the target: scores of simple models on rows that they were not fitted to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

FOLDS = 3
SMOOTH = 0.1  # rows that the mean of all counts as in that of a code
COUNTED = 10  # rows of a class below which its recall is left out of a balanced accuracy
DEPTH, LEAF = 7, 3  # of a tree
SHRINKAGE = 1e-3  # that is added to the variances within classes, as shares of those of the columns
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
    def is_enough(self) -> bool:
        """Whether there are two folds, and two classes with enough rows or two numbers."""
        different = len(self._counted) if self.classes else len(np.unique(self.y))
        return different > 1 and len(np.unique(self.fold)) > 1

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
                sums, counts = np.bincount(code, y, minlength=size), np.bincount(code, minlength=size)
                found = (sums + SMOOTH * y.mean()) / (counts + SMOOTH)
            return lambda others: found[codes[others]]

        return self._score(fit)

    def by_tree(self, values: Floats) -> float:
        """The score of a shallow tree.

        Args:
            values: (n, columns), NaN where missing.
        """

        def fit(rows: Rows) -> Predict:
            tree = _tree(self.classes).fit(values[rows], self.y[rows])
            return lambda others: np.asarray(tree.predict(values[others]))

        return self._score(fit)

    def by_forest(self, values: Floats) -> float:
        """The score of a small random forest, of classes.

        Args:
            values: (n, columns), NaN where missing.
        """
        from sklearn.ensemble import RandomForestClassifier

        def fit(rows: Rows) -> Predict:
            samples = min(int(rows.sum()), MOST_SAMPLES)
            forest = RandomForestClassifier(TREES, max_samples=samples, random_state=0).fit(values[rows], self.y[rows])
            return lambda others: np.asarray(forest.predict(values[others]))

        return self._score(fit)

    def by_line(self, values: Floats) -> float:
        """The score of a weighted sum: of numbers that of least squares, of classes one that a tree cuts into parts.

        Args:
            values: (n, columns), none missing.
        """

        def fit(rows: Rows) -> Predict:
            mean, y = values[rows].mean(axis=0), self.y[rows]
            sums = (values - mean) @ line(values[rows], y, self.classes)
            if not self.classes:
                return lambda others: np.asarray(y.mean() + sums[others])
            tree = _tree(self.classes).fit(sums[rows, np.newaxis], y)
            return lambda others: np.asarray(tree.predict(sums[others, np.newaxis]))

        return self._score(fit)

    def by_rank(self, values: Floats) -> float:
        """R2 of the ranks of numbers by those of other ones: 1 where one is a monotone function of the other.

        Args:
            values: (n,), NaN where missing; these rows are left out.
        """
        known = ~np.isnan(values)
        ranked = CrossFit(_ranks(self.y[known]), 0, self.fold[known])
        return ranked.by_line(_ranks(values[known])[:, np.newaxis]) if ranked.is_enough else 0.0

    @property
    def _counted(self) -> NDArray[np.int64]:
        """The classes that have enough rows."""
        return np.flatnonzero(np.bincount(self.y, minlength=self.classes) >= COUNTED)

    def _score(self, fit: Callable[[Rows], Predict]) -> float:
        """Balanced accuracy over the classes that have enough rows; or R2."""
        predicted = np.empty(len(self.y))
        for fold in np.unique(self.fold):
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


def line(values: Floats, y: NDArray[Any], classes: int) -> NDArray[np.float64]:
    """Weights of columns: of least squares, the shortest ones where many have them; or of Fisher's first discriminant.

    Args:
        values: (n, columns).
        y: (n,) class indices, or numbers.
        classes: how many; 0 for numbers.
    """
    from scipy import linalg

    mean, std = values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64)
    std[std == 0] = 1.0
    scaled = (values - mean) / std
    if classes:
        present, counts = np.unique(y, return_counts=True)
        centres = np.array([scaled[y == label].mean(axis=0) for label in present])
        between = (centres.T * counts) @ centres / len(y)
        within = scaled.T @ scaled / len(y) - between
        # A sum that does not vary within the classes is the best of all, and must not divide by zero.
        weights = linalg.eigh(between, within + SHRINKAGE * np.eye(len(within)))[1][:, -1]
    else:
        weights = np.linalg.lstsq(scaled, y - y.mean(), rcond=None)[0]
    found: NDArray[np.float64] = weights / std
    return found


def _tree(classes: int) -> Any:
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    model = DecisionTreeClassifier if classes else DecisionTreeRegressor
    return model(max_depth=DEPTH, min_samples_leaf=LEAF, random_state=0)


def _ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """Ranks from below, those of equal values being their mean."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(counts) - counts / 2)[place]
    return ranks
