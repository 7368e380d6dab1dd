"""Reads CSV files as columns of text; a file with a wrong row is refused with the likely cause."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wellfit.data.readers.byte_streams import open_bytes
from wellfit.data.readers.csv_shape import COMMENTS, CsvShape, Wanted, records
from wellfit.data.readers.headers import Record
from wellfit.data.readers.swallowed_rows import find_swallowed_rows
from wellfit.errors import WellfitError

if TYPE_CHECKING:
    import pyarrow as pa

PART_BYTES = 2**24  # of a CSV file that are parsed at once; a row must fit


def read_csv(path: Path, separator: str, names: Sequence[str], skip_lines: int = 0) -> pa.Table:
    """Reads every cell of a CSV file without a header as text, as `csv_parts` does it.

    Args:
        path: in UTF-8.
        separator: what stands between two cells, one character.
        names: of the columns.
        skip_lines: before the first row.
    """
    from pyarrow import concat_tables

    shape = CsvShape(tuple(names), separator=separator, skip_lines=skip_lines, first_row=skip_lines + 1)
    return concat_tables(csv_parts(path, shape, Wanted(separator)))


def csv_parts(path: Path, shape: CsvShape, wanted: Wanted) -> Iterator[pa.Table]:
    """Reads every cell of a CSV file as text, without leading and trailing blanks.

    No type is inferred here: that takes the whole column.

    Args:
        path: of the file, which may be packed; cells may be quoted and hold line breaks then.
        shape: how it is written.
        wanted: by which keys the user says that, for messages.

    Yields:
        The rows in parts of a few megabytes; at least one part, be it without rows.

    Raises:
        WellfitError: a row has more or fewer cells than there are columns, or a quotation mark is not closed.
    """
    import pyarrow.compute as pc
    from pyarrow import ArrowInvalid, Table, schema, string
    from pyarrow import csv as arrow_csv

    places = [str(place) for place in range(len(shape.names))]
    names = list(shape.names)

    def judge(row: Any) -> str:
        return "error" if row.text.strip() else "skip"

    n_rows, last = 0, None
    empty: list[Table] = []  # rows without content, which are passed over at the end of the file, as blank lines are
    yield schema([(name, string()) for name in names]).empty_table()
    if not shape.has_rows:
        return
    try:
        with (
            open_bytes(path) as stream,
            arrow_csv.open_csv(
                stream,
                read_options=arrow_csv.ReadOptions(
                    column_names=places,
                    skip_rows=shape.skip_lines,
                    use_threads=False,
                    block_size=PART_BYTES,
                    encoding="utf-8" if shape.encoding == "utf-8-sig" else shape.encoding,
                ),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=shape.separator,
                    quote_char='"' if shape.has_quotes else False,
                    newlines_in_values=shape.has_quotes,
                    invalid_row_handler=judge,
                ),
                convert_options=arrow_csv.ConvertOptions(column_types=dict.fromkeys(places, string())),
            ) as reader,
        ):
            for batch in reader:
                if shape.has_quotes and (swallowed := find_swallowed_rows(batch, shape.separator)):
                    raise _unclosed(path, shape, n_rows + swallowed.row, swallowed.lines)
                part = Table.from_arrays([pc.utf8_trim_whitespace(column) for column in batch.columns], names)
                if (again := _repeated_header(part)) is not None:
                    where = _where(path, shape, n_rows + again)
                    raise WellfitError(f"{where}: the header again, as where files were put together; delete it")
                n_rows, last = n_rows + len(batch), batch if len(batch) else last
                if end := _filled_rows(part):
                    yield from empty
                    empty = []
                    yield part.slice(0, end)
                empty.append(part.slice(end))
    except ArrowInvalid as error:
        raise _explain(path, shape, wanted, error) from None
    # The last cell has line breaks, so it begins with a quotation mark.
    if last is not None and not shape.ends_in_quote and (lines := last.columns[-1][-1].as_py().count("\n")):
        raise _unclosed(path, shape, n_rows - 1, lines)


class _Row(NamedTuple):
    """A row, with the words that say where it is."""

    where: str
    record: Record


def _rows(path: Path, shape: CsvShape) -> Iterator[_Row]:
    """The rows as Python's own reader has them, which is slow, but knows their lines."""
    with open_bytes(path) as stream:
        lines = io.TextIOWrapper(stream, shape.encoding, newline="")
        shift = None  # of the line from the row, as a spreadsheet counts
        for record in records(lines, shape.separator, shape.skip_lines):
            shift = record.line - shape.first_row if shift is None else shift
            row = record.line - shift
            yield _Row(f"{path} row {row}" + (f" (line {record.line})" if shift else ""), record)
            shift += record.lines - 1


def _explain(path: Path, shape: CsvShape, wanted: Wanted, error: Exception) -> WellfitError:
    """Names the first row that is not as long as the header, and the likely cause."""
    columns, rows = len(shape.names), _rows(path, shape)
    for index, (where, record) in enumerate(rows):
        n_cells = len(record.cells)
        if n_cells != columns:
            fault = f"{where}: {n_cells} cells, but {columns} columns"
            return WellfitError(f"{fault}; {_cause(record, columns, next(rows, None) is None, shape, wanted)}")
        if (length := sum(map(len, record.cells))) > PART_BYTES / 2:
            if record.lines > 1:
                return _unclosed(path, shape, index, record.lines)
            return WellfitError(f"{where}: has {length:,} characters, of which at most {PART_BYTES:,} can be read")
    return WellfitError(f"{path} is not a CSV file: {' '.join(str(error).split())}")


def _cause(record: Record, columns: int, is_last: bool, shape: CsvShape, wanted: Wanted) -> str:
    if any("\n" in cell for cell in record.cells):
        lines = f"{record.lines} line{'s' * (record.lines > 1)}"
        return f"a quotation mark there is not closed for {lines}; double it, or remove it"
    if any('"' in cell for cell in record.cells):
        return "a quotation mark in it stands alone; double it, or remove it"
    if record.cells[0].lstrip().startswith(COMMENTS):
        return "delete it, if it is a comment"
    if len(record.cells) > columns:
        if not record.cells[-1]:
            return f"it ends in {shape.separator!r}, as not all rows do"
        return f"a cell that holds {shape.separator!r} must be quoted ({wanted.separator_key} says what separates)"
    return "delete it, if it is a footer" if is_last else "it is not whole"


def _repeated_header(part: pa.Table) -> int | None:
    """The first row whose cells are the names of the columns."""
    import pyarrow.compute as pc

    names = part.column_names
    suspects = pc.indices_nonzero(pc.equal(part.column(0), names[0])).to_pylist() if len(names) > 1 else []
    return next((row for row in suspects if list(part.slice(row, 1).to_pylist()[0].values()) == names), None)


def _filled_rows(part: pa.Table) -> int:
    """How many rows there are up to the last one that has a cell with content."""
    end = len(part)
    while end and part.num_columns > 1 and not any(column[end - 1].as_py() for column in part.columns):
        end -= 1
    return end


def _where(path: Path, shape: CsvShape, index: int) -> str:
    return next(row.where for place, row in enumerate(_rows(path, shape)) if place == index)


def _unclosed(path: Path, shape: CsvShape, index: int, lines: int) -> WellfitError:
    return WellfitError(
        f"{_where(path, shape, index)}: a quoted cell goes on for {lines + 1} lines, which look like rows; double the "
        'quotation mark that opens it and is not closed (5"" board), or remove it'
    )
