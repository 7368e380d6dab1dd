"""Folders that are either complete or not there."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Gives an empty folder to fill, which takes the place of ``folder`` when the block ends without an exception.

    After an exception the filled folder is gone and ``folder`` is as it was. What a killed process left is put right
    by the next one, so two processes must not replace the same folder at once (the stages hold a lock).

    Args:
        folder: where the result is to stand; need not exist.
    """
    new, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    _put_back(old, folder)
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
        _sync(new)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
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
