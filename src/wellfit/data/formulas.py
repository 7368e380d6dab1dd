"""Formulas of a few numbers that a target may have been computed by: sums, products, differences and ratios."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from wellfit.data.crossfit import CrossFit, Floats, line
from wellfit.data.meta import Leak, LeakKind

# R2 of a sum or product. An honest line has 0.989 on the public 'student performance', and one of logarithms 0.996 on
# the weights of fish.
LINE = {"r2": 0.997, "balanced_accuracy": 0.99}
PAIR = 0.99  # balanced accuracy of a difference or ratio
NAMED = 0.05  # deviation of a term, as a share of the largest one: its column is named from here on
MISSING, NOT_POSITIVE = 0.05, 0.25  # shares of a column up to which it may stand in a sum, and in a product
ROWS_A_COLUMN = 50  # that a sum of classes takes: on fewer, honest columns do as well, those of wine without an error
LARGEST = 1e30  # of a ratio: trees take float32
PAIRED, COMPARED, TRIED = 30, 500, 10  # columns; rows that are sorted by each pair; pairs that are then cross-fitted

Numbers = Mapping[str, NDArray[np.float64]]


def sum_or_product(numbers: Numbers, target: CrossFit) -> list[Leak]:
    """The weighted sum, else the product of powers, that is a target of numbers, or tells classes; or none.

    Args:
        numbers: by column, (n,) each, NaN where missing.
        target: of these rows.
    """
    known = {name: values for name, values in numbers.items() if np.isnan(values).mean() <= MISSING}
    positive = {name: values for name, values in known.items() if np.mean(values <= 0) <= NOT_POSITIVE}
    return _line("sum", known, target, lambda values: values) or _line("product", positive, target, _logarithm)


def _logarithm(values: Floats) -> Floats:
    return np.log(np.where(values > 0, values, np.nan))


def _line(kind: LeakKind, numbers: Numbers, target: CrossFit, transform: Callable[[Floats], Floats]) -> list[Leak]:
    """A least-squares fit of transformed numbers, in the rows where all of them are known."""
    if not numbers:
        return []
    values = transform(np.column_stack(list(numbers.values())))
    y = target.y if target.classes else transform(target.y.astype(np.float64))
    rows = np.isfinite(values).all(axis=1) & np.isfinite(y)
    if 2 * rows.sum() < len(rows) or (target.classes and rows.sum() < ROWS_A_COLUMN * len(numbers)):
        return []
    part, values = CrossFit(y[rows], target.classes, target.fold[rows]), values[rows]
    if not part.is_enough or (score := part.by_line(values)) < LINE[target.score_name]:
        return []
    parts = np.abs(line(values, part.y, part.classes)) * values.std(axis=0)
    carries = parts >= NAMED * parts.max()
    weights = line(values[:, carries], part.y, part.classes)
    columns = tuple(name for name, carry in zip(numbers, carries, strict=True) if carry)
    return [Leak(kind=kind, columns=columns, weights=tuple(weights), score_name=part.score_name, score=score)]


def best_pair(numbers: Numbers, scores: Mapping[str, float], target: CrossFit) -> list[Leak]:
    """The difference or ratio of two columns that tells classes best; or none.

    Args:
        numbers: by column, (n,) each, NaN where missing.
        scores: of each column alone; where there are many, those with the highest are paired.
        target: of these rows.
    """
    best = sorted(numbers, key=lambda name: -scores[name])[:PAIRED]
    pairs: list[tuple[LeakKind, str, str, NDArray[np.float64]]] = []
    for (one, a), (other, b) in combinations([each for each in numbers.items() if each[0] in best], 2):
        pairs.append(("difference", one, other, a - b))
        if (b != 0).all():
            pairs.append(("ratio", one, other, (a / b).clip(-LARGEST, LARGEST)))
    if not pairs:
        return []
    # Where a formula tells the classes, neighbours in its order have the same one.
    order = np.argsort([values[:COMPARED] for *_, values in pairs], axis=1, kind="stable")
    classes = target.y[order]
    agreement = (classes[:, 1:] == classes[:, :-1]).mean(axis=1)
    tried = [pairs[i] for i in np.argsort(-agreement, kind="stable")[:TRIED]]
    score, kind, one, other = max(
        ((target.by_tree(values[:, np.newaxis]), kind, one, other) for kind, one, other, values in tried),
        key=lambda found: found[0],
    )
    return [Leak(kind=kind, columns=(one, other), score_name=target.score_name, score=score)] if score >= PAIR else []
