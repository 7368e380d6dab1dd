"""Where the MLflow store is."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote

from wellfit.errors import without_secrets
from wellfit.files import project_root

VARIABLE = "MLFLOW_TRACKING_URI"
RELATIVE = re.compile(r"(sqlite(?:[+]\w+)?:///)(?!/|:memory:)([^?]+)(.*)")


def store_uri() -> str:
    """``MLFLOW_TRACKING_URI``, or ``mlflow.db`` at the repository's root, where ``mlflow ui`` looks.

    A relative database counts from that root, too: a stage may work in a folder that is then removed. SQLAlchemy
    unquotes the path, and MLflow makes the folder of the path as it is spelled: where one needs quotes, slashes get
    them, too, so that no other folder is spelled.
    """
    given = os.environ.get(VARIABLE) or "sqlite:///mlflow.db"
    if found := RELATIVE.fullmatch(given):
        scheme, path, query = found.groups()
        root = str(project_root())
        if re.search(r"[?]|%[0-9A-Fa-f]{2}", root):
            return f"{scheme}/{quote(f'{root[1:]}/', safe='')}{path.replace('/', '%2F')}{query}"
        return f"{scheme}{root}/{path}{query}"
    return given


def shown_store_uri() -> str:
    """Where the store is, for a message: without a password."""
    file = store_file()
    return f"sqlite:///{file}" if file else without_secrets(store_uri())


def store_file() -> Path | None:
    """The database of a local store; None where it is no file."""
    found = re.fullmatch(r"sqlite(?:[+]\w+)?:///(?!:memory:)([^?]+)(?:[?].*)?", store_uri())
    return Path(unquote(found[1])) if found else None
