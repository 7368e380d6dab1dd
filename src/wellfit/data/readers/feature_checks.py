"""Checks for columns that a network should not learn from: constants, names of rows, and copies of the target."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wellfit.data.frame import without
from wellfit.data.readers.codes import has_name_of_rows, number_the_rows
from wellfit.data.readers.columns import most_categories, refuse_together
from wellfit.errors import WellfitError

if TYPE_CHECKING:
    import pandas as pd

    from wellfit.data.frame import Frame
    from wellfit.data.settings import DataConfig

COARSE = 0.01  # of a standard deviation: coarser steps of float32 lose what distinguishes the rows
SAMPLE = 1000  # rows that show that a column has more values than there are classes
SAME_UP_TO = 1e-9  # 1 - |correlation| below which one column is a linear function of the other


def check_features(
    features: Frame, y: NDArray[Any], data: DataConfig, path: Path, later: Collection[str] = ()
) -> tuple[Frame, tuple[str, ...]]:
    """Leaves out constant columns and those that number the rows, with warnings, and refuses copies of the target.

    Args:
        features: numbers and categoricals, as `wellfit.data.raw.RawData` has them.
        y: (n,) class indices or numbers.
        data: the section ``data``.
        path: of the file, for messages.
        later: columns of dates and text, of which numbers are made after the split.

    Returns:
        The remaining columns, and the warnings, one sentence each.

    Raises:
        WellfitError: a column copies the target or has a category of its own for most rows, or none is left.
    """
    left_out = {name: what for name in features.columns if (what := _says_nothing(features[name]))}
    numbers = [name for name in features.columns if features[name].dtype.kind == "f" and name not in left_out]
    rows = {name: what for name in numbers if name not in data.numeric and (what := number_the_rows(features[name]))}
    if len(left_out) + len(rows) == len(features.columns):  # then a count may be what is to be learned from
        rows = {name: what for name, what in rows.items() if has_name_of_rows(name)}
    if rows:
        left_out |= {
            name: f"{what}, and is left out; list it in data.numeric to keep it" for name, what in rows.items()
        }
    warnings = [f"column {name!r} {what}" for name, what in left_out.items()]
    if len(left_out) == len(features.columns):
        told = "".join(f"; column {name!r} {what}" for name, what in rows.items())
        raise WellfitError(f"{path} has no column to learn from besides the target {data.target!r}{told}")
    features = without(features, list(left_out))
    faults = []
    for name in (name for name in features.columns if name not in later):
        column = features[name]
        if fault := _fault(column, y, data):
            faults.append(f"{path} column {name!r}: {fault}")
        elif warning := _warning(column, data):
            warnings.append(f"column {name!r} has {warning}")
    refuse_together(path, faults)
    return features, tuple(warnings)


def _says_nothing(column: pd.Series[Any]) -> str:
    """What is told of a constant column; empty: it is none."""
    values = column.to_numpy() if column.dtype.kind == "f" else column.cat.codes.to_numpy()
    if column.isna().all():
        return "is missing in every row and is left out"
    if (values != values[0]).any():
        return ""
    value = column.iloc[0]
    return f"is {value if isinstance(value, str) else f'{value:.10g}'} in every row and is left out"


def _fault(column: pd.Series[Any], y: NDArray[Any], data: DataConfig) -> str:
    distinct = column.nunique() if column.dtype.kind != "f" else 0
    if distinct > most_categories(len(column), data.max_categories):
        return (
            f"has {distinct:,} categories in {len(column):,} rows, as names and free text have; list it in data.drop, "
            "or name it in data.id (params.yaml)"
        )
    if _copies_target(column, y):
        return (
            f"tells the target {data.target!r} exactly, so nothing would be learned from the others; list it in "
            "data.drop (params.yaml)"
        )
    return ""


def _warning(column: pd.Series[Any], data: DataConfig) -> str:
    if column.dtype.kind == "f":
        highest = column.abs().max()
        if not 0 < COARSE * column.std() < np.spacing(np.float32(highest)):
            return ""
        return (
            f"values up to {highest:g}, of which float32 keeps too few digits to tell them apart; subtract a constant "
            "from them"
        )
    distinct = column.nunique()
    if distinct <= data.max_categories:
        return ""
    return (
        f"{distinct:,} categories: the {data.max_categories} most frequent of the training rows are told apart "
        "(data.max_categories), all others count as one"
    )


def _copies_target(column: pd.Series[Any], y: NDArray[Any]) -> bool:
    """Whether a column and the target determine each other: one to one, or, for numbers, linearly."""
    if column.hasnans:
        return False
    if y.dtype.kind == "f":
        if column.dtype.kind != "f":
            return False
        correlation = np.corrcoef(column.to_numpy(), y.astype(np.float64))[0, 1]
        return bool(1 - abs(correlation) < SAME_UP_TO)
    classes = int(y.max()) + 1
    if column.iloc[: SAMPLE + classes].nunique() > classes or column.nunique() != classes:
        return False
    codes = column.astype("category").cat.codes.to_numpy()
    return len(np.unique(codes.astype(np.int64) * classes + y)) == classes
