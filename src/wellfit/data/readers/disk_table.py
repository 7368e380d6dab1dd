"""Tables of Arrow that stay on disk where memory does not hold them, for code that reads a column at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wellfit.data.scratch import ScratchFile

if TYPE_CHECKING:
    import pyarrow as pa


class _Part(NamedTuple):
    """Some of the rows: how many, and where the cells of each column are, as offset and size."""

    n_rows: int
    places: Mapping[str, tuple[int, int]]


class DiskTable:
    """A table in a scratch file; a column is read when it is asked for.

    Args:
        schema: of all columns.
        file: with the cells of each part and column as a stream of Arrow.
        parts: where these are.
    """

    def __init__(self, schema: pa.Schema, file: ScratchFile, parts: Sequence[_Part]) -> None:
        self._schema, self._file, self._parts = schema, file, parts

    @property
    def column_names(self) -> list[str]:
        """Names of the columns."""
        return list(self._schema.names)

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return sum(part.n_rows for part in self._parts)

    def column(self, name: str) -> pa.ChunkedArray:
        """All cells of a column; those of parts that do not have it are null."""
        from pyarrow import Table, concat_tables, ipc, nulls

        tables = []
        for n_rows, places in self._parts:
            if name in places:
                offset, size = places[name]
                tables.append(ipc.open_stream(self._file.read(offset, np.dtype(np.uint8), size)).read_all())
            else:
                tables.append(Table.from_arrays([nulls(n_rows)], [name]))
        return concat_tables(tables, promote_options="permissive").column(0)

    def drop_columns(self, names: Sequence[str]) -> DiskTable:
        """The table without some of its columns."""
        from pyarrow import schema

        return DiskTable(schema([field for field in self._schema if field.name not in names]), self._file, self._parts)


class Parts:
    """Collects the parts of a table: in memory while they fit into it, else in a scratch file.

    Args:
        budget: bytes that they may take in memory; None: as many as they take.

    Attributes:
        n_rows: so far.
    """

    def __init__(self, budget: int | None) -> None:
        self.n_rows = 0
        self._budget, self._bytes = budget, 0
        self._in_memory: list[pa.Table] = []
        self._on_disk: list[_Part] = []
        self._file: ScratchFile | None = None

    def add(self, part: pa.Table) -> None:
        """Takes the next rows; parts with the same columns follow each other."""
        self.n_rows += len(part)
        self._bytes += part.nbytes
        self._in_memory.append(part)
        if self._budget is not None and self._bytes > self._budget:
            for each in self._in_memory:
                self._write(each)
            self._in_memory = []

    def as_table(self, schemas: Sequence[pa.Schema]) -> pa.Table | DiskTable:
        """All of them, with the columns of all, in types that all have in common.

        Args:
            schemas: of the parts.

        Raises:
            pyarrow.ArrowException: types have nothing in common.
        """
        from pyarrow import concat_tables, unify_schemas

        if self._file is None:
            return concat_tables(self._in_memory, promote_options="permissive")
        return DiskTable(unify_schemas(schemas, promote_options="permissive"), self._file, self._on_disk)

    def _write(self, part: pa.Table) -> None:
        from pyarrow import BufferOutputStream, ipc

        self._file = self._file or ScratchFile()
        places = {}
        for name in part.column_names:
            column, sink = part.select([name]).replace_schema_metadata(), BufferOutputStream()
            with ipc.new_stream(sink, column.schema) as writer:
                writer.write_table(column)
            stream = sink.getvalue()
            places[name] = self._file.append(stream), len(stream)
        self._on_disk.append(_Part(len(part), places))
