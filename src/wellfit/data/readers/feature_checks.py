"""Checks for columns that a network should not learn from: constants, names of rows, and copies of the target."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wellfit.errors import WellfitError

if TYPE_CHECKING:
    import pandas as pd

    from wellfit.data.settings import DataConfig

COARSE = 0.01  # of a standard deviation: coarser steps of float32 lose what distinguishes the rows
SAME_UP_TO = 1e-9  # 1 - |correlation| below which one column is a linear function of the other


def check_features(
    features: pd.DataFrame, y: NDArray[Any], data: DataConfig, path: Path, later: Collection[str] = ()
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Leaves out constant columns, with a warning, and refuses copies of the target and names of rows.

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
    import pandas as pd

    warnings, constant = [], []
    for name in features.columns:
        column = features[name]
        distinct = column.nunique()
        if distinct < 2 and not (distinct == 1 and column.hasnans):
            constant.append(name)
            what = "is missing in every row" if distinct == 0 else f"is {column.iloc[0]!s} in every row"
            warnings.append(f"column {name!r} {what} and is left out")
        elif name in later:
            continue
        elif isinstance(column.dtype, pd.CategoricalDtype):
            warnings += _check_categories(column, distinct, data, path)
        elif 0 < COARSE * column.std() < np.spacing(np.float32(column.abs().max())):
            warnings.append(
                f"column {name!r} has values up to {column.abs().max():g}, of which float32 keeps too few digits to "
                "tell them apart; subtract a constant from them"
            )
        if name not in constant and _copies_target(column, distinct, y):
            raise WellfitError(
                f"{path} column {name!r}: tells the target {data.target!r} exactly, so nothing would be learned from "
                "the others; list it in data.drop (params.yaml)"
            )
    if len(constant) == features.shape[1]:
        raise WellfitError(f"{path} has no column to learn from besides the target {data.target!r}")
    return features.drop(columns=constant), tuple(warnings)


def _check_categories(column: pd.Series[Any], distinct: int, data: DataConfig, path: Path) -> list[str]:
    if distinct <= data.max_categories:
        return []
    if distinct > len(column) / 2:
        raise WellfitError(
            f"{path} column {column.name!r}: has {distinct:,} categories in {len(column):,} rows, as names and "
            "free text have; list it in data.drop, or name it in data.id (params.yaml)"
        )
    return [
        f"column {column.name!r} has {distinct:,} categories: the {data.max_categories} most frequent of the training "
        "rows are told apart (data.max_categories), all others count as one"
    ]


def _copies_target(column: pd.Series[Any], distinct: int, y: NDArray[Any]) -> bool:
    """Whether a column and the target determine each other: one to one, or, for numbers, linearly."""
    if column.hasnans:
        return False
    if y.dtype.kind == "f":
        if column.dtype.kind != "f":
            return False
        correlation = np.corrcoef(column.to_numpy(), y.astype(np.float64))[0, 1]
        return bool(1 - abs(correlation) < SAME_UP_TO)
    classes = int(y.max()) + 1
    if distinct != classes:
        return False
    codes = column.astype("category").cat.codes.to_numpy()
    return len(np.unique(codes.astype(np.int64) * classes + y)) == classes
