"""Reads Parquet files, with the types that they declare."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wellfit.errors import WellfitError

if TYPE_CHECKING:
    import pyarrow as pa

PART_ROWS = 2**16  # that are read at once
BUFFER_BYTES = 2**18  # of a column that are read ahead: else all of a row group are, which may be the whole file
MAGIC = b"PAR1"  # with which each file begins
NUMBERED = "__index_level_"  # how pandas calls a level of the index without a name


class ParquetShape(NamedTuple):
    """The columns of a Parquet file.

    Attributes:
        names: of the columns, but for levels of the index of pandas without a name: they number the rows of a table
            that was shuffled or filtered.
        index_levels: the columns that are levels of that index.
        categories: the columns that pandas had as categories, of which Parquet keeps numbers as numbers.
    """

    names: tuple[str, ...]
    index_levels: tuple[str, ...]
    categories: tuple[str, ...]


def find_columns(path: Path) -> ParquetShape:
    """The columns of a Parquet file.

    Raises:
        WellfitError: the file is damaged, or names two columns alike.
    """
    from pyarrow import ArrowException
    from pyarrow import parquet as arrow_parquet

    try:
        schema = arrow_parquet.read_schema(path)
    except (ArrowException, OSError) as error:
        raise _damaged(path, error) from None
    if twice := [name for name, count in Counter(schema.names).items() if count > 1]:
        raise WellfitError(f"{path}: two columns are named {twice[0]!r}; rename one")
    of_pandas = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
    levels = [level for level in of_pandas.get("index_columns", []) if isinstance(level, str)]  # others are ranges
    kinds = {column["field_name"]: column["pandas_type"] for column in of_pandas.get("columns", [])}
    names = [name for name in schema.names if not name.startswith(NUMBERED)]
    return ParquetShape(
        names=tuple(names),
        index_levels=tuple(name for name in names if name in levels),
        categories=tuple(name for name in names if kinds.get(name) == "categorical"),
    )


def parquet_parts(path: Path, shape: ParquetShape) -> Iterator[pa.Table]:
    """Reads the columns of a Parquet file.

    Yields:
        Its rows in parts; at least one part, be it without rows.

    Raises:
        WellfitError: the file is damaged.
    """
    from pyarrow import ArrowException, Table
    from pyarrow import parquet as arrow_parquet

    names = list(shape.names)
    try:
        with arrow_parquet.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER_BYTES) as file:
            yield _declare(file.schema_arrow.empty_table().select(names), shape.categories)
            for batch in file.iter_batches(PART_ROWS, columns=names):
                yield _declare(Table.from_batches([batch]), shape.categories)
    except (ArrowException, OSError) as error:
        raise _damaged(path, error) from None


def _declare(part: pa.Table, categories: Sequence[str]) -> pa.Table:
    """Gives columns the type of Arrow's categories."""
    from pyarrow import types

    for name in categories:
        if not types.is_dictionary(part.schema.field(name).type):
            part = part.set_column(part.schema.get_field_index(name), name, part.column(name).dictionary_encode())
    return part


def _damaged(path: Path, error: Exception) -> WellfitError:
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            return WellfitError(f"{path} is not a Parquet file; set data.name to csv, if it is one")
    return WellfitError(f"{path} is not a whole Parquet file: {' '.join(str(error).split())[:200]}")
