"""The outbox: what MLflow did not take of a run, in order, until a later command sends it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from wellfit.errors import WellfitError
from wellfit.files import project_root, read_json, write_json

SET_ASIDE = ".refused"  # ends the name of an entry that is not tried again


class Entry(NamedTuple):
    """What is to be sent.

    Attributes:
        path: of its file, ``<number>-<kind>.json``.
        kind: one of :data:`wellfit.tracking.delivery.KINDS`.
    """

    path: Path
    kind: str

    def read(self) -> dict[str, Any]:
        """The arguments of its kind.

        Raises:
            WellfitError: it is damaged.
        """
        content = read_json(self.path)
        if not isinstance(content, dict):
            raise WellfitError(f"{self.path} is not as it was written")
        if "path" in content:
            content["path"] = str(self.path.with_suffix("") / content["path"])
        return content


class Outbox:
    """The folder of one run. Each entry is a JSON file, beside it the file or folder that it is about.

    Args:
        run_id: in MLflow.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.folder = outboxes() / run_id

    def entries(self) -> list[Entry]:
        """What waits, the first first."""
        files = sorted(self.folder.glob("*-*.json"))
        return [Entry(path, path.stem.partition("-")[2]) for path in files]

    def append(self, kind: str, content: Mapping[str, Any]) -> None:
        """Adds an entry; the file or folder ``path`` is kept as it is now, by a link where that can be.

        Raises:
            OSError: the disk is full, for one.
        """
        number = max((int(each.name.partition("-")[0]) for each in self.folder.glob("*-*")), default=0) + 1
        entry = self.folder / f"{number:06}-{kind}.json"
        content = dict(content)
        if "path" in content:
            source, kept = Path(content["path"]), entry.with_suffix("")
            kept.mkdir(parents=True)
            if source.is_dir():
                shutil.copytree(source, kept / source.name, copy_function=_link)
            else:
                _link(source, kept / source.name)
            content["path"] = source.name
        write_json(entry, content)

    def remove(self, entry: Entry) -> None:
        """Forgets what has been sent; the outbox goes with its last entry."""
        entry.path.unlink()
        shutil.rmtree(entry.path.with_suffix(""), ignore_errors=True)
        with suppress(OSError):
            self.folder.rmdir()

    def set_aside(self, entry: Entry) -> Path:
        """Keeps an entry that is not tried again, and gives its new name."""
        return entry.path.rename(entry.path.with_name(entry.path.name + SET_ASIDE))

    def discard(self) -> None:
        """Forgets everything."""
        shutil.rmtree(self.folder, ignore_errors=True)


def outboxes() -> Path:
    """The folder of all outboxes."""
    return project_root() / ".wellfit" / "outbox"


def _link(source: str | Path, target: str | Path) -> None:
    # Who replaces a file, as all of ours do, leaves the other name as it was.
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
