"""Formulas of a few numbers that a target may have been computed by: sums, products, differences and ratios."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wellfit.data.crossfit import CrossFit, Floats, least_squares
from wellfit.data.store import Leak

# R2 of a formula. A line on all columns has 0.989 on the public 'student performance', and one of logarithms 0.996 on
# the weights of fish, where nothing leaks.
FORMULA = 0.997
PAIR = 0.99  # balanced accuracy of a difference or ratio
NAMED = 0.01  # of a column in a sum, in standard deviations of the target: it is named from here on
MOST_MISSING = 0.05  # share of a column that may be missing for it to stand in a sum
ROWS_A_COLUMN = 5  # that a line takes, at least
SCREENED, PASSED = 500, 0.97  # rows in which all pairs are tried first, and what takes one further
Numbers = Mapping[str, NDArray[np.float64]]


def line_or_product(numbers: Numbers, target: CrossFit) -> list[Leak]:
    """The weighted sum, else the product of powers, that is a target of numbers; or none.

    Args:
        numbers: by column, (n,) each, NaN where missing.
        target: of these rows.
    """
    return _sum(numbers, target) or _product(numbers, target)


def best_pair(numbers: Numbers, target: CrossFit) -> list[Leak]:
    """The difference or ratio of two columns that tells classes best; or none.

    Args:
        numbers: by column, (n,) each, NaN where missing.
        target: of these rows.
    """
    first = slice(SCREENED)
    few = CrossFit(target.y[first], target.classes, target.fold[first])
    best: list[Leak] = []
    for kind, columns, values in _combined(numbers):
        if not few.varies or few.by_tree(values[first, np.newaxis]) < PASSED:
            continue
        score = target.by_tree(values[:, np.newaxis])
        if score >= PAIR and (not best or score > best[0].score):
            best = [Leak(kind=kind, columns=columns, score_name=target.score_name, score=score)]
    return best


def _sum(numbers: Numbers, target: CrossFit) -> list[Leak]:
    return _line("sum", numbers, target, lambda values: values)


def _product(numbers: Numbers, target: CrossFit) -> list[Leak]:
    """Powers of columns, which are a line of logarithms, in the rows where all of them are positive."""
    usable = {name: values for name, values in numbers.items() if np.mean(values <= 0) <= MOST_MISSING}
    return _line("product", usable, target, lambda values: np.log(np.where(values > 0, values, np.nan)))


def _line(
    kind: Literal["sum", "product"], numbers: Numbers, target: CrossFit, transform: Callable[[Floats], Floats]
) -> list[Leak]:
    names = [name for name, values in numbers.items() if np.isnan(values).mean() <= MOST_MISSING]
    if len(names) < 2:
        return []
    values = transform(np.column_stack([numbers[name] for name in names]))
    y = transform(target.y.astype(np.float64))
    rows = np.isfinite(values).all(axis=1) & np.isfinite(y)
    if 2 * rows.sum() < len(rows) or rows.sum() < ROWS_A_COLUMN * len(names) or np.ptp(y[rows]) == 0:
        return []
    part, values = CrossFit(y[rows], 0, target.fold[rows]), values[rows]
    score = part.by_line(values)
    if score < FORMULA:
        return []
    _, weights = least_squares(values, part.y)
    carries = np.abs(weights) * values.std(axis=0) >= NAMED * part.y.std()
    _, weights = least_squares(values[:, carries], part.y)
    named = [name for name, carry in zip(names, carries, strict=True) if carry]
    return [
        Leak(kind=kind, columns=tuple(named), weights=tuple(weights.tolist()), score_name=part.score_name, score=score)
    ]


def _combined(
    numbers: Numbers,
) -> Iterator[tuple[Literal["difference", "ratio"], tuple[str, str], NDArray[np.float64]]]:
    for (one, a), (other, b) in combinations(numbers.items(), 2):
        yield "difference", (one, other), a - b
        if not (b == 0).any():
            yield "ratio", (one, other), a / b
