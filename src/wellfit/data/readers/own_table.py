"""The user's own table: which column is what, and whether it can be learned from."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wellfit.data.raw import Entry, RawData
from wellfit.data.readers.columns import Columns
from wellfit.data.readers.feature_checks import check_features
from wellfit.data.readers.tables import FIRST_ROW, check_file, read_csv, read_parquet
from wellfit.data.store import file_sha256
from wellfit.data.target import check_targets
from wellfit.errors import WellfitError

if TYPE_CHECKING:
    from wellfit.data.settings import DataConfig

MAX_CLASSES = 20  # a target of whole numbers with more values than that is a regression
LONGEST_ID = 200  # characters: every id takes the memory of the longest
SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
LISTS = ("numeric", "categorical", "drop")
ROLES = ("target", "id", "weight", "group", "time")


def describe_file(path: Path) -> dict[str, Any]:
    """Checks that the file is there, and says its size and sha256, for ``source.json``."""
    check_file(path)
    return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}


def read_own_csv(_entry: Entry, _folder: Path, data: DataConfig) -> RawData:
    """Reads the CSV file at ``data.path``; see `read_own_parquet`."""
    path = Path(data.path)
    return _assign_columns(Columns(read_csv(path, SEPARATORS[data.separator]), data, path, FIRST_ROW), data, path)


def read_own_parquet(_entry: Entry, _folder: Path, data: DataConfig) -> RawData:
    """Reads the Parquet file at ``data.path`` and gives each column its role.

    Args:
        data: the section ``data``; ``target`` is set.

    Raises:
        WellfitError: the file, a column or a row is not as it must be.
    """
    path = Path(data.path)
    return _assign_columns(Columns(read_parquet(path), data, path, first_row=1), data, path)


def _assign_columns(columns: Columns, data: DataConfig, path: Path) -> RawData:
    import pandas as pd

    _check_columns(columns.names, data, path)
    if not len(columns):
        raise WellfitError(f"{path} has a header and no rows")
    target = str(data.target)
    y, class_names = _target(columns, target, data, path)
    ids = _ids(columns, data.id) if data.id else None
    weights = _weights(columns, data.weight) if data.weight else None
    groups = _groups(columns, data.group) if data.group else None
    times = _times(columns, data.time) if data.time else None
    taken = {target, data.id, data.weight, data.group, data.time, *data.drop}
    features = pd.DataFrame({name: columns.feature(name) for name in columns.names if name not in taken})
    features, warnings = check_features(features, y, data, path)
    return RawData(
        features, y, class_names, target, ids=ids, weights=weights, groups=groups, times=times, warnings=warnings
    )


def _check_columns(names: Sequence[str], data: DataConfig, path: Path) -> None:
    named = [(f"data.{role}", getattr(data, role)) for role in ROLES if getattr(data, role)]
    named += [(f"data.{key}", name) for key in LISTS for name in getattr(data, key)]
    for key, name in named:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(names[:20])}"
            if data.name == "csv" and len(names) == 1:
                hint = f"its only one is {names[0]!r}: is data.separator right?"
            raise WellfitError(f"{key}: {path} has no column {name!r}; {hint} (params.yaml)")


def _target(columns: Columns, name: str, data: DataConfig, path: Path) -> tuple[NDArray[Any], tuple[str, ...]]:
    """What is to be predicted: int64 (n,) class indices with their names, or float64 (n,) numbers without."""
    columns.complete(name, f"data.target {name!r}")
    if _is_classification(columns, name, data):
        labels = columns.categories(name)
        names = sorted(map(str, labels.categories), key=_as_number_or_text)
        if len(names) < 2:
            raise WellfitError(f"{path} column {name!r}: the target has one class only, {names[0]!r} in every row")
        if len(names) > max(MAX_CLASSES, len(labels) / 2):
            raise WellfitError(
                f"{path} column {name!r}: the target has {len(names):,} classes in {len(labels):,} rows; name another "
                "column in data.target, or set data.task regression (params.yaml)"
            )
        return labels.set_categories(names).codes.astype(np.int64), tuple(names)
    y = columns.numbers(name)
    if np.isnan(y).any():
        raise WellfitError(
            f"{columns.row(np.flatnonzero(np.isnan(y))[0])}, column {name!r}: the target must be a number"
        )
    if np.ptp(y) == 0:
        raise WellfitError(f"{path} column {name!r}: the target is {y[0]:g} in every row")
    check_targets(data.target_transform, y, columns.row, name)
    return y, ()


def _is_classification(columns: Columns, name: str, data: DataConfig) -> bool:
    if data.task != "auto":
        return data.task == "classification"
    import pandas as pd

    target = columns.feature(name)
    if isinstance(target.dtype, pd.CategoricalDtype):
        return True
    values = np.unique(target.to_numpy())
    return len(values) <= MAX_CLASSES and bool((values == np.round(values)).all())


def _ids(columns: Columns, name: str) -> NDArray[Any]:
    from pyarrow import types

    cells = columns.complete(name, f"data.id {name!r}")
    if types.is_integer(cells.type):
        ids: NDArray[Any] = cells.to_numpy().astype(np.int64)
        return ids
    texts = cells.cast("string").to_pylist()
    too_long = next((index for index, text in enumerate(texts) if len(text) > LONGEST_ID), None)
    if too_long is not None:
        raise WellfitError(
            f"{columns.row(too_long)}, data.id {name!r}: must have at most {LONGEST_ID} characters, got "
            f"{len(texts[too_long])}"
        )
    return np.array(texts, dtype=np.str_)


def _weights(columns: Columns, name: str) -> NDArray[np.float32]:
    columns.complete(name, f"data.weight {name!r}")
    weights = columns.numbers(name)
    wrong = np.flatnonzero(~(weights >= 0))
    if wrong.size:
        raise WellfitError(f"{columns.row(wrong[0])}, data.weight {name!r}: must be >= 0, got {weights[wrong[0]]:g}")
    return weights.astype(np.float32)


def _groups(columns: Columns, name: str) -> NDArray[np.int64]:
    columns.complete(name, f"data.group {name!r}")
    return columns.categories(name).codes.astype(np.int64)


def _times(columns: Columns, name: str) -> NDArray[np.float64]:
    """The time of each row, as numbers that rise with it."""
    import pandas as pd
    from pyarrow import types

    column = columns.complete(name, f"data.time {name!r}")
    is_text = types.is_string(column.type)
    if not (is_text or types.is_timestamp(column.type) or types.is_date(column.type)):
        return columns.numbers(name)
    cells = column.to_pandas()
    numbers = pd.to_numeric(cells, errors="coerce") if is_text else pd.Series(np.nan, cells.index)
    if not numbers.isna().any():
        return np.asarray(numbers, np.float64)
    dates = pd.to_datetime(cells, errors="coerce", format="ISO8601" if is_text else None, utc=True)
    if dates.isna().any():
        neither = np.flatnonzero(dates.isna() & numbers.isna())
        index = neither[0] if neither.size else np.flatnonzero(dates.isna())[0]
        raise WellfitError(
            f"{columns.row(index)}, data.time {name!r}: must be a number or a date such as 2024-05-31, got "
            f"{cells[index]!r}"
        )
    return np.asarray(dates.astype("datetime64[us, UTC]").astype(np.int64), np.float64)


def _as_number_or_text(text: str) -> tuple[bool, float, str]:
    """A sort key: numbers by value, then texts."""
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text
