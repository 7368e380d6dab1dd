"""Finds out how the text of a file is encoded, from all of its bytes."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import NamedTuple

import numpy as np

from wellfit.data.readers.byte_streams import open_bytes
from wellfit.errors import WellfitError

BLOCK = 2**23  # bytes
LONGEST_END = 1000  # characters, blanks among them
MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
TAR = slice(257, 262), b"ustar"
NOT_IN_WINDOWS = np.array([0x81, 0x8D, 0x8F, 0x90, 0x9D])  # of Windows-1252
WESTERN = "cp1252"
# Bytes beyond ASCII in a row: letters with accents stand alone, those of another alphabet do not.
MOST_IN_A_ROW = 1.5


class Note(NamedTuple):
    """What was guessed of a file.

    Attributes:
        text: a sentence.
        line: of the file that it is about; None: it is about all.
    """

    text: str
    line: int | None = None


class Encoding(NamedTuple):
    """How the text of a file is encoded.

    Attributes:
        name: of Python's codec.
        has_quotes: whether a double quote is anywhere in it.
        ends_in_quote: whether its last character that is no blank is one.
        note: what was guessed; None: nothing.
    """

    name: str
    has_quotes: bool
    ends_in_quote: bool
    note: Note | None = None


class _Decoded(NamedTuple):
    has_quotes: bool
    ends_in_quote: bool
    wrong_line: int | None


def find_encoding(path: Path, otherwise: str | None) -> Encoding:
    """UTF-8, UTF-16, else ``otherwise``, else Western letters by guess.

    Args:
        path: of the file, which may be packed.
        otherwise: the value of ``data.encoding``; None: it is guessed.

    Raises:
        WellfitError: the text is none in these encodings, or has NUL bytes.
    """
    with open_bytes(path) as stream:
        begin = stream.read(BLOCK)
    if begin[TAR[0]] == TAR[1]:
        raise WellfitError(f"{path} is a tar archive: unpack it")
    marked = next((name for mark, name in MARKS.items() if begin.startswith(mark)), None)
    unmarked = None if marked else _utf16_without_mark(begin)
    name = marked or unmarked or "utf-8"
    decoded = _decode(path, name)
    if decoded.wrong_line is None:
        note = Note("read as UTF-16, though no byte-order mark says so") if unmarked else None
        return Encoding(name, decoded.has_quotes, decoded.ends_in_quote, note)
    first_wrong, line = decoded.wrong_line, f"{path} line {decoded.wrong_line}"
    if marked or unmarked:
        raise WellfitError(f"{line}: not {name.upper()}, as which the file begins; it is damaged")
    if otherwise is None:
        _check_is_western(path, line)
        decoded = _decode(path, WESTERN)
        text = "not UTF-8; read as Windows-1252 (data.encoding may say another)"
        note = Note(text, first_wrong)
        return Encoding(WESTERN, decoded.has_quotes, decoded.ends_in_quote, note)
    decoded = _decode(path, otherwise)
    if decoded.wrong_line is not None:
        raise WellfitError(f"{path} line {decoded.wrong_line}: neither UTF-8 nor {otherwise}, which is data.encoding")
    return Encoding(otherwise, decoded.has_quotes, decoded.ends_in_quote)


def _utf16_without_mark(begin: bytes) -> str | None:
    """Of Western letters each second byte is zero."""
    pairs = np.frombuffer(begin[: min(len(begin) // 2 * 2, 400)], np.uint8).reshape(-1, 2)
    if not len(pairs):
        return None
    first, second = (pairs == 0).mean(axis=0)
    return "utf-16-le" if second > 0.5 > first else "utf-16-be" if first > 0.5 > second else None


def _decode(path: Path, encoding: str) -> _Decoded:
    decoder = codecs.getincrementaldecoder(encoding)()
    lines, has_quotes, ends_in_quote, block = 1, False, False, b"."
    with open_bytes(path) as stream:
        while block:
            block = stream.read(BLOCK)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                before = error.object[: error.start].decode(encoding, "ignore")
                return _Decoded(has_quotes, False, lines + before.count("\n"))
            if "\0" in text:
                line = lines + text.count("\n", 0, text.index("\0"))
                raise WellfitError(f"{path} line {line}: has a NUL byte, which is no text; the file is damaged")
            has_quotes = has_quotes or '"' in text
            if end := text[-LONGEST_END:].rstrip():
                ends_in_quote = end[-1] == '"'
            lines += text.count("\n")
    return _Decoded(has_quotes, ends_in_quote, None)


def _check_is_western(path: Path, line: str) -> None:
    """Refuses text that is not UTF-8, and has other letters than Western ones."""
    high = runs = not_utf8 = 0
    in_windows = True
    with open_bytes(path) as stream:
        while block := stream.read(BLOCK):
            codes = np.frombuffer(block, np.uint8)
            is_high = codes >= 0x80
            high += int(is_high.sum())
            runs += int(is_high[0]) + int((is_high[1:] & ~is_high[:-1]).sum())
            not_utf8 += block.decode("utf-8", "replace").count("\ufffd")
            in_windows = in_windows and not np.isin(codes, NOT_IN_WINDOWS).any()
    if high > 3 * not_utf8:
        raise WellfitError(f"{line}: not UTF-8, as the rest of the file is; mend this line")
    if high > MOST_IN_A_ROW * runs or not in_windows:
        raise WellfitError(
            f"{line}: not UTF-8; set data.encoding to what it is, such as cp1251 (Cyrillic), shift_jis (Japanese), "
            "gb18030 (Chinese), cp949 (Korean), mac_roman or cp850 (DOS) (params.yaml), or save the file as UTF-8"
        )
