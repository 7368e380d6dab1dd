"""Reads CSV and Parquet files as columns of text, numbers or dates; a file with a wrong row is refused.

Rows are counted as in a spreadsheet: the header is row 1.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wellfit.errors import WellfitError

if TYPE_CHECKING:
    import pyarrow as pa

PART_BYTES = 2**24  # of a CSV file that are parsed at once; a row must fit
PART_ROWS = 2**16  # of a Parquet file that are read at once
FIRST_ROW = 2  # number of the first row after the header
SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
OTHER_FORMATS = {b"\x1f\x8b": "gzip", b"PK": "zip or Excel", b"PAR1": "Parquet (data.name parquet)"}
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read_csv(path: Path, separator: str, names: Sequence[str] | None = None, skip_rows: int = 0) -> pa.Table:
    """Reads every cell of a CSV file as text, as `csv_parts` does it."""
    from pyarrow import concat_tables

    return concat_tables(csv_parts(path, separator, names, skip_rows))


def csv_parts(
    path: Path,
    separator: str,
    names: Sequence[str] | None = None,
    skip_rows: int = 0,
    key: str = "data.separator",
    origin: str = " (params.yaml)",
) -> Iterator[pa.Table]:
    """Reads every cell of a CSV file as text, without leading and trailing blanks.

    No type is inferred here: that takes the whole column.

    Args:
        path: UTF-8, with or without a byte-order mark; cells may be quoted and hold line breaks then.
        separator: what stands between two cells, one character.
        names: of the columns, where the file has no header.
        skip_rows: lines before the first row, or before the header.
        key: what says the separator, for messages.
        origin: where that stands, likewise.

    Yields:
        The rows in parts of a few megabytes; at least one part, be it without rows.

    Raises:
        WellfitError: the file is missing, empty, not UTF-8, or has rows of another length than its header, or the
            header leaves a column without a name or names two alike.
    """
    import pyarrow.compute as pc
    from pyarrow import ArrowInvalid, Table, string
    from pyarrow import csv as arrow_csv

    header = list(names) if names else _header(path, separator, skip_rows, f"{key} to {{}}{origin}")
    titles = [name.strip() for name in header]
    ragged: list[Any] = []

    def refuse(row: Any) -> str:
        ragged.append(row)
        return "error"

    try:
        with arrow_csv.open_csv(
            path,
            # One thread: only then does it know the number of a row.
            read_options=arrow_csv.ReadOptions(
                column_names=names, skip_rows=skip_rows, use_threads=False, block_size=PART_BYTES
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=separator, newlines_in_values=True, invalid_row_handler=refuse
            ),
            convert_options=arrow_csv.ConvertOptions(column_types=dict.fromkeys(header, string())),
        ) as reader:
            yield Table.from_batches([], reader.schema).rename_columns(titles)
            for batch in reader:
                yield Table.from_arrays([pc.utf8_trim_whitespace(column) for column in batch.columns], titles)
    except ArrowInvalid as error:
        if ragged:
            row = ragged[0]
            raise WellfitError(
                f"{path} row {row.number}: {row.actual_columns} cells, but {row.expected_columns} columns; a cell that "
                f"holds {separator!r} must be quoted ({key} says what separates)"
            ) from None
        if "UTF8" in str(error):
            raise _not_utf8(path) from None
        raise WellfitError(f"{path} is not a CSV file: {' '.join(str(error).split())}") from None


def read_parquet(path: Path) -> pa.Table:
    """Reads a Parquet file, as `parquet_parts` does it."""
    from pyarrow import concat_tables

    return concat_tables(parquet_parts(path))


def parquet_parts(path: Path) -> Iterator[pa.Table]:
    """Reads a Parquet file, with the types that it declares.

    Yields:
        Its rows in parts; at least one part, be it without rows.

    Raises:
        WellfitError: the file is missing, damaged, or names two columns alike.
    """
    from pyarrow import ArrowException, Table
    from pyarrow import parquet as arrow_parquet

    check_file(path)
    try:
        with arrow_parquet.ParquetFile(path) as file:
            _check_names(path, file.schema_arrow.names)
            # Where pandas keeps the numbers of the rows of a table that was shuffled or filtered.
            names = [name for name in file.schema_arrow.names if not name.startswith("__index_level_")]
            yield Table.from_batches([], file.schema_arrow).select(names)
            for batch in file.iter_batches(PART_ROWS, columns=names):
                yield Table.from_batches([batch])
    except (ArrowException, OSError) as error:
        raise WellfitError(f"{path} is not a whole Parquet file: {' '.join(str(error).split())[:200]}") from None


def check_file(path: Path, key: str = "data.path", origin: str = " (params.yaml)") -> None:
    """Checks that ``data.path``, or what else names it, is a file.

    Raises:
        WellfitError: there is nothing, or a folder.
    """
    if path.is_dir():
        raise WellfitError(f"{key} {path} is a folder, not a file{origin}")
    if not path.is_file():
        raise WellfitError(f"{key} {path} not found in {Path.cwd()}{origin}")


def _header(path: Path, separator: str, skip_rows: int, way_out: str) -> list[str]:
    check_file(path)
    with path.open("rb") as file:
        mark = file.read(4)
    if mark[:2] in UTF16_MARKS:
        raise WellfitError(f"{path} is UTF-16; save the file as UTF-8")
    if kind := next((kind for begin, kind in OTHER_FORMATS.items() if mark.startswith(begin)), None):
        raise WellfitError(f"{path} is a {kind} file, not CSV; unpack or export it")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for _ in range(skip_rows):
                file.readline()
            # Blank lines do not count, as pyarrow has it.
            names = next((row for row in csv.reader(file, delimiter=separator) if row), None)
    except UnicodeDecodeError:
        raise _not_utf8(path) from None
    except csv.Error as error:
        raise WellfitError(f"{path} row 1: {error}") from None
    if names is None:
        raise WellfitError(f"{path} is empty: it needs a header and rows")
    _check_names(path, names)
    if len(names) == 1:
        _check_separator(path, names[0], way_out)
    return names


def _check_separator(path: Path, only_name: str, way_out: str) -> None:
    for name, mark in SEPARATORS.items():
        if mark in only_name:
            raise WellfitError(f"{path} row 1: its only column is {only_name!r}; set {way_out.format(name)}")


def _check_names(path: Path, names: Sequence[str]) -> None:
    stripped = [name.strip() for name in names]
    if twice := [name for name, count in Counter(stripped).items() if count > 1 and name]:
        raise WellfitError(f"{path} row 1: two columns are named {twice[0]!r}; rename one")
    for number, name in enumerate(stripped, start=1):
        if not name:
            raise WellfitError(
                f"{path} row 1: column {number} has no name; give it one, or leave it out (pandas writes such a column "
                "unless index=False)"
            )


def _not_utf8(path: Path) -> WellfitError:
    content, line = path.read_bytes(), 1
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line += content.count(b"\n", 0, error.start)
    return WellfitError(f"{path} line {line}: not UTF-8; save the file as UTF-8 (`iconv -f latin1 -t utf-8` for one)")
