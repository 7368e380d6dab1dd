"""The files that ``data.path`` names, as one table: a file, those of a folder, or those that fit a pattern."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wellfit.data.raw import FileRows
from wellfit.data.readers.csv_files import csv_parts
from wellfit.data.readers.csv_shape import Wanted, find_shape
from wellfit.data.readers.disk_table import DiskTable, Parts
from wellfit.data.readers.encodings import Note
from wellfit.data.readers.image_files import shown
from wellfit.data.readers.parquet_files import find_columns, parquet_parts
from wellfit.errors import WellfitError

if TYPE_CHECKING:
    import pyarrow as pa

PARQUET = (".parquet", ".pq")
# How files of a format are called, in a folder.
ENDINGS = {"csv": (".csv", ".tsv", ".txt", ".csv.gz", ".csv.zst", ".csv.bz2", ".csv.zip"), "parquet": PARQUET}


class TableFile(NamedTuple):
    """A file with rows of a table.

    Attributes:
        path: of the file.
        names: of its columns.
        unnamed: those that have no name in the file, but their place.
        index_levels: those that are levels of the index of pandas.
        separator: what stands between two cells of a CSV file.
        first_row: number of its first row, for messages.
        notes: what was guessed of it.
        parts: its rows, once; at least one part, be it without rows.
    """

    path: Path
    names: tuple[str, ...]
    unnamed: tuple[str, ...]
    index_levels: tuple[str, ...]
    separator: str | None
    first_row: int
    notes: tuple[Note, ...]
    parts: Iterator[pa.Table]


class WholeTable(NamedTuple):
    """The rows of all files.

    Attributes:
        table: all of their columns, in the order of the first file; cells of CSV files are text, those of a column
            without a name that a file does not have are null. It may be on disk.
        files: where the rows of each file begin.
        unnamed: columns that have no name in a file.
        index_levels: columns that are levels of the index of pandas.
        separator: what stands between two cells of the first CSV file.
        notes: what was guessed, one sentence each.
    """

    table: pa.Table | DiskTable
    files: tuple[FileRows, ...]
    unnamed: tuple[str, ...]
    index_levels: tuple[str, ...]
    separator: str | None
    notes: tuple[str, ...]


def find_files(path: Path, kind: str, wanted: Wanted) -> list[Path]:
    """The file at a path, or the files of a folder or a pattern, by name; hidden ones are passed over.

    Args:
        path: of a file or a folder, or a pattern such as ``data/own/*.csv``.
        kind: csv or parquet.
        wanted: the keys, for messages.

    Raises:
        WellfitError: there are none.
    """
    key, endings = wanted.path_key, ENDINGS[kind]
    if path.is_file():
        return _with_plain_names([path])
    if path.is_dir():
        found = [each for each in path.iterdir() if each.name.casefold().endswith(endings)]
        # A text beside tables is about them.
        found = [each for each in found if each.suffix.casefold() != ".txt"] or found
        what = f"{key} {path} is a folder without {kind} files, which end in {', '.join(ENDINGS[kind])}"
    elif glob.has_magic(str(path)):
        found = [Path(each) for each in glob.glob(str(path), recursive=True)]
        what = f"{key} {path} fits no file in {Path.cwd()}"
    else:
        raise WellfitError(f"{key} {path} not found in {Path.cwd()}{wanted.origin}")
    files = sorted(each for each in found if each.is_file() and not each.name.startswith("."))
    if not files:
        raise WellfitError(f"{what}{wanted.origin}")
    return _with_plain_names(files)


def _with_plain_names(files: list[Path]) -> list[Path]:
    if odd := next((str(each) for each in files if shown(str(each)) != str(each)), None):
        raise WellfitError(f"{shown(odd)}: its name has control characters or bytes that are not UTF-8; rename it")
    return files


def open_table(path: Path, kind: str, wanted: Wanted) -> list[TableFile]:
    """Looks at the files of a table, whose rows are read as they are asked for.

    Args:
        path: as of `find_files`.
        kind: csv or parquet.
        wanted: the separator, the encoding, and the keys for messages.

    Raises:
        WellfitError: a file is not as it must be, or has other columns than the first one.
    """
    files = [_open_file(each, kind, wanted) for each in find_files(path, kind, wanted)]
    first = files[0]
    for file in files[1:]:
        for has, has_not in ((first, file), (file, first)):
            missing = [name for name in has.names if name not in (*has_not.names, *has.unnamed)]
            if missing:
                raise WellfitError(
                    f"{has_not.path} has no column {missing[0]!r}, which {has.path} has; the files of a table have the "
                    "same columns"
                )
    return files


def _open_file(path: Path, kind: str, wanted: Wanted) -> TableFile:
    if kind == "parquet":
        columns = find_columns(path)
        return TableFile(path, columns.names, (), columns.index_levels, None, 1, (), parquet_parts(path, columns))
    shape = find_shape(path, wanted)
    parts = csv_parts(path, shape, wanted)
    return TableFile(path, shape.names, shape.unnamed, (), shape.separator, shape.first_row, shape.notes, parts)


def read_table(path: Path, kind: str, wanted: Wanted, budget: int | None = None) -> WholeTable:
    """Reads all rows of the files of a table.

    Args:
        path: as of `open_table`.
        kind: likewise.
        wanted: likewise.
        budget: bytes that the table may take in memory; else it is put on disk. None: as many as it takes.

    Raises:
        WellfitError: a file is not as it must be, or two differ in their columns.
    """
    from pyarrow import ArrowException, Schema

    files = open_table(path, kind, wanted)
    parts, begins = Parts(budget), []
    schemas: list[Schema] = []
    for file in files:
        begins.append(FileRows(file.path, file.first_row, parts.n_rows))
        for part in file.parts:
            parts.add(part)
        schemas.append(part.schema)
    try:
        table = parts.as_table(schemas)
    except ArrowException:
        raise _other_types(files, schemas) from None
    return WholeTable(
        table,
        tuple(begins),
        tuple(dict.fromkeys(name for file in files for name in file.unnamed)),
        tuple(dict.fromkeys(name for file in files for name in file.index_levels)),
        files[0].separator,
        tell(path, files),
    )


def tell(path: Path, files: Sequence[TableFile]) -> tuple[str, ...]:
    """What was guessed of files, one sentence each, what was guessed of several once; and what else is in their folder.

    Args:
        path: as of `find_files`.
        files: what `open_table` returned.
    """
    alike: dict[str, list[str]] = {}
    for file in files:
        for note in file.notes:
            where = f"{file.path}" if note.line is None else f"{file.path} line {note.line}"
            alike.setdefault(note.text, []).append(where)
    more = {text: f" and {len(places) - 1} more" if len(places) > 1 else "" for text, places in alike.items()}
    said = [f"{places[0]}{more[text]}: {text}" for text, places in alike.items()]
    read = {file.path for file in files}
    others = sorted(each for each in path.iterdir() if each not in read) if path.is_dir() else []
    if others := [each for each in others if each.is_file() and not each.name.startswith(".")]:
        said.append(f"files of {path} that are passed over: {len(others)}, the first is {shown(others[0].name)}")
    return tuple(said)


def _other_types(files: Sequence[TableFile], schemas: Sequence[pa.Schema]) -> WellfitError:
    """Names the first column whose types have nothing in common."""
    from pyarrow import ArrowException, schema, unify_schemas

    for name in files[0].names:
        for file, other in zip(files, schemas, strict=True):
            fields = [each.field(name) for each in (schemas[0], other)]
            try:
                unify_schemas([schema([field]) for field in fields], promote_options="permissive")
            except ArrowException:
                types = [field.type for field in fields]
                return WellfitError(
                    f"column {name!r} is {types[0]} in {files[0].path}, but {types[1]} in {file.path}; write all files "
                    "with the same types"
                )
    return WellfitError(f"{files[0].path} and the other files have columns of different types")
