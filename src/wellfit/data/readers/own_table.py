"""The user's own table: which column is what, and whether it can be learned from."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.data.raw import Entry, RawData
from wellfit.data.readers.columns import Reader, categories
from wellfit.data.readers.feature_checks import check_features
from wellfit.data.readers.tables import FIRST_ROW, check_file, read_csv, read_parquet
from wellfit.data.store import file_sha256
from wellfit.errors import WellfitError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from wellfit.data.settings import DataConfig

MAX_CLASSES = 20  # a target of whole numbers with more values than that is a regression
LONGEST_ID = 200  # characters: every id takes the memory of the longest
SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
LISTS = ("numeric", "categorical", "drop")
ROLES = ("target", "id", "weight", "group", "time")


class Target(NamedTuple):
    """What is to be predicted: int64 (n,) class indices with their names, or float64 (n,) numbers without."""

    y: NDArray[Any]
    class_names: tuple[str, ...]


def describe_file(path: Path) -> dict[str, Any]:
    """Checks that the file is there, and says its size and sha256, for ``source.json``."""
    check_file(path)
    return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}


def read_own_csv(_entry: Entry, _folder: Path, data: DataConfig) -> RawData:
    """Reads the CSV file at ``data.path``; see `read_own_parquet`."""
    path = Path(data.path)
    table = read_csv(path, SEPARATORS[data.separator])
    return _assign_columns(table, data, path, first_row=FIRST_ROW)


def read_own_parquet(_entry: Entry, _folder: Path, data: DataConfig) -> RawData:
    """Reads the Parquet file at ``data.path`` and gives each column its role.

    Args:
        data: the section ``data``; ``target`` is set.

    Raises:
        WellfitError: the file, a column or a row is not as it must be.
    """
    path = Path(data.path)
    return _assign_columns(read_parquet(path), data, path, first_row=1)


def _assign_columns(table: pa.Table, data: DataConfig, path: Path, first_row: int) -> RawData:
    _check_columns(table.column_names, data, path)
    if table.num_rows == 0:
        raise WellfitError(f"{path} has a header and no rows")
    reader = Reader(data, path, first_row)
    roles = {role: name for role in ROLES if (name := getattr(data, role))}
    target = _target(reader, table.column(roles["target"]), data, path)
    ids = _ids(reader, table.column(roles["id"]), roles["id"]) if "id" in roles else None
    weights = _weights(reader, table.column(roles["weight"]), roles["weight"]) if "weight" in roles else None
    groups = _groups(reader, table.column(roles["group"]), roles["group"]) if "group" in roles else None
    times = _times(reader, table.column(roles["time"]), roles["time"]) if "time" in roles else None
    features, warnings = check_features(_features(reader, table, {*roles.values(), *data.drop}), target.y, data, path)
    return RawData(
        x=features,
        y=target.y,
        class_names=target.class_names,
        target_name=roles["target"],
        ids=ids,
        weights=weights,
        groups=groups,
        times=times,
        warnings=warnings,
    )


def _features(reader: Reader, table: pa.Table, taken: set[str]) -> pd.DataFrame:
    """Every column without another role, in the file's order."""
    import pandas as pd

    names = [name for name in table.column_names if name not in taken]
    return pd.DataFrame({name: reader.feature(table.column(name), name) for name in names})


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


def _target(reader: Reader, column: pa.ChunkedArray, data: DataConfig, path: Path) -> Target:
    name = str(data.target)
    column = reader.known(column)
    _refuse_missing(reader, column, f"data.target {name!r}")
    if _is_classification(reader, column, data):
        labels = categories(column)
        names = sorted(map(str, labels.categories), key=_as_number_or_text)
        if len(names) < 2:
            raise WellfitError(f"{path} column {name!r}: the target has one class only, {names[0]!r} in every row")
        if len(names) > max(MAX_CLASSES, len(labels) / 2):
            raise WellfitError(
                f"{path} column {name!r}: the target has {len(names):,} classes in {len(labels):,} rows; name another "
                "column in data.target, or set data.task regression (params.yaml)"
            )
        index_of = {text: index for index, text in enumerate(names)}
        order = np.array([index_of[str(text)] for text in labels.categories])
        return Target(order[labels.codes].astype(np.int64), tuple(names))
    y = reader.numbers(column, name)
    if np.isnan(y).any():
        raise WellfitError(
            f"{reader.row(np.flatnonzero(np.isnan(y))[0])}, column {name!r}: the target must be a number"
        )
    if np.ptp(y) == 0:
        raise WellfitError(f"{path} column {name!r}: the target is {y[0]:g} in every row")
    return Target(y, ())


def _is_classification(reader: Reader, column: pa.ChunkedArray, data: DataConfig) -> bool:
    if data.task != "auto":
        return data.task == "classification"
    import pandas as pd

    series = reader.feature(column, str(data.target))
    if isinstance(series.dtype, pd.CategoricalDtype):
        return True
    values = np.unique(series.to_numpy())
    return len(values) <= MAX_CLASSES and bool((values == np.round(values)).all())


def _ids(reader: Reader, column: pa.ChunkedArray, name: str) -> NDArray[Any]:
    from pyarrow import types

    column = reader.known(column)
    _refuse_missing(reader, column, f"data.id {name!r}")
    if types.is_integer(column.type):
        ids: NDArray[Any] = column.to_numpy().astype(np.int64)
        return ids
    texts = column.cast("string").to_pylist()
    too_long = next((index for index, text in enumerate(texts) if len(text) > LONGEST_ID), None)
    if too_long is not None:
        raise WellfitError(
            f"{reader.row(too_long)}, data.id {name!r}: must have at most {LONGEST_ID} characters, got "
            f"{len(texts[too_long])}"
        )
    return np.array(texts, dtype=np.str_)


def _weights(reader: Reader, column: pa.ChunkedArray, name: str) -> NDArray[np.float32]:
    column = reader.known(column)
    _refuse_missing(reader, column, f"data.weight {name!r}")
    weights = reader.numbers(column, name)
    wrong = np.flatnonzero(~(weights >= 0))
    if wrong.size:
        raise WellfitError(f"{reader.row(wrong[0])}, data.weight {name!r}: must be >= 0, got {weights[wrong[0]]:g}")
    return weights.astype(np.float32)


def _groups(reader: Reader, column: pa.ChunkedArray, name: str) -> NDArray[np.int64]:
    column = reader.known(column)
    _refuse_missing(reader, column, f"data.group {name!r}")
    return categories(column).codes.astype(np.int64)


def _times(reader: Reader, column: pa.ChunkedArray, name: str) -> NDArray[np.float64]:
    """The time of each row, as numbers that rise with it."""
    import pandas as pd
    from pyarrow import types

    column = reader.known(column)
    _refuse_missing(reader, column, f"data.time {name!r}")
    is_text = types.is_string(column.type)
    if not (is_text or types.is_timestamp(column.type) or types.is_date(column.type)):
        return reader.numbers(column, name)
    cells = column.to_pandas()
    numbers = pd.to_numeric(cells, errors="coerce") if is_text else pd.Series(np.nan, cells.index)
    if not numbers.isna().any():
        return np.asarray(numbers, np.float64)
    dates = pd.to_datetime(cells, errors="coerce", format="ISO8601" if is_text else None, utc=True)
    if dates.isna().any():
        neither = np.flatnonzero(dates.isna() & numbers.isna())
        index = neither[0] if neither.size else np.flatnonzero(dates.isna())[0]
        raise WellfitError(
            f"{reader.row(index)}, data.time {name!r}: must be a number or a date such as 2024-05-31, got "
            f"{cells[index]!r}"
        )
    return np.asarray(dates.astype("datetime64[us, UTC]").astype(np.int64), np.float64)


def _refuse_missing(reader: Reader, column: pa.ChunkedArray, what: str) -> None:
    if column.null_count:
        import pyarrow.compute as pc

        first = pc.index(column.is_null(), True).as_py()
        raise WellfitError(
            f"{reader.row(first)}: {what} is missing, as in {column.null_count} rows in all; fill it in, or take these "
            "rows out"
        )


def _as_number_or_text(text: str) -> tuple[bool, float, str]:
    """A sort key: numbers by value, then texts."""
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text
