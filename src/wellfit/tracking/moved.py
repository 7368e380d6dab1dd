"""Artifacts follow a project that was moved, renamed or copied: a local store holds the absolute path of each."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from wellfit.files import project_root

ARTIFACTS = "mlartifacts"  # of our experiments, below the project's root
OTHERS = "mlruns"  # of experiments that MLflow makes itself: mlruns/<experiment id>
LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def follow_project(store: Path) -> None:
    """Rewrites locations of artifacts in another project folder to this one, and says so.

    Args:
        store: the SQLite database, whose tables exist; one outside the project's root is left alone.
    """
    root = project_root()
    if store.resolve().parent != root:
        return
    moved: Counter[Path] = Counter()  # runs whose artifacts were below another folder
    with closing(sqlite3.connect(store, timeout=60)) as connection, connection:
        for (location,) in connection.execute("SELECT artifact_location FROM experiments").fetchall():
            before = _project_folder(location or "")
            after = root / _path(before).name
            if before and _is_to_rewrite(before, after, connection):
                moved[_path(before).parent] += _rewrite(before, after.as_uri(), connection)
    for folder, runs in (moved - Counter({root: moved[root]})).items():
        print(f"the project was in {folder}: MLflow now has the artifacts of {runs} runs in {root}")


def _project_folder(location: str) -> str:
    """The part of a location that ends with the folder of all artifacts of a project; empty where there is none."""
    path = _path(location)
    if path.name == ARTIFACTS:
        return location
    return location[: -len(path.name) - 1] if path.parent.name == OTHERS and path.name.isdecimal() else ""


def _is_to_rewrite(before: str, after: Path, connection: sqlite3.Connection) -> bool:
    """Whether artifacts are in another place than the store says.

    A folder that is there may be one that somebody has chosen: it counts as moved where artifacts of its runs are here.
    """
    folder = _path(before)
    if folder.resolve() == after.resolve():
        return "%" in before and before != after.as_uri()  # MLflow unquotes plain paths as well
    if not folder.exists():
        return True
    runs = connection.execute("SELECT artifact_uri FROM runs WHERE substr(artifact_uri, 1, ?) = ?", _prefix(before))
    return any(after.joinpath(uri[len(before) + 1 :]).exists() for (uri,) in runs)


def _rewrite(before: str, after: str, connection: sqlite3.Connection) -> int:
    """Puts one folder in the place of another wherever MLflow names it, and returns the number of runs."""
    done = {
        (table, column): connection.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {column} = ? OR substr({column}, 1, ?) = ?",
            (after, len(before) + 1, before, *_prefix(before)),
        ).rowcount
        for table, column in LOCATIONS
    }
    return done["runs", "artifact_uri"]


def _prefix(folder: str) -> tuple[int, str]:
    return len(folder) + 1, f"{folder}/"


def _path(location: str) -> Path:
    return Path(unquote(urlsplit(location).path) if location.startswith("file:") else location)
