"""Which row is validated by which model, in a cross-validation."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wellfit.data.raw import RawData
from wellfit.data.repeats import draw_parts
from wellfit.data.settings import DataConfig
from wellfit.errors import WellfitError

Rows = NDArray[np.int64]
UNVALIDATED = -1  # of the oldest rows, which nothing older could predict


def cut_folds(
    pool: Rows, first_equal: Rows, raw: RawData, data: DataConfig, *, by_rows: bool = False
) -> tuple[Rows, Rows]:
    """Cuts rows into ``data.folds`` folds, each of which validates the model that is trained on the others.

    Classes are spread evenly. Rows of one group stay in one fold, or else rows with equal x. With times, fold 0 has the
    newest rows, fold 1 those before, and so on; the model of a fold is trained on the rows that are older than its own,
    of which the oldest ones are in no fold (forward chaining, Hyndman and Athanasopoulos 2021, section 5.10). A row
    that equals a newer one of another fold is left out.

    Args:
        pool: numbers of the rows that are not test rows, rising.
        first_equal: for each row of the data set the number of the first row with equal x.
        raw: the data set.
        data: the number of folds and the seed.
        by_rows: whether folds have equal numbers of rows, as where many are equal, not of distinct rows.

    Returns:
        Numbers of rows, rising, and the fold of each, -1 of a row that is in none.

    Raises:
        WellfitError: too few rows, groups or times, or a fold without a class or with no row that counts.
    """
    assert data.folds is not None
    if raw.times is not None:
        fold = _by_time(raw.times[pool], data)
        age = np.where(fold == UNVALIDATED, data.folds, fold)
        _, unit = np.unique(first_equal[pool], return_inverse=True)
        newest = np.full(unit.max() + 1, age.max())
        np.minimum.at(newest, unit, age)
        kept = age == newest[unit]
        pool, fold = pool[kept], fold[kept]
    elif by_rows:
        y = raw.y[pool] if raw.class_names else None
        fold = draw_parts(first_equal[pool], y, [1 / data.folds] * data.folds, data.seed)
    else:
        units = (first_equal if raw.groups is None else raw.groups)[pool]
        fold = _drawn(pool, units, raw, data)
    for number in {*range(data.folds), *fold.tolist()}:
        _check(pool[fold == number], number, raw, data)
    return pool, fold


def _by_time(times: NDArray[np.float64], data: DataConfig) -> Rows:
    """The fold of each row; rows of one time are in one fold."""
    assert data.folds is not None
    chunks = data.folds + 1  # from the oldest, which is in no fold
    first = np.sort(times)[np.arange(1, chunks) * len(times) // chunks]
    chunk = np.searchsorted(first, times, side="right")
    if len(np.unique(chunk)) < chunks:
        raise WellfitError(
            f"data.folds {data.folds} by data.time {data.time}: {len(np.unique(times))} different values leave a fold "
            "without rows; lower data.folds, or split otherwise"
        )
    return np.where(chunk == 0, UNVALIDATED, data.folds - chunk).astype(np.int64)


def _drawn(pool: Rows, units: Rows, raw: RawData, data: DataConfig) -> Rows:
    """The fold of each row; rows of one unit are in one fold."""
    names, first, unit = np.unique(units, return_index=True, return_inverse=True)
    if data.folds is None or len(names) < data.folds:
        what = "groups" if data.group else "distinct rows"
        raise WellfitError(f"data.folds must be at most the number of {what}, {len(names)}, got {data.folds}")
    fold = np.zeros(len(names), np.int64)  # of each unit
    if raw.groups is None:
        for number, validated in enumerate(_splits(raw.y[pool[first]], None, raw, data)):
            fold[validated] = number
    else:
        for number, validated in enumerate(_splits(raw.y[pool], units, raw, data)):
            fold[unit[validated]] = number
    fold_of_row: Rows = fold[unit]
    return fold_of_row


def _splits(y: NDArray[Any], groups: Rows | None, raw: RawData, data: DataConfig) -> Iterator[Rows]:
    """The rows, of those with these targets, that each fold validates."""
    from sklearn import model_selection as sklearn

    stratified, grouped = bool(raw.class_names), groups is not None
    splitter = {
        (True, False): sklearn.StratifiedKFold,
        (False, False): sklearn.KFold,
        (True, True): sklearn.StratifiedGroupKFold,
        (False, True): sklearn.GroupKFold,
    }[stratified, grouped](data.folds, shuffle=True, random_state=data.seed)
    if stratified:
        _check_classes(y, raw, data)
    return (validated for _, validated in splitter.split(y, y, groups))


def _check_classes(y: NDArray[Any], raw: RawData, data: DataConfig) -> None:
    """Refuses a class that cannot stand in every fold."""
    counts = np.bincount(y.astype(np.int64), minlength=len(raw.class_names))
    rarest = int(counts.argmin())
    if data.folds is not None and counts[rarest] < data.folds:
        raise WellfitError(
            f"class {raw.class_names[rarest]!r} has {counts[rarest]} rows beside the test split, too few to stand in "
            f"each of {data.folds} folds; lower data.folds, or get more rows"
        )


def _check(rows: Rows, number: int, raw: RawData, data: DataConfig) -> None:
    """Refuses a fold without a class, or in which no row counts."""
    which = "the rows that are older than all folds" if number == UNVALIDATED else f"fold {number} of {data.folds}"
    missing = np.setdiff1d(np.arange(len(raw.class_names)), raw.y[rows] if raw.class_names else [])
    if missing.size:
        raise WellfitError(
            f"data.folds {data.folds}: {which} would have no rows of class {raw.class_names[missing[0]]!r}; lower "
            "data.folds, change data.seed, or set data.folds to null"
        )
    if raw.weights is not None and not raw.weights[rows].any():
        raise WellfitError(f"data.weight {data.weight}: all {len(rows)} rows of {which} weigh 0")
