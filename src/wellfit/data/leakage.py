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
from wellfit.data.formulas import best_pair, line_or_product
from wellfit.data.raw import RawData
from wellfit.data.sources import input_names
from wellfit.data.store import Column, Leak, LeakKind, Source

FEWEST_ROWS = 30  # what fits fewer may do so by chance
CELLS, LEAST_ROWS, MOST_ROWS = 300_000, 2_000, 10_000  # that are looked at
ROWS_OF_A_CLASS = 100  # among these rows, where there are as many
MANY_CLASSES = 50  # a tree takes long
REPEATED = 5  # times that each number of a column occurs, on average, where numbers may be codes
RANKED = 0.5  # R2 from which that of ranks is looked at, too

# Balanced accuracy, or R2, of a column alone. Honest columns come near: petal width of Iris has 0.98, odour of
# mushrooms 0.985, but all other columns know as much. Who was in a lifeboat of the Titanic has 0.97, and all else 0.8.
# Whether a cell is filled depends more on when than on what it is filled with.
ALONE = 0.99
WITHOUT_RIVALS = 0.96  # classes: suffices where all other columns together make ERRORS times as many errors
ERRORS = 5.0
FILLED = 0.9
PAIRED = 30  # columns, of which pairs are made
SCORES = {"balanced_accuracy": "balanced accuracy", "r2": "R²"}
MOST_SENTENCES = 8
MOST_TERMS = 6  # of a formula, in a sentence


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
    random = np.random.default_rng(seed)
    rows = _sample(train, raw.y[train] if raw.class_names else None, x.shape[1], random)
    units = rows if raw.groups is None else raw.groups[rows]
    target = CrossFit(raw.y[rows], len(raw.class_names), draw_folds(units, random))
    if len(rows) < FEWEST_ROWS or not target.varies:
        return ()
    inputs = _inputs(x[rows], columns, sources)
    alone = [_score_alone(each, target) for each in inputs]
    leaks = _leaks_alone(inputs, alone, target)
    known = {leak.columns[0] for leak in leaks}
    numbers = {
        each.source.name: each.values[:, -1].astype(np.float64)  # the last part of a date counts its days
        for each in inputs
        if each.source.kind in ("numbers", "dates") and each.source.name not in known
    }
    if not target.classes:
        return (*leaks, *line_or_product(numbers, target))
    score_of = {each.source.name: score for each, score in zip(inputs, alone, strict=True)}
    best = sorted(numbers, key=lambda name: -score_of[name])[:PAIRED]
    return (*leaks, *best_pair({name: values for name, values in numbers.items() if name in best}, target))


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
    names = [column.name for column in columns]
    numbers = [column.name for column in columns if column.fill is not None]
    flagged = [column.name for column in columns if column.flags_missing]
    found = []
    for source in sources:
        at = [names.index(name) for name in input_names(source)]
        if source.kind == "categories":
            code = x[:, len(flagged) + at[0]]
            categories = columns[at[0]].categories
            missing = code == (categories.index(MISSING) if MISSING in categories else len(categories))
            found.append(_Input(source, code[:, np.newaxis], missing))
            continue
        values, missing = x[:, at].copy(), np.zeros(len(x), bool)
        for part, name in enumerate(input_names(source)):
            if name in flagged:
                missing = x[:, len(numbers) + flagged.index(name)] == 1
                values[missing, part] = np.nan
        found.append(_Input(source, values, missing))
    return found


def _score_alone(each: _Input, target: CrossFit) -> float:
    """The score of a column by itself."""
    numbers, codes = np.unique(each.values, return_inverse=True)
    by_codes = each.values.shape[1] == 1 and REPEATED * len(numbers) <= len(codes)
    scores = [target.by_codes(codes.ravel())] if by_codes or each.source.kind == "categories" else [0.0]
    if each.source.kind != "categories" and target.classes <= MANY_CLASSES:
        scores.append(target.by_tree(each.values))
        if not target.classes and scores[-1] >= RANKED:
            scores.append(target.ranked.by_tree(each.values))
    return max(scores)


def _leaks_alone(inputs: Sequence[_Input], alone: Sequence[float], target: CrossFit) -> list[Leak]:
    """The columns that tell the target alone, or by being filled or not."""
    filled = [target.by_codes(each.missing.astype(np.int64)) if each.missing.any() else 0.0 for each in inputs]
    certain = [score >= ALONE or by_filled >= FILLED for score, by_filled in zip(alone, filled, strict=True)]
    leaks = []
    for i, each in enumerate(inputs):
        kind: LeakKind
        kind, score = ("date" if each.source.kind == "dates" else "alone", alone[i])
        if filled[i] >= FILLED:
            kind, score = "filled", filled[i]
        if not certain[i]:
            rivals = [other.values for j, other in enumerate(inputs) if j != i and not certain[j]]
            if not target.classes or score < WITHOUT_RIVALS or not rivals:
                continue
            if 1 - target.by_forest(np.column_stack(rivals)) < ERRORS * (1 - score):
                continue
        leaks.append(Leak(kind=kind, columns=(each.source.name,), score_name=target.score_name, score=score))
    return leaks


def in_words(leaks: Sequence[Leak], target: str) -> tuple[str, ...]:
    """A warning for each leak; beyond the first few, one for all others.

    Args:
        leaks: what `find_leaks` found.
        target: name of the target.
    """
    sentences = []
    for leak in leaks[:MOST_SENTENCES]:
        it, them = ("it is", "it") if len(leak.columns) == 1 else ("they are", "them")
        by_date = "" if leak.kind != "date" else "; if rows follow one another, name it in data.time"
        sentences.append(
            f"{tells(leak, target)}; if {it} known only after the target, list {them} in data.drop{by_date}"
        )
    if more := leaks[MOST_SENTENCES:]:
        others = ", ".join(repr(name) for leak in more for name in leak.columns)
        sentences.append(f"further columns that tell the target {target!r} alone: {others}")
    return tuple(sentences)


def tells(leak: Leak, target: str) -> str:
    """What tells the target, and its score.

    Args:
        leak: what was found.
        target: name of the target.
    """
    score = f"{SCORES[leak.score_name]} {leak.score:.3f} in {FOLDS} folds of training rows"
    names = [repr(name) for name in leak.columns[:MOST_TERMS]]
    terms = [f"{weight:.3g} x {name}" for weight, name in zip(leak.weights, names, strict=False)]
    powers = [f"{name}^{weight:.3g}" for weight, name in zip(leak.weights, names, strict=False)]
    more = [f"{len(leak.columns) - MOST_TERMS} more columns"] if len(leak.columns) > MOST_TERMS else []
    says = {
        "alone": f"column {names[0]} alone tells the target {target!r}",
        "date": f"column {names[0]} alone tells the target {target!r}",
        "filled": f"whether column {names[0]} is filled tells the target {target!r}",
        "difference": f"{' - '.join(names)} tells the target {target!r}",
        "ratio": f"{' / '.join(names)} tells the target {target!r}",
        "sum": f"the target {target!r} is {' + '.join(terms + more)}",
        "product": f"the target {target!r} is {' x '.join(powers + more)} times a constant",
    }
    return f"{says[leak.kind]} ({score})"
