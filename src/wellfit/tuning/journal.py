"""The lines of a study's journal, each with its sha256, so that none counts that was changed since it was written.

Optuna, and ``optuna-dashboard``, pass over the sha256. Lines that they have added have none, and count. What the study
was begun with, without which the others mean nothing, is kept in a second file.
"""

import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wellfit.errors import WellfitError
from wellfit.files import from_json, write_bytes

SEAL = re.compile(rb',"sha256":"([0-9a-f]{64})"}\n\Z')


def line_of(log: Mapping[str, Any]) -> bytes:
    """The line of an operation."""
    text = json.dumps(log, separators=(",", ":")).encode()
    return text[:-1] + f',"sha256":"{hashlib.sha256(text).hexdigest()}"}}\n'.encode()


def head_file(path: Path) -> Path:
    """Where the first lines of a journal are kept once more."""
    return path.with_suffix(".head")


def mend(path: Path, keys: Sequence[str]) -> None:
    """Takes lines out that are not as they were written, and says so; the old file is kept beside the new one.

    A trial whose line is gone is told to the study again, of its record. A last line without an end is left alone.

    Args:
        path: of the journal; its lock must be held.
        keys: of the attributes of a study that was begun; the last is written last.

    Raises:
        WellfitError: what the study was begun with is lost.
    """
    text, copy = path.read_bytes(), head_file(path)
    lines = _lines(text)
    intact = [line for line in lines if _is_intact(line)]
    head = _head(intact, keys)
    if len(intact) == len(lines) and (head or not copy.is_file()):
        if head and not (copy.is_file() and copy.read_bytes() == b"".join(head)):
            write_bytes(copy, b"".join(head))
        return
    if not head:
        head = [line for line in _lines(copy.read_bytes()) if _is_intact(line)] if copy.is_file() else []
        if not _head(head, keys):
            raise WellfitError(f"{path} is damaged from its first lines on; move it away to begin the study anew")
        intact = head + [line for line in intact if line not in head]
    damaged = path.with_name(f"{path.name}.damaged")
    write_bytes(damaged, text)
    write_bytes(path, b"".join(intact))
    print(
        f"warning: {path} was damaged: it is rebuilt from its intact lines and the records of the trials; the old one "
        f"is {damaged}",
        file=sys.stderr,
        flush=True,
    )


def _lines(text: bytes) -> list[bytes]:
    return re.findall(rb"[^\n]*\n", text)


def _head(lines: Sequence[bytes], keys: Sequence[str]) -> list[bytes]:
    """The lines until the last key is set; none where the study was not begun, or one of them is missing."""
    if not lines or b'"op_code":0' not in lines[0]:
        return []
    places = [[i for i, line in enumerate(lines) if f'"user_attr":{{"{key}":'.encode() in line] for key in keys]
    return list(lines[: places[-1][0] + 1]) if all(places) else []


def _is_intact(line: bytes) -> bool:
    if found := SEAL.search(line):
        return hashlib.sha256(line[: found.start()] + b"}").hexdigest().encode() == found[1]
    try:
        return isinstance(from_json(line)["op_code"], int)
    except (ValueError, TypeError, KeyError):
        return False
