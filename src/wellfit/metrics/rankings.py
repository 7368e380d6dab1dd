"""Areas under the curves of many classes, for many weightings of the rows at once, as a bootstrap needs them."""

import numpy as np

from wellfit.metrics.scores import FloatArray, IntArray, ratio, ratio_or_nan

CELLS = 2**21  # of the comparisons that are made at once, which bound the memory


class ClassRankings:
    """The order of all rows by the score of each class, as far as the rows of that class stand in it.

    Where `wellfit.metrics.scores.Rankings` goes through all rows of each ranking, this asks of each row only how many
    rows stand above it in the ranking of its own class: a product of matrices for all weightings.

    Args:
        scores: (n, C).
        y: (n,) true class indices.
    """

    def __init__(self, scores: FloatArray, y: IntArray) -> None:
        self._scores, self._y = scores, y
        by_class = np.argsort(y, kind="stable")
        ends = np.cumsum(np.bincount(y, minlength=scores.shape[1]))
        self._rows = np.split(by_class, ends[:-1])  # of each class

    def areas(self, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """ROC AUC and average precision of each class against the rest, (K, C) each; NaN where they are undefined.

        Args:
            weights: (K, n) not negative.
        """
        rows = np.ascontiguousarray(weights.T)  # (n, K)
        total = rows.sum(axis=0)
        area, precision = (np.full((self._scores.shape[1], len(weights)), np.nan) for _ in range(2))
        for classes in self._together():
            of_classes = np.concatenate([self._rows[label] for label in classes])
            higher, as_high = self._compare(of_classes)
            above = higher @ rows  # (rows of the classes, K)
            reached = above + (as_high @ rows if as_high.sum() > len(of_classes) else rows[of_classes])
            start = 0
            for label in classes:
                own = self._rows[label]
                part = slice(start, start := start + len(own))
                mine = rows[own]
                mine_above = higher[part][:, own] @ mine
                mine_reached = mine_above + as_high[part][:, own] @ mine
                positives = mine.sum(axis=0)
                others = total - positives
                # Rows of other classes that stand above, of those beside a row one half.
                lost = (above[part] - mine_above + reached[part] - mine_reached) / 2
                area[label] = ratio_or_nan((mine * (others - lost)).sum(axis=0), positives * others)
                precision[label] = ratio_or_nan((mine * ratio(mine_reached, reached[part])).sum(axis=0), positives)
        return area.T, precision.T

    def _together(self) -> list[list[int]]:
        """Classes with about ``CELLS / n`` rows together."""
        groups: list[list[int]] = [[]]
        size = 0
        for label, rows in enumerate(self._rows):
            if not len(rows):
                continue
            if groups[-1] and (size + len(rows)) * len(self._y) > CELLS:
                groups.append([])
                size = 0
            groups[-1].append(label)
            size += len(rows)
        return groups

    def _compare(self, rows: IntArray) -> tuple[FloatArray, FloatArray]:
        """Whether each row has a higher score, or the same, of the class of each of these: (rows, n), 1.0 or 0.0."""
        scores = self._scores[:, self._y[rows]].T
        own = self._scores[rows, self._y[rows]][:, np.newaxis]
        return (scores > own).astype(np.float64), (scores == own).astype(np.float64)
