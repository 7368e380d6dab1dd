"""What studies and comparisons had to publish while MLflow was away, until a later command sends it.

A file has the messages of a publisher (``publisher.py``), the way to the records among them. They are given once more
to a process of the same kind.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from wellfit.files import project_root, write_text
from wellfit.manifest import sealed, unsealed
from wellfit.tracking.address import shown_store_uri

# Of an opening, what differs between two publishers of the same.
VARYING = ("started", "source", "params", "tags", "storage", "again", "half_copied")
SET_ASIDE = ".refused"  # in place of the suffix of what is not tried again
OF_COMMAND = ("MLFLOW_RUN_ID", "WELLFIT_PARENT_RUN_ID", "WELLFIT_PARENT_RUN_STAGE")  # that name the run it belongs to

Message = Mapping[str, Any]


def postpone(module: str, messages: Sequence[Message]) -> None:
    """Keeps the messages of a publisher.

    Args:
        module: that it runs.
        messages: the first opens the run.
    """
    environment = {name: os.environ[name] for name in OF_COMMAND if name in os.environ}
    content = {
        "module": module,
        "store": shown_store_uri(),
        "environment": environment,
        "messages": list(messages),
    }
    path = _file(module, messages[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, sealed(content))


def forget(module: str, opening: Message) -> None:
    """Forgets the messages of a publisher that opened the same, as all is published."""
    _file(module, opening).unlink(missing_ok=True)


def send_postponed() -> None:
    """Publishes what was postponed and belongs to this store, unless another process does; says what."""
    files = sorted(_folder().glob("*.json"))
    if not files:
        return
    with suppress(Timeout), FileLock(_folder() / "sending.lock", timeout=0):
        for path in files:
            try:
                content = unsealed(path.read_text(encoding="utf-8"))
            except FileNotFoundError:
                continue
            except ValueError:
                aside = path.rename(path.with_suffix(SET_ASIDE))
                print(f"warning: {path} is not as it was written; it is set aside as {aside}", file=sys.stderr)
                continue
            if content["store"] == shown_store_uri():
                _send(content["module"], content["messages"], content["environment"])
                name = content["messages"][0]["open"]["name"]
                if path.exists():  # it was written anew
                    aside = path.rename(path.with_suffix(SET_ASIDE))
                    print(f"warning: {name}: MLflow lacks a part, which is set aside as {aside}", file=sys.stderr)
                else:
                    print(f"{name}: MLflow has been sent what it lacked", flush=True)


def _send(module: str, messages: Sequence[Message], environment: Mapping[str, str]) -> None:
    """Gives messages to a process of their kind, which keeps again what it cannot publish."""
    lines = "".join(json.dumps(message) + "\n" for message in messages)
    ours = {key: value for key, value in os.environ.items() if key not in OF_COMMAND}
    subprocess.run([sys.executable, "-m", module], input=lines.encode(), env={**ours, **environment}, check=False)


def _file(module: str, opening: Message) -> Path:
    same = {key: value for key, value in opening["open"].items() if key not in VARYING}
    digest = hashlib.sha256(json.dumps([module, shown_store_uri(), same], sort_keys=True).encode()).hexdigest()
    return _folder() / f"{digest[:16]}.json"


def _folder() -> Path:
    return project_root() / ".wellfit" / "publications"
