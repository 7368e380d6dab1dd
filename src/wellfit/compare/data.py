"""The data of a comparison: in a place of their own, shared by all comparisons of the same data."""

import hashlib
import json
from pathlib import Path

from filelock import FileLock

from wellfit.data.catalog import CATALOG
from wellfit.data.fetch import FetchConfig, fetch
from wellfit.data.meta import SPLIT_NAMES
from wellfit.data.prepare import prepare
from wellfit.data.settings import DataConfig
from wellfit.data.store import load_meta, load_split
from wellfit.errors import WellfitError
from wellfit.files import project_root, read_json, write_json
from wellfit.training.record import code_sha256

FOLDER = Path("data/comparisons")
CODE = "code.json"  # in a folder of data: what has prepared them


def prepared_data(data: DataConfig, config: FetchConfig, comparison: str) -> Path:
    """Fetches and prepares data, unless that was done before by the same code.

    They lie in ``data/comparisons/<name>-<digest of the settings>/``: ``data/raw`` and ``data/processed`` are the
    root pipeline's. The user's own data, which may have changed, are prepared anew each time.

    Args:
        data: which, and how to split them.
        config: time-out and retries of each download.
        comparison: the name of the one that asks.

    Returns:
        The folder of the processed data set.

    Raises:
        WellfitError: they cannot be had, or not be prepared as asked.
    """
    is_own = CATALOG[data.name].is_own
    settings = data.model_dump(mode="json", exclude={"augment"}) | ({"comparison": comparison} if is_own else {})
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    folder = project_root() / FOLDER / f"{data.name}-{digest[:12]}"
    processed = folder / "processed" / data.name
    code = code_sha256("data")
    with _alone(folder.name):
        if is_own or not _is_complete(processed, folder / CODE, code):
            raw = folder / "raw"
            if CATALOG[data.name].files:
                raw = download(data, config)
            else:
                fetch(data, config, raw)
            prepare(data, raw, folder / "processed")
            write_json(folder / CODE, {"code_sha256": code})
    return processed


def download(data: DataConfig, config: FetchConfig) -> Path:
    """Fetches a data set that is published somewhere; all comparisons share what was fetched.

    Returns:
        The folder of raw data.

    Raises:
        WellfitError: it cannot be had.
    """
    raw = project_root() / FOLDER / "raw"
    with _alone(f"raw-{data.name}"):
        fetch(data, config, raw)
    return raw


def _alone(what: str) -> FileLock:
    """Keeps another process from making the same data at once."""
    lock = project_root() / ".wellfit" / "locks" / f"data-{what}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(lock)


def _is_complete(processed: Path, code_file: Path, code: str) -> bool:
    try:
        if read_json(code_file) != {"code_sha256": code}:
            return False
        meta = load_meta(processed)
        for name in SPLIT_NAMES:
            load_split(processed, meta, name)
    except (OSError, WellfitError):
        return False
    return True
