"""Target leakage: columns that give the target away, and may not be known where predictions are wanted.

Each column of the user's table is asked for the target alone, and a few formulas of its numbers are, too. All of it is
cross-fitted on training rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.data.crossfit import FOLDS, CrossFit, Floats, Rows, draw_folds
from wellfit.data.encode import MISSING
from wellfit.data.formulas import best_pair, sum_or_product
from wellfit.data.meta import Column, Leak, LeakKind, Source
from wellfit.data.raw import RawData
from wellfit.data.scratch import taken
from wellfit.data.sources import input_names

FEWEST_ROWS = 30  # what fits fewer may do so by chance
CELLS, LEAST_ROWS, MOST_ROWS = 300_000, 2_000, 10_000  # that are looked at
ROWS_OF_A_CLASS = 100  # among these rows, where there are as many
MANY_CLASSES = 50  # trees and formulas take long, and do not tell so many
REPEATED = 5  # times that each number of a column occurs, on average, where numbers may be codes
MOSTLY_FILLED = 0.05  # share of missing cells up to which ranks are compared

# Balanced accuracy, or R2, of a column alone. Honest columns come near: petal width of Iris has 0.98, odour of
# mushrooms 0.985, but all other columns know as much. Who was in a lifeboat of the Titanic has 0.97, and all else 0.8.
# Whether a cell is filled depends more on when than on what it is filled with.
ALONE = 0.99
WITHOUT_RIVALS = 0.96  # classes: suffices where all other columns together make ERRORS times as many errors
ERRORS = 5.0
FILLED = 0.9
MONOTONE = 0.997  # R2 of ranks

MOST_SENTENCES, MOST_TERMS = 8, 6  # leaks that are told one by one, and columns of a formula


class _Input(NamedTuple):
    """A column of the user's table, as it stands in the array of inputs.

    Attributes:
        source: the column.
        values: (n, parts) numbers, NaN where missing; of categories their code.
        missing: (n,) whether a cell is empty.
    """

    source: Source
    values: Floats
    missing: Rows


class _Alone(NamedTuple):
    """What a column by itself scores: by what it holds, and by being filled or not."""

    held: float
    filled: float

    @property
    def is_certain(self) -> bool:
        """Whether it tells the target, whatever the other columns do."""
        return self.held >= ALONE or self.filled >= FILLED


def find_leaks(
    x: Floats,
    raw: RawData,
    train: NDArray[np.int64],
    columns: Sequence[Column],
    sources: Sequence[Source],
    seed: int,
) -> tuple[Leak, ...]:
    """What tells the target, by some of the training rows.

    Args:
        x: (n, inputs) as `wellfit.data.encode.encode` made it.
        raw: the n rows.
        train: numbers of the training rows.
        columns: by which x was made.
        sources: the columns of the user's table, of which these were made.
        seed: of the rows and folds.

    Returns:
        Columns alone, in the order of the table, then a formula of the others.
    """
    random, classes = np.random.default_rng(seed), len(raw.class_names)
    rows = _sample(train, raw.y[train] if classes else None, x.shape[1], random)
    units = rows if raw.groups is None else raw.groups[rows]
    target = CrossFit(raw.y[rows].astype(np.int64 if classes else np.float64), classes, draw_folds(units, random))
    if len(rows) < FEWEST_ROWS or not target.is_enough:
        return ()
    inputs = _inputs(taken(x, rows), columns, sources)
    alone = [_score_alone(each, target) for each in inputs]
    leaks = _leaks_alone(inputs, alone, target)
    if classes > MANY_CLASSES:
        return tuple(leaks)
    known = {leak.columns[0] for leak in leaks}
    numbers, scores = {}, {}
    for each, score in zip(inputs, alone, strict=True):
        name = each.source.name
        if each.source.kind in ("numbers", "dates") and name not in known:
            numbers[name] = each.values[:, -1].astype(np.float64)  # the last part of a date counts its days
            scores[name] = score.held
    pair = best_pair(numbers, scores, target) if classes else []
    return (*leaks, *(pair or sum_or_product(numbers, target)))


def _sample(
    train: NDArray[np.int64], labels: NDArray[np.int64] | None, inputs: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """Some of the rows, at random, with enough of each class before all others."""
    order = random.permutation(len(train))
    if labels is not None:
        by_class = order[np.argsort(labels[order], kind="stable")]
        _, first, sizes = np.unique(labels[by_class], return_index=True, return_counts=True)
        place = np.empty(len(train), np.int64)  # of a row among those of its class
        place[by_class] = np.arange(len(train)) - np.repeat(first, sizes)
        order = order[np.argsort(place[order] >= min(ROWS_OF_A_CLASS, MOST_ROWS // len(first)), kind="stable")]
    return random.permutation(train[order[: int(np.clip(CELLS // inputs, LEAST_ROWS, MOST_ROWS))]])


def _inputs(x: Floats, columns: Sequence[Column], sources: Sequence[Source]) -> list[_Input]:
    """The columns of the user's table in the rows of an array: numbers, flags of missing ones, codes."""
    place = {column.name: i for i, column in enumerate(columns)}
    flagged = [column.name for column in columns if column.flags_missing]
    n_numbers = sum(column.fill is not None for column in columns)
    found = []
    for source in sources:
        names = input_names(source)
        if source.kind == "categories":
            values = x[:, [len(flagged) + place[source.name]]]
            known = columns[place[source.name]].categories
            missing = values[:, 0] == (known.index(MISSING) if MISSING in known else len(known))
        else:
            values = x[:, [place[name] for name in names]]
            for part, name in enumerate(names):
                if name in flagged:
                    values[x[:, n_numbers + flagged.index(name)] == 1, part] = np.nan
            missing = (values == 0).all(axis=1) if source.kind == "text" else np.isnan(values[:, 0])
        found.append(_Input(source, values, missing))
    return found


def _score_alone(each: _Input, target: CrossFit) -> _Alone:
    distinct, codes = np.unique(each.values, return_inverse=True)
    scores = [0.0]
    if each.source.kind == "categories" or (each.values.shape[1] == 1 and REPEATED * len(distinct) <= len(codes)):
        scores.append(target.by_codes(codes.ravel()))
    if each.source.kind != "categories" and target.classes <= MANY_CLASSES:
        scores.append(target.by_tree(each.values))
    if each.source.kind == "numbers" and not target.classes and each.missing.mean() <= MOSTLY_FILLED:
        score = target.by_rank(each.values[:, 0])
        scores.append(score if score >= MONOTONE else 0.0)
    filled = target.by_codes(each.missing.astype(np.int64)) if each.missing.any() else 0.0
    return _Alone(max(scores), filled)


def _leaks_alone(inputs: Sequence[_Input], alone: Sequence[_Alone], target: CrossFit) -> list[Leak]:
    """The columns that tell the target alone, or by being filled or not."""
    leaks = []
    for i, (each, score) in enumerate(zip(inputs, alone, strict=True)):
        kind: LeakKind = "date" if each.source.kind == "dates" else "alone"
        if score.filled >= FILLED:
            kind = "filled"
        elif score.held < ALONE:
            others = [other.values for j, other in enumerate(inputs) if j != i and not alone[j].is_certain]
            if not target.classes or score.held < WITHOUT_RIVALS or not others:
                continue
            if 1 - target.by_forest(np.column_stack(others)) < ERRORS * (1 - score.held):
                continue
        found = score.filled if kind == "filled" else score.held
        leaks.append(Leak(kind=kind, columns=(each.source.name,), score_name=target.score_name, score=found))
    return leaks


def leak_warnings(leaks: Sequence[Leak], target: str) -> tuple[str, ...]:
    """A warning for each leak; beyond the first few, one for all others.

    Args:
        leaks: what `find_leaks` found.
        target: name of the target.
    """
    sentences = []
    for leak in leaks[:MOST_SENTENCES]:
        it_is, it = ("it is", "it") if len(leak.columns) == 1 else ("they are", "them")
        sentence = f"{tells(leak, target)}; if {it_is} known only after the target, list {it} in data.drop"
        sentences.append(sentence + "; if rows follow one another, name it in data.time" * (leak.kind == "date"))
    if more := leaks[MOST_SENTENCES:]:
        names = dict.fromkeys(name for leak in more for name in leak.columns)
        sentences.append(f"{len(names)} more columns tell the target {target!r}: {', '.join(map(repr, names))}")
    return tuple(sentences)


def tells(leak: Leak, target: str) -> str:
    """What tells the target, and how well.

    Args:
        leak: what was found.
        target: name of the target.
    """
    names = [repr(name) for name in leak.columns[:MOST_TERMS]]
    terms = list(zip(names, leak.weights, strict=False))
    if more := len(leak.columns) - len(names):
        names.append(f"{more} more columns")
    is_number, tells_it = leak.score_name == "r2", f"tells the target {target!r}"
    match leak.kind:
        case "filled":
            says = f"whether column {names[0]} is filled {tells_it}"
        case "difference":
            says = f"{' - '.join(names)} {tells_it}"
        case "ratio":
            says = f"{' / '.join(names)} {tells_it}"
        case "sum" if is_number:
            says = f"the target {target!r} is {_sum(terms)}{' + more terms' if more else ''}, up to a constant"
        case "product" if is_number:
            says = f"the target {target!r} is {_product(terms)}{' x more factors' if more else ''}, up to a factor"
        case "sum" | "product":
            says = f"a {leak.kind} of {', '.join(names)} {tells_it}"
        case _:
            says = f"column {names[0]} alone {tells_it}"
    score = "R²" if is_number else "balanced accuracy"
    return f"{says} ({score} {leak.score:.3f} in {FOLDS} folds of training rows)"


def _sum(terms: Sequence[tuple[str, float]]) -> str:
    first, *others = terms
    more = "".join(f" {'-' if weight < 0 else '+'} {abs(weight):.3g} x {name}" for name, weight in others)
    return f"{first[1]:.3g} x {first[0]}{more}"


def _product(terms: Sequence[tuple[str, float]]) -> str:
    return " x ".join(name if round(power, 2) == 1 else f"{name}^{power:.3g}" for name, power in terms)
