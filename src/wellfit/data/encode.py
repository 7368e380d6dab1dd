"""Encodes tables as arrays: medians in place of missing numbers, a code for each category.

It computes what scikit-learn's SimpleImputer and OrdinalEncoder do. All that is learned of the training rows are the
`wellfit.data.meta.Column` entries of ``meta.json``, so that new rows need neither a pickle nor scikit-learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wellfit.data.meta import Column

if TYPE_CHECKING:
    import pandas as pd

    from wellfit.data.frame import SomeRows

MISSING = "(missing)"  # the category of missing cells
OTHER = -1  # code of categories that are absent or too rare in the training rows


def fit_columns(train: SomeRows, max_categories: int) -> tuple[Column, ...]:
    """Learns medians and categories.

    Args:
        train: the training rows: float64 columns, NaN where missing, and categoricals of texts.
        max_categories: how many categories of a column get a code of their own, the most frequent ones.

    Returns:
        The columns of numbers, in their order, then those of categories, in theirs.
    """
    import pandas as pd

    numbers, others = [], []
    for name in train.columns:
        cells = train[name]
        if isinstance(cells.dtype, pd.CategoricalDtype):
            kept = _most_frequent(cells, max_categories)
            others.append(Column(name=name, fill=None, flags_missing=False, categories=tuple(kept)))
        else:
            there = cells.dropna().to_numpy()
            fill = float(np.median(there)) if len(there) else 0.0
            numbers.append(Column(name=name, fill=fill, flags_missing=len(there) < len(cells), categories=()))
    return (*numbers, *others)


def encode(
    columns: Sequence[Column], rows: pd.DataFrame, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Rows of a table as an array.

    Args:
        columns: what `fit_columns` returned.
        rows: (n, ...) a table with these columns, and perhaps others.
        out: gets what is returned; None: a new array does.

    Returns:
        (n, columns) numbers with medians in place of missing ones, then 1.0 or 0.0 for each column that flags them,
        then the code of each category.
    """
    numbers = [column for column in columns if column.fill is not None]
    flagged = [column for column in numbers if column.flags_missing]
    others = [column for column in columns if column.fill is None]
    encoded = np.empty((len(rows), encoded_width(columns)), np.float32) if out is None else out
    # A column at a time, as a large table does not fit into memory twice.
    made: chain[NDArray[Any]] = chain(
        (_filled(column, rows[column.name]) for column in numbers),
        (rows[column.name].isna().to_numpy() for column in flagged),
        (_codes(column, rows[column.name]) for column in others),
    )
    for place, cells in zip(encoded.T, made, strict=True):
        place[:] = cells
    return encoded


def encoded_width(columns: Sequence[Column]) -> int:
    """The number of columns that `encode` makes."""
    return len(columns) + sum(column.flags_missing for column in columns)


def _filled(column: Column, cells: pd.Series[Any]) -> NDArray[np.float64]:
    """Numbers with the median in place of missing ones."""
    assert column.fill is not None
    values = cells.to_numpy(np.float64)
    return np.where(np.isnan(values), column.fill, values)


def _codes(column: Column, cells: pd.Series[Any]) -> NDArray[np.int64]:
    """The code of each cell of a categorical."""
    known = {category: code for code, category in enumerate(column.categories)}
    texts = [*cells.cat.categories, MISSING]  # the code of missing cells is -1, the last
    codes: NDArray[np.int64] = np.array([known.get(text, OTHER) for text in texts])[cells.cat.codes]
    return codes


def _most_frequent(column: pd.Series[Any], limit: int) -> list[str]:
    """The most frequent categories, missing cells being one, sorted by name; of equally frequent ones the first."""
    counts = column.astype(object).fillna(MISSING).value_counts()
    counts = counts.sort_index()
    return sorted(counts.sort_values(ascending=False, kind="stable").index[:limit])
