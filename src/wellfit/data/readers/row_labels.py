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

MOST_SHOWN = 5
TAKEN_IN = "(data.numeric or data.categorical takes them in)"
NOTHING = "columns without a name are empty and left out"
NUMBERS = f"columns without a name that number the rows are left out {TAKEN_IN}"
NAMES = f"columns without a name that name the rows are left out {TAKEN_IN}"
LEVELS = f"levels of the index of pandas, which name rows, are left out {TAKEN_IN}"


def without_row_labels(whole: WholeTable, named: Collection[str]) -> tuple[pa.Table, tuple[str, ...]]:
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
            place = int(name.removeprefix("Unnamed: ").partition(".")[0]) + 1
            example = next(cell for cell in cells.to_pylist() if cell)
            raise WellfitError(
                f"{whole.files[0].path}: column {place} has no name, and holds data such as {example!r}; name it in "
                f"the file, or list it as {name!r} in data.numeric, data.categorical or data.drop (params.yaml)"
            )
        found.setdefault(kind, []).append(name)
    if levels := [name for name in whole.index_levels if name not in named]:
        found[LEVELS] = levels
    left_out = [name for names in found.values() for name in names]
    return whole.table.drop_columns(left_out), tuple(f"{kind}: {_listed(names)}" for kind, names in found.items())


def _kind(cells: pa.ChunkedArray) -> str | None:
    """Why a column of text without a name is no data; None: it may be."""
    import pyarrow.compute as pc

    if not pc.any(pc.not_equal(cells, "")).as_py():
        return NOTHING
    are_whole = pc.all(pc.match_substring_regex(cells, r"^\d{1,18}(\.0)?$")).as_py()
    if are_whole:
        numbers = cells.cast("float64").to_numpy()
        steps = np.diff(numbers)
        # Anew in each file, or in each of several tables that were put into one.
        counts = (steps == 1) | (numbers[1:] <= 1)
        if counts.all() or _distinct(cells):
            return NUMBERS
        return None
    is_text = not pc.any(pc.match_substring_regex(cells, f"^{NUMBER.pattern}$")).as_py()
    return NAMES if is_text and _distinct(cells) else None


def _distinct(cells: pa.ChunkedArray) -> bool:
    return len(cells.unique()) == len(cells)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:MOST_SHOWN]))
    return f"{shown} and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else shown
