"""Where files belong, and writing them as a whole or not at all."""

import csv
import errno
import io
import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ruamel.yaml import YAML

from wellfit.errors import WellfitError

FULL = (errno.ENOSPC, errno.EDQUOT)  # of a disk, or of the user's share of it
NO_ROOM = (*FULL, errno.EFBIG)  # the last: as `ulimit -f` and some file systems have it


def project_root() -> Path:
    """The repository's root, also inside ``dvc exp run --temp``, which works in a folder that is then removed."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


def write_bytes(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Writes a file so that a reader, or a crash, finds the old one or the new one; the folder is made.

    Args:
        path: the file to make or replace.
        data: its contents.
        durable: whether to wait until the disk has it, so that a power cut counts as a crash, too.
    """
    with replacing_file(path, durable=durable) as file:
        file.write(data)


@contextmanager
def replacing_file(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """Gives a file to write, which takes the place of ``path`` when the block ends without an exception.

    Args:
        path: the file to make or replace; the folder is made.
        durable: whether to wait until the disk has it, so that a power cut counts as a crash, too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with _named(path):
            with temporary.open("wb") as file:
                yield file
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Names the file or folder that there was no room for: the system does not."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            error.filename = error.filename or str(path)
        raise


def is_stream(path: Path) -> bool:
    """Whether a path is a device, a pipe, or a name of an open file in ``/dev``, beside which nothing is written."""
    return path.parent == Path("/dev") or (path.exists() and not path.is_file() and not path.is_dir())


@contextmanager
def named_file(path: Path) -> Iterator[BinaryIO]:
    """As `replacing_file`, for a file that a user has named: a link is followed, and a device or a pipe is written to.

    Args:
        path: the file to make or replace; the folder is made.

    Raises:
        WellfitError: it is a folder.
    """
    if path.is_dir():
        raise WellfitError(f"{path} is a folder: name a file")
    if path.exists() and not path.is_file():
        with path.open("wb") as stream:
            yield stream
        return
    with replacing_file(path.resolve()) as file:
        yield file


@contextmanager
def replacing(folder: Path, *, durable: bool = True) -> Iterator[Path]:
    """Gives an empty folder to fill, which takes the place of ``folder`` when the block ends without an exception.

    After an exception the filled folder is gone and ``folder`` is as it was. What a killed process left is put right
    by the next one, so two processes must not replace the same folder at once unless ``durable`` is false.

    Args:
        folder: where the result is to stand; need not exist.
        durable: whether to wait until the disk has the names in it, so that a power cut counts as a crash, too. If
            not, each process fills a folder of its own, and the last one to end counts.
    """
    owner = "" if durable else f".{os.getpid()}"
    new, old = folder.with_name(f".{folder.name}{owner}.new"), folder.with_name(f".{folder.name}{owner}.old")
    _put_back(old, folder)
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        with _named(folder):
            yield new
            if durable:
                _sync(new)
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
            if durable:
                _sync(folder.parent)
    finally:
        _put_back(old, folder)
        shutil.rmtree(new, ignore_errors=True)


def _put_back(old: Path, folder: Path) -> None:
    if old.exists() and not folder.exists():
        old.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Makes the names in a folder survive a power failure, as fsync of the files did for their bytes."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Writes text atomically, as UTF-8 on every system."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes JSON atomically; NaN and infinity, which JSON does not know, become null."""
    write_text(path, json.dumps(_finite(content), indent=2, allow_nan=False) + "\n")


def from_json(text: str | bytes) -> Any:
    """What JSON says.

    Raises:
        ValueError: it is not JSON, or nested more deeply than anything of ours.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("brackets within brackets, too deep to read") from None


def read_json(path: Path) -> Any:
    """Reads a JSON file of our own making.

    Raises:
        WellfitError: it is not JSON.
    """
    try:
        return from_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WellfitError(f"{path} is not JSON ({error}): run the stage that makes it again") from None


def write_yaml(path: Path, content: Mapping[str, Any], comment: str) -> None:
    """Writes YAML atomically below a line of comment."""
    yaml = YAML()
    yaml.default_flow_style = False
    text = io.StringIO()
    yaml.dump(dict(content), text)
    write_text(path, f"# {comment}\n{text.getvalue()}")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a table atomically, row by row; floats keep all their digits, None and NaN are empty."""
    with replacing_file(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        # In one expression, as there may be millions of cells.
        writer.writerows(
            ["" if value is None or (isinstance(value, float) and not math.isfinite(value)) else value for value in row]
            for row in rows
        )
        text.detach()


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
