"""Encodes tables as arrays with a scikit-learn ColumnTransformer fitted on the training rows only.

The transformer is stored as the `wellfit.data.store.Column` entries of ``meta.json`` instead of a pickle: all that it
has learned is a median for each column of numbers and a list of categories for each other one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wellfit.data.store import Column

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.compose import ColumnTransformer

MISSING = "(missing)"  # the category of missing cells
OTHER = -1  # code of categories that are absent or too rare in the training rows


def fit_columns(train: pd.DataFrame, max_categories: int) -> tuple[Column, ...]:
    """Learns medians and categories.

    Args:
        train: the training rows: float64 columns, NaN where missing, and categoricals of texts.
        max_categories: how many categories of a column get a code of their own, the most frequent ones.

    Returns:
        The columns of numbers, in their order, then those of categories, in theirs.
    """
    import pandas as pd

    texts = [name for name in train.columns if isinstance(train[name].dtype, pd.CategoricalDtype)]
    numbers = [name for name in train.columns if name not in texts]
    kept = [_most_frequent(train[name], max_categories) for name in texts]
    fitted = _transformer(numbers, texts, kept).fit(train).named_transformers_
    columns = []
    if numbers:
        imputer = fitted["numbers"]
        flagged = set(imputer.indicator_.features_.tolist())
        for i, (name, median) in enumerate(zip(numbers, imputer.statistics_.tolist(), strict=True)):
            columns.append(Column(name=name, fill=median, flags_missing=i in flagged, categories=()))
    if texts:
        for name, found in zip(texts, fitted["categories"]["encode"].categories_, strict=True):
            columns.append(Column(name=name, fill=None, flags_missing=False, categories=tuple(found.tolist())))
    return tuple(columns)


def restore(columns: Sequence[Column]) -> ColumnTransformer:
    """The ColumnTransformer that `fit_columns` has fitted; its ``transform`` takes raw rows as a DataFrame.

    It is fitted again on two rows that hold the medians to learn and the gaps to flag.

    Args:
        columns: of a `wellfit.data.store.Meta`.
    """
    import pandas as pd

    numbers = [column for column in columns if column.fill is not None]
    texts = [column for column in columns if column.fill is None]
    rows: dict[str, Any] = {c.name: [c.fill, np.nan if c.flags_missing else c.fill] for c in numbers}
    rows |= {c.name: pd.Categorical([c.categories[0]] * 2) for c in texts}
    transformer = _transformer([c.name for c in numbers], [c.name for c in texts], [list(c.categories) for c in texts])
    return transformer.fit(pd.DataFrame(rows))


def encode(columns: Sequence[Column], rows: pd.DataFrame) -> NDArray[np.float32]:
    """Rows of a table as an array.

    Args:
        columns: what `fit_columns` returned.
        rows: (n, ...) a table with these columns, and perhaps others.

    Returns:
        (n, columns) numbers with medians in place of missing ones, then 1.0 or 0.0 for each column that flags them,
        then the code of each category.
    """
    wanted = rows[[column.name for column in columns]]
    encoded: NDArray[np.float32] = np.asarray(restore(columns).transform(wanted), dtype=np.float32)
    return encoded


def _transformer(numbers: list[str], texts: list[str], categories: list[list[str]]) -> ColumnTransformer:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OrdinalEncoder

    fill = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    name_missing = SimpleImputer(strategy="constant", fill_value=MISSING, keep_empty_features=True)
    number = OrdinalEncoder(categories=categories, handle_unknown="use_encoded_value", unknown_value=OTHER)
    return ColumnTransformer(
        [
            ("numbers", fill, numbers),
            ("categories", Pipeline([("name_missing", name_missing), ("encode", number)]), texts),
        ]
    )


def _most_frequent(column: pd.Series[Any], limit: int) -> list[str]:
    """The most frequent categories, missing cells being one, sorted by name; of equally frequent ones the first."""
    counts = column.astype(object).fillna(MISSING).value_counts()
    counts = counts.sort_index()
    return sorted(counts.sort_values(ascending=False, kind="stable").index[:limit])
