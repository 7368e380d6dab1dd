"""New rows as their owner has them, as the arrays that the rows of the training became."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from wellfit.data.encode import MISSING, encode
from wellfit.data.meta import Column, Meta, Unread
from wellfit.data.outliers import reach_of
from wellfit.data.readers.columns import Columns
from wellfit.data.readers.own_table import wanted_by
from wellfit.data.readers.tables import open_table
from wellfit.data.sources import expand, input_names
from wellfit.data.store import Split
from wellfit.errors import WellfitError
from wellfit.serving.drift import Counted
from wellfit.serving.profile import observe

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from wellfit.data.settings import DataConfig

EXAMPLES = 3  # rows
MOST_NAMED = 10  # columns of a kind, in a sentence


class Reading(BaseModel):
    """How a table of new rows is read: as that of the training rows was.

    Attributes:
        missing: texts that stand for missing values.
        separator: what stands between two cells of a CSV file, one character.
        encoding: of a CSV file that is not UTF-8; None: it is guessed.
        id: the column that names rows; None where they are counted.
        others: further columns of the training file that are no inputs: the target, a weight, what was left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    missing: tuple[str, ...]
    separator: str
    encoding: str | None = None
    id: str | None
    others: tuple[str, ...]


class Summary:
    """What new rows have that the training rows had not, over all parts of a file.

    Args:
        counted: gets the rows, to compare them with the training rows; None: they are not compared.

    Attributes:
        rows: that were read.
        absent: inputs that are not there.
        unknown: columns that are neither inputs nor known from the training file.
        missing: empty cells of inputs, by column.
        unread: cells that cannot be read as in the training rows, and count as missing.
        unseen: cells of categories that the model does not tell apart.
        far: numbers that lie far outside those of the training rows.
    """

    def __init__(self, counted: Counted | None = None) -> None:
        self.rows = 0
        self.absent: list[str] = []
        self.unknown: list[str] = []
        self.missing: dict[str, int] = {}
        self.unread: dict[str, Unread] = {}
        self.unseen: dict[str, Unread] = {}
        self.far: dict[str, Unread] = {}
        self.counted = counted

    def sentences(self, meta: Meta) -> list[str]:
        """One for each column that is odd, and one for those that are not known."""
        without_gaps = {column.name for column in meta.columns if not _had_gaps(column)}
        said = [f"column {name!r} is not there: it counts as missing in each row" for name in self.absent]
        said += [
            f"{_counted(each)} cannot be read as in the training rows, and counts as missing"
            for each in self.unread.values()
        ]
        said += [
            f"{_counted(each)} is no category of the training rows, or a rare one" for each in self.unseen.values()
        ]
        ends = {column.name: (steps[0], steps[-1]) for column, steps in zip(meta.columns, meta.quantiles, strict=False)}
        said += [
            f"{_counted(each)} lies far outside what the training rows had ({ends[name][0]:g} to {ends[name][1]:g})"
            for name, each in self.far.items()
        ]
        said += [
            f"column {name!r}: {cells} of {self.rows} cells are missing, and none was in the training rows"
            for name, cells in self.missing.items()
            if name in without_gaps
        ]
        if self.unknown:
            more = ", ..." if len(self.unknown) > MOST_NAMED else ""
            named = ", ".join(map(repr, self.unknown[:MOST_NAMED]))
            said.append(f"columns that the model does not know are passed over: {named}{more}")
        return said


def encode_table(
    meta: Meta, reading: Reading, table: pa.Table, path: Path, first_row: int, summary: Summary
) -> NDArray[np.float32]:
    """A table of new rows as the training rows are stored: see `wellfit.data.store.Split.x`.

    Columns may stand in any order. An input that is not there is missing in each row, as is a cell that cannot be read.

    Args:
        meta: of the data that the model was trained on.
        reading: how cells are read.
        table: (n, ...) cells as text, or with types of their own.
        path: of the file, for messages.
        first_row: number of the first row, for messages.
        summary: gets what is odd.

    Raises:
        WellfitError: none of the inputs is there, or a column has values of another kind than text and numbers.
    """
    import pandas as pd

    columns, inputs = Columns(table, reading.missing, path, first_row), meta.inputs
    there = [source for source in inputs if source.name in columns.names]
    if not there:
        others = f"; there are {listed(columns.names)}" if columns.names else ""  # MLflow drops them
        raise WellfitError(
            f"{path}: none of the columns that the model takes ({listed([s.name for s in inputs])}) is there{others}"
        )
    summary.rows += len(columns)
    summary.absent = [source.name for source in inputs if source not in there]
    known = {*(source.name for source in inputs), *reading.others, reading.id}
    summary.unknown = [name for name in columns.names if name not in known]
    unread: list[Unread] = []
    cells: dict[str, Any] = {source.name: columns.read(source, unread) for source in there}
    for source in inputs:
        if source not in there:
            empty = np.full(len(columns), np.nan)
            cells[source.name] = empty if source.kind == "numbers" else pd.Categorical(empty, categories=[])
    frame, not_dates = expand(inputs, pd.DataFrame(cells, columns=[source.name for source in inputs]))
    unread += not_dates
    _add(summary.unread, unread)
    _count(meta, frame, unread, summary)
    encoded = encode(meta.columns, frame)
    if summary.counted is not None:
        gaps = frame[[column.name for column in meta.columns]].isna().to_numpy()
        summary.counted.add_rows(observe(meta, encoded, gaps))
    return encoded


def example_rows(data: DataConfig, meta: Meta, split: Split) -> pd.DataFrame:
    """A few rows as their owner has them: of the user's file, or made from stored ones; images as base64 of a PNG.

    Args:
        data: the section ``data``.
        meta: of the data.
        split: stored rows, for data that are known by name.
    """
    import pandas as pd

    names = [source.name for source in meta.inputs]
    if meta.kind == "images":
        return pd.DataFrame({"image": [_as_base64(np.array(image)) for image in split.x[:EXAMPLES]]})
    if data.entry.is_own:
        files = open_table(Path(data.path), data.name, wanted_by(data))
        part = next(part for file in files for part in file.parts if len(part))
        rows: pd.DataFrame = part.slice(0, EXAMPLES).select(names).to_pandas()
        return rows
    numbers = [column.name for column in meta.columns if column.fill is not None]
    others = [column for column in meta.columns if column.fill is None]
    stored = np.array(split.x[:EXAMPLES])
    values: dict[str, Any] = {name: stored[:, i].astype(np.float64) for i, name in enumerate(numbers)}
    for column, codes in zip(others, stored[:, stored.shape[1] - len(others) :].T.astype(int), strict=True):
        values[column.name] = [column.categories[code] if code >= 0 else None for code in codes]
    return pd.DataFrame(values)[names].replace(MISSING, None)


def as_arrow(frame: pd.DataFrame) -> pa.Table:
    """A table from pandas. Columns of mixed objects become text; names become text, too."""
    import pyarrow as pa

    def column(cells: pd.Series[Any]) -> pa.Array:
        try:
            return pa.array(cells, from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            return pa.array(cells.astype("string"), from_pandas=True)

    return pa.table([column(frame.iloc[:, i]) for i in range(frame.shape[1])], [str(name) for name in frame.columns])


def _as_base64(pixels: NDArray[np.uint8]) -> str:
    """A PNG of an image (channels, height, width)."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def _count(meta: Meta, frame: pd.DataFrame, unread: Sequence[Unread], summary: Summary) -> None:
    """Counts empty cells, categories that the model does not tell apart, and numbers far outside."""
    unreadable = {each.column: each.cells for each in unread}
    derived = {name for source in meta.sources if source.kind in ("dates", "text") for name in input_names(source)}
    for place, column in enumerate(meta.columns):
        name = column.name
        if name in derived or name in summary.absent:
            continue
        cells = frame[name]
        if empty := int(cells.isna().sum()) - unreadable.get(name, 0):
            summary.missing[name] = summary.missing.get(name, 0) + empty
        if column.fill is not None:
            steps, values = meta.quantiles[place], cells.to_numpy()
            outside = values[(values < steps[0]) | (values > steps[-1])]
            if len(outside) and len(far := outside[reach_of(np.array(steps)).is_beyond(outside)]):
                _add(summary.far, [Unread(name, len(far), float(far[0]))])
        else:
            unknown = ~cells.cat.categories.isin(column.categories)
            odd = np.append(unknown, False)[cells.cat.codes]  # missing cells have code -1, the last
            if odd.any():
                _add(summary.unseen, [Unread(name, int(odd.sum()), str(cells[odd].iloc[0]))])


def _add(counted: dict[str, Unread], found: Sequence[Unread]) -> None:
    for each in found:
        before = counted.get(each.column)
        counted[each.column] = each if before is None else before._replace(cells=before.cells + each.cells)


def _counted(each: Unread) -> str:
    more = f" ({each.cells - 1:,} more like it)" if each.cells > 1 else ""
    example = repr(each.example) if isinstance(each.example, str) else f"{each.example:.10g}"
    return f"column {each.column!r}: {example}{more}"


def _had_gaps(column: Column) -> bool:
    return column.flags_missing or MISSING in column.categories


def listed(names: Sequence[str]) -> str:
    """The first ten, in a sentence."""
    return ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")
