"""What is read back is what was written: files with a sha256, and JSON with one of its own."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wellfit.errors import WellfitError
from wellfit.files import from_json, write_text

MANIFEST = "manifest.json"  # in the folder of a report
OTHER_VERSION = "was written by another version of wellfit"


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sealed(content: Mapping[str, Any]) -> str:
    """JSON whose last line is the sha256 of the others; the same content gives the same bytes.

    Args:
        content: what JSON can hold, without a key ``sha256``.
    """
    text = json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return f'{text[:-2]},\n "sha256": "{hashlib.sha256(text.encode()).hexdigest()}"\n}}\n'


def unsealed(text: str) -> dict[str, Any]:
    """The reverse of :func:`sealed`.

    Raises:
        ValueError: the text is not, to the letter, what :func:`sealed` made.
    """
    content = from_json(text)
    if not isinstance(content, dict) or content.pop("sha256", None) is None or sealed(content) != text:
        raise ValueError("its sha256 does not fit its content")
    return content


def write_manifest(folder: Path, names: Sequence[str]) -> None:
    """Writes ``manifest.json``, the last file of a report, with the sha256 of those that a later stage reads.

    Args:
        folder: the report.
        names: of the files.
    """
    write_text(folder / MANIFEST, sealed({"files": {name: file_sha256(folder / name) for name in names}}))


def check_manifest(folder: Path, stage: str, names: Sequence[str], way_out: str = "") -> bool:
    """Checks files of a report before they are read.

    Args:
        folder: the report.
        stage: that wrote it.
        names: of the files that are read, the first one such that git does not have it.
        way_out: what helps besides running the stage.

    Returns:
        False where neither the manifest nor the first file is there: the stage was not run.

    Raises:
        WellfitError: a file is missing, or is not what the stage wrote.
    """
    path = folder / MANIFEST
    remedy = f"run `dvc repro {stage}`{way_out}"
    if not path.is_file():
        if not (folder / names[0]).exists():
            return False
        lost = f"lost, or {folder} {OTHER_VERSION}"
        raise WellfitError(f"{path} not found, by which {folder / names[0]} is checked ({lost}): {remedy}")
    try:
        known = unsealed(path.read_text(encoding="utf-8"))["files"]
    except (ValueError, KeyError):
        raise WellfitError(f"{path} is not what {stage} wrote (its sha256 differs): {remedy}") from None
    for name in names:
        if not (folder / name).is_file():
            raise WellfitError(f"{folder / name} not found, though {stage} wrote it: {remedy}")
        if name not in known:
            raise WellfitError(f"{path} does not name {name}, so {folder} {OTHER_VERSION}: {remedy}")
        if file_sha256(folder / name) != known[name]:
            raise WellfitError(f"{folder / name} is not what {stage} wrote (its sha256 differs): {remedy}")
    return True
