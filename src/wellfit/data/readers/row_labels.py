"""Columns that name or number the rows of a table, and are no data: what pandas and R write before the first column."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from wellfit.data.readers.headers import NUMBER
from wellfit.data.readers.tables import WholeTable
from wellfit.errors import WellfitError

if TYPE_CHECKING:
    import pyarrow as pa

    from wellfit.data.readers.disk_table import DiskTable

MOST_SHOWN = 5
MOSTLY = 0.8  # share of the rows
NOTHING, NUMBERS, NAMES = "no content", "the numbers of the rows", "the names of the rows"


def without_row_labels(whole: WholeTable, named: Collection[str]) -> tuple[pa.Table | DiskTable, tuple[str, ...]]:
    """Leaves out the columns that have no name and are empty, count rows or name them, and the index of pandas.

    Args:
        whole: the table.
        named: the columns that the user names in the section ``data``, which stay.

    Returns:
        The other columns, and what was left out, a sentence for each kind.

    Raises:
        WellfitError: a column has data, but no name.
    """
    found: dict[str, list[str]] = {}
    for name in (each for each in whole.unnamed if each not in named):
        cells = whole.table.column(name)
        kind = _kind(cells)
        if kind is None:
            example = next(cell for cell in cells.to_pylist() if cell)
            raise WellfitError(
                f"{whole.files[0].path}: column {_place(name)} has no name, and holds data such as {example!r}; name "
                f"it in the file, or list it as {name!r} in data.numeric, data.categorical or data.drop (params.yaml)"
            )
        found.setdefault(kind, []).append(name)
    warnings = [_warning(names, kind) for kind, names in found.items()]
    if levels := [name for name in whole.index_levels if name not in named]:
        named_levels = _listed([repr(level) for level in levels])
        warnings.append(
            f"{named_levels}: of the index of pandas, which names rows: left out (data.id, time, numeric or "
            "categorical may name them)"
        )
    left_out = [*levels, *(name for names in found.values() for name in names)]
    return whole.table.drop_columns(left_out), tuple(warnings)


def _warning(names: Sequence[str], kind: str) -> str:
    many = len(names) > 1
    what = f"column{'s' * many} {_listed(list(map(_place, names)))} without a name"
    way_out = "" if kind == NOTHING else f" (data.id, time, numeric or categorical may name {names[0]!r})"
    return f"{what} {'have' if many else 'has'} {kind}: left out{way_out}"


def _place(name: str) -> str:
    """Of a column that is called by its place, as people count."""
    return str(int(name.removeprefix("Unnamed: ").partition(".")[0]) + 1)


def _kind(cells: pa.ChunkedArray) -> str | None:
    """Why a column of text without a name is no data; None: it may be."""
    import pyarrow.compute as pc

    cells = cells.drop_null()
    if not pc.any(pc.not_equal(cells, "")).as_py():
        return NOTHING
    are_whole = pc.all(pc.match_substring_regex(cells, r"^\d{1,18}(\.0)?$")).as_py()
    if are_whole:
        numbers = cells.cast("float64").to_numpy()
        is_next = np.diff(numbers) == 1
        begins_anew = numbers[1:] <= 1  # in each file, or where tables were put together
        counts = (is_next | begins_anew).all() and is_next.mean() > MOSTLY
        return NUMBERS if counts or _distinct(cells) else None
    is_text = not pc.any(pc.match_substring_regex(cells, f"^{NUMBER.pattern}$")).as_py()
    return NAMES if is_text and _distinct(cells) else None


def _distinct(cells: pa.ChunkedArray) -> bool:
    return len(cells.unique()) == len(cells)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_SHOWN])
    return f"{shown} and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else shown
