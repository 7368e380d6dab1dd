"""The user's own table: which column is what, and whether it can be learned from."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wellfit.data.dates import ISO, find_formats, parse
from wellfit.data.frame import frame_of
from wellfit.data.meta import Source
from wellfit.data.raw import Entry, RawData
from wellfit.data.readers.columns import Columns, refuse_together
from wellfit.data.readers.csv_shape import SEPARATORS, Wanted
from wellfit.data.readers.feature_checks import check_features
from wellfit.data.readers.kinds import check_decimals, infer_source
from wellfit.data.readers.numerals import Decimal, find_spelling, spelled
from wellfit.data.readers.row_labels import without_row_labels
from wellfit.data.readers.tables import find_files, read_table
from wellfit.data.readers.target import read_target
from wellfit.data.scratch import memory_budget
from wellfit.errors import WellfitError
from wellfit.manifest import file_sha256

if TYPE_CHECKING:
    from wellfit.data.frame import Frame
    from wellfit.data.settings import DataConfig

LONGEST_ID = 200  # characters: every id takes the memory of the longest
LISTS = ("numeric", "categorical", "drop")
ROLES = ("target", "id", "weight", "group", "time")


def describe_csv(data: DataConfig) -> dict[str, Any]:
    """Checks that CSV files are there, and says their size and sha256, for ``source.json``."""
    return _describe(Path(data.path), "csv")


def describe_parquet(data: DataConfig) -> dict[str, Any]:
    """The same for Parquet files."""
    return _describe(Path(data.path), "parquet")


def _describe(path: Path, kind: str) -> dict[str, Any]:
    files = find_files(path, kind, Wanted())
    described = {str(file): {"bytes": file.stat().st_size, "sha256": file_sha256(file)} for file in files}
    return described[str(path)] if files == [path] else {"files": described}


def wanted_by(data: DataConfig) -> Wanted:
    """What the section ``data`` says of the files."""
    return Wanted(SEPARATORS[data.separator], data.encoding)


def read_own_table(_entry: Entry, _folder: Path, data: DataConfig) -> RawData:
    """Reads the CSV or Parquet files at ``data.path`` and gives each column its role.

    Args:
        data: the section ``data``; ``target`` is set.

    Raises:
        WellfitError: a file, a column or a row is not as it must be.
    """
    path = Path(data.path)
    whole = read_table(path, data.name, wanted_by(data), memory_budget(data.memory))
    table, warnings = without_row_labels(whole, {name for _, name in _named(data)})
    # Where commas do not separate cells, they may be decimal marks.
    found = next((name for name, mark in SEPARATORS.items() if mark == whole.separator), data.separator)
    data = data.model_copy(update={"separator": found})
    roles = [getattr(data, role) for role in ROLES]
    columns = Columns(table, data.missing, path, 1, whole.files, roles, data.max_categories)
    raw = _assign_columns(columns, data, path)
    return raw._replace(warnings=(*whole.notes, *warnings, *raw.warnings))


def _assign_columns(columns: Columns, data: DataConfig, path: Path) -> RawData:
    _check_columns(columns.names, data, path)
    if not len(columns):
        raise WellfitError(f"{path} has a header and no rows")
    _check_types(columns, data)
    target = read_target(columns, str(data.target), data)
    ids = _ids(columns, data.id) if data.id else None
    weights = _weights(columns, data.weight, data.decimal) if data.weight else None
    groups = _groups(columns, data.group) if data.group else None
    times = _times(columns, data.time, data) if data.time else None
    taken = {data.target, data.id, data.weight, data.group, data.time, *data.drop}
    sources, features = _read_inputs(columns, [name for name in columns.names if name not in taken], data)
    check_decimals(columns, [target.source, *sources], data)
    texts = [source.name for source in sources if source.name not in features.columns]
    later = [source.name for source in sources if source.kind in ("dates", "text")]
    features, warnings = check_features(features, target.y, data, path, later)
    if texts:
        what = f"names or free text in {', '.join(map(repr, texts))}"
        warnings = (f"{what}: left out (data.text: hash counts words instead; data.id may name a row)", *warnings)
    return RawData(
        features,
        target.y,
        target.class_names,
        str(data.target),
        ids=ids,
        weights=weights,
        groups=groups,
        times=times,
        warnings=target.warnings + warnings,
        sources=tuple(source for source in sources if source.name in features.columns),
        left_out=tuple(source.name for source in sources if source.name not in features.columns),
        files=columns.files,
    )


def _read_inputs(columns: Columns, names: Sequence[str], data: DataConfig) -> tuple[list[Source], Frame]:
    """What these columns hold, and their cells, but for text that is dropped; all faults are refused together."""
    sources: list[Source] = []
    faults: list[str] = []

    def cells() -> Iterator[tuple[str, Any]]:
        for name in names:
            try:
                source = infer_source(columns, name, data)
                if source.kind != "text" or data.text != "drop":
                    yield name, columns.read(source)
                sources.append(source)
            except WellfitError as fault:
                faults.append(str(fault))

    features = frame_of(cells(), len(columns), len(names), memory_budget(data.memory))
    refuse_together(columns.path, faults)
    return sources, features


def _named(data: DataConfig) -> list[tuple[str, str]]:
    """The keys that name columns, each with one."""
    named = [(f"data.{role}", getattr(data, role)) for role in ROLES if getattr(data, role)]
    return named + [(f"data.{key}", name) for key in LISTS for name in getattr(data, key)]


def _check_columns(names: Sequence[str], data: DataConfig, path: Path) -> None:
    for key, name in _named(data):
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(names[:20])}"
            raise WellfitError(f"{key}: {path} has no column {name!r}; {hint} (params.yaml)")


def _check_types(columns: Columns, data: DataConfig) -> None:
    """Refuses lists, structures and bytes in a column that has a role."""
    from pyarrow import types

    for role in ROLES:
        name = getattr(data, role)
        kind = name and columns.cells(name).type
        if name and (types.is_nested(kind) or types.is_binary(kind) or types.is_large_binary(kind)):
            way_out = "name another column" if role == "target" else "name another column, or set it to null"
            raise WellfitError(
                f"{columns.path} column {name!r}: {kind} is neither numbers nor text; in data.{role}, {way_out} "
                "(params.yaml)"
            )


def _ids(columns: Columns, name: str) -> NDArray[Any]:
    from pyarrow import types

    cells = columns.complete(name, f"data.id {name!r}")
    if types.is_integer(cells.type):
        numbers: NDArray[Any] = cells.to_numpy()
        return numbers.astype(np.int64 if numbers.max(initial=0) <= np.iinfo(np.int64).max else np.uint64)
    texts = cells.cast("string").to_pylist()
    too_long = next((index for index, text in enumerate(texts) if len(text) > LONGEST_ID), None)
    if too_long is not None:
        raise WellfitError(
            f"{columns.row(too_long)}, data.id {name!r}: must have at most {LONGEST_ID} characters, got "
            f"{len(texts[too_long])}"
        )
    return np.array(texts, dtype=np.str_)


def _weights(columns: Columns, name: str, decimal: Decimal) -> NDArray[np.float32]:
    columns.complete(name, f"data.weight {name!r}")
    weights = columns.numbers(name, decimal)
    wrong = np.flatnonzero(~(weights >= 0))
    if wrong.size:
        raise WellfitError(f"{columns.row(wrong[0])}, data.weight {name!r}: must be >= 0, got {weights[wrong[0]]:g}")
    return weights.astype(np.float32)


def _groups(columns: Columns, name: str) -> NDArray[np.int64]:
    columns.complete(name, f"data.group {name!r}")
    return columns.categories(name).codes.astype(np.int64)


def _times(columns: Columns, name: str, data: DataConfig) -> NDArray[np.float64]:
    """The time of each row, as numbers that rise with it."""
    import pandas as pd
    import pyarrow.compute as pc
    from pyarrow import types

    cells = columns.complete(name, f"data.time {name!r}")
    formats: tuple[str, ...] = (ISO,)
    if types.is_string(cells.type):
        spelling, share = find_spelling(cells, data.decimal)
        if share == 1:
            return columns.numbers(name, spelling)
        if share > 0.5:
            index = pc.index(spelled(cells, spelling), False).as_py()
            raise WellfitError(
                f"{columns.row(index)}, data.time {name!r}: must be a number or a date such as 2024-05-31, got "
                f"{cells[index].as_py()!r}"
            )
        formats = find_formats(
            cells.unique().to_pylist(),
            data.day_first,
            lambda text: columns.place(name, text),
            lambda _: "mend it, or take its rows out",
        )
    elif not (types.is_timestamp(cells.type) or types.is_date(cells.type)):
        return columns.numbers(name, data.decimal)
    dates = columns.categories(name)
    seconds = np.asarray((parse(dates.categories, formats) - pd.Timestamp(0)).total_seconds(), np.float64)
    times: NDArray[np.float64] = seconds[dates.codes]
    return times
