"""Finds out from the first lines of a CSV file how it is written: what separates cells, and where the header is."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from wellfit.data.readers.byte_streams import open_bytes
from wellfit.data.readers.encodings import Note, find_encoding
from wellfit.data.readers.headers import ALIKE, Record, call_unnamed, data_evidence, read_header
from wellfit.errors import WellfitError

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
BEGIN, LONG_BEGIN = 2**20, 2**25  # bytes that are looked at; the second where rows are long
FEW_LINES = 4
MOST_ROWS = 500
COMMENTS = ("#", "%", "//")
NUMPY_MARK = re.compile("^# +(?=[^ ])")  # numpy.savetxt makes a comment of the header; '#' alone may be a name
EXCEL_LINE = re.compile(r'"?sep=(.)"?[;,\t]*', re.IGNORECASE)


class Wanted(NamedTuple):
    """What the user says of the files, and by which keys, for messages.

    Attributes:
        separator: what stands between two cells of a CSV file, one character.
        encoding: of CSV files that are not UTF-8; None: it is guessed.
        path_key: what names the files.
        separator_key: what says the separator.
        origin: where these keys stand.
    """

    separator: str = ","
    encoding: str | None = None
    path_key: str = "data.path"
    separator_key: str = "data.separator"
    origin: str = " (params.yaml)"


class CsvShape(NamedTuple):
    """How a CSV file is written.

    Attributes:
        names: of the columns; those without one are called as pandas calls them, such as ``Unnamed: 0``.
        unnamed: those without one.
        encoding: of Python's codec.
        separator: what stands between two cells, one character.
        skip_lines: before the first row, the header among them.
        first_row: number of the first row, as a spreadsheet counts.
        has_quotes: whether there are any.
        ends_in_quote: whether the last character that is no blank is one.
        has_rows: whether there are any.
        notes: what was guessed.
    """

    names: tuple[str, ...]
    unnamed: tuple[str, ...] = ()
    encoding: str = "utf-8"
    separator: str = ","
    skip_lines: int = 0
    first_row: int = 1
    has_quotes: bool = True
    ends_in_quote: bool = True
    has_rows: bool = True
    notes: tuple[Note, ...] = ()


class _Preamble(NamedTuple):
    """What stands before the header.

    Attributes:
        lines: how many.
        comments: the lines that begin as a comment.
        separator: that a line of Excel says; empty: none does.
    """

    lines: int
    comments: list[str]
    separator: str


def find_shape(path: Path, wanted: Wanted) -> CsvShape:
    """Looks at the first lines of a CSV file, and at all of its bytes for the encoding.

    Args:
        path: of the file, which may be packed.
        wanted: the separator, which counts unless the file is written otherwise, and the encoding.

    Raises:
        WellfitError: the file is empty, or no CSV file with a header; the message names the likely cause.
    """
    encoding = find_encoding(path, wanted.encoding)
    text, is_whole = _begin(path, encoding.name)
    before = _read_preamble(text)
    separator = before.separator or wanted.separator
    records = _records(text, separator, before.lines, is_whole)
    if not records:
        raise WellfitError(f"{path} is empty: it needs a header and rows")
    notes = [encoding.note] if encoding.note else []
    if len(records[0].cells) == 1 and (other := _other_separator(text, before.lines, is_whole)):
        name = next(name for name, mark in SEPARATORS.items() if mark == other)
        notes.append(Note(f"read with {wanted.separator_key} {name}, which its header and rows have"))
        separator, records = other, _records(text, other, before.lines, is_whole)
    header, rows = records[0], records[1:]
    if before.comments:
        in_comment = next(csv.reader([NUMPY_MARK.sub("", before.comments[-1])], delimiter=separator))
        if len(in_comment) == len(header.cells) > 1 and data_evidence(header.cells, [row.cells for row in rows]):
            header, rows = Record(header.line, 0, in_comment), records
        else:
            lines = f"{len(before.comments)} line{'s' * (len(before.comments) > 1)}"
            notes.append(Note(f"{lines} of comment before the header skipped, {before.comments[0][:40]!r}"))
    names = read_header(path, header, rows)
    called = call_unnamed(names)
    after = header.line + header.lines
    return CsvShape(
        names=tuple(called),
        unnamed=tuple(new for new, name in zip(called, names, strict=True) if not name),
        encoding=encoding.name,
        separator=separator,
        skip_lines=after - 1,
        first_row=(rows[0].line if rows else after) - max(0, header.lines - 1),
        has_quotes=encoding.has_quotes,
        ends_in_quote=encoding.ends_in_quote,
        has_rows=len(rows) > 0 or not is_whole,
        notes=tuple(notes),
    )


def _begin(path: Path, encoding: str) -> tuple[str, bool]:
    """The first lines, and whether they are all."""
    with open_bytes(path) as stream:
        content = stream.read(BEGIN)
        if content.count(b"\n") < FEW_LINES:
            content += stream.read(LONG_BEGIN)
        is_whole = not stream.read(1)
    return codecs.getincrementaldecoder(encoding)().decode(content, final=is_whole), is_whole


def _read_preamble(text: str) -> _Preamble:
    comments, separator, number = [], "", 0
    for number, line in enumerate(io.StringIO(text, newline="")):
        stripped = line.strip()
        if said := EXCEL_LINE.fullmatch(line.rstrip("\r\n")):
            separator = said[1]
        elif stripped.startswith(COMMENTS):
            comments.append(stripped)
        elif stripped:
            return _Preamble(number, comments, separator)
    return _Preamble(number + 1, comments, separator)


def _records(text: str, separator: str, skip_lines: int, is_whole: bool) -> list[Record]:
    """The first rows with a cell; the last one of a text that goes on is not whole."""
    # One more than is asked for, to see whether a row is the last one.
    found = list(islice(records(io.StringIO(text, newline=""), separator, skip_lines), MOST_ROWS + 2))
    return found if is_whole or len(found) < 2 else found[:-1]


def records(lines: Iterator[str], separator: str, skip_lines: int) -> Iterator[Record]:
    """The rows of a CSV file with their lines; blank ones are passed over.

    Args:
        lines: of the file, with their ends.
        separator: what stands between two cells.
        skip_lines: before the first row.
    """
    csv.field_size_limit(2**31 - 1)  # the limit is that of the memory
    for _ in range(skip_lines):
        next(lines, None)
    reader = csv.reader(lines, delimiter=separator)
    end = 0
    for cells in reader:
        begin, end = end, reader.line_num
        if len(cells) > 1 or (cells and cells[0].strip()):
            yield Record(skip_lines + begin + 1, end - begin, cells)


def _other_separator(text: str, skip_lines: int, is_whole: bool) -> str | None:
    """What splits the header and the rows alike, or else the rows, into most cells; None: nothing does."""
    widths: dict[str, tuple[bool, int]] = {}
    for mark in SEPARATORS.values():
        header, *rows = (len(record.cells) for record in _records(text, mark, skip_lines, is_whole))
        width, count = Counter(rows or [header]).most_common(1)[0]
        if width > 1 and count >= ALIKE * len(rows):
            widths[mark] = (header > 1 and abs(header - width) <= 1, width)
    return max(widths, key=widths.__getitem__, default=None)
