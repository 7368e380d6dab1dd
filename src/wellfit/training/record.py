"""What is written down of every training, of the train stage, of trials and of comparisons alike."""

import ast
import functools
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wellfit
from wellfit.errors import WellfitError
from wellfit.files import replacing
from wellfit.manifest import file_sha256, sealed, unsealed
from wellfit.settings.params import Params

if TYPE_CHECKING:
    from torch import Tensor

# Kept out of reports, which are the same bytes in every run, and of trials, whose pack they are of.
TIMING = ("seconds", "samples_per_second")
SECTIONS = ("data", "model", "loss", "regularize", "optim", "schedule", "train")
REPORT_FILES = ("history.csv", "verdict.json", "summary.txt", "ensemble.csv", "metrics.json")  # that evaluate reads
HISTORY, CHECKPOINT = "history.jsonl", "best.safetensors"
FILES = "files"  # what a record says of others: their sha256
NO_CHECKPOINTS = b"no checkpoints\n"  # a file of several that holds none: DVC warns of an empty one

_encoder = json.JSONEncoder(allow_nan=False)


def best_metrics(best: dict[str, float]) -> dict[str, float]:
    """``best/val/...`` metrics of a run, so that runs compare by their best epoch and not by their last.

    MLflow's charts open with the metrics that come first in the alphabet: those of the training rows would be in front.
    """
    return {f"best/{name}": value for name, value in best.items() if name.startswith("val/")}


def resolved_config(params: Params) -> dict[str, Any]:
    """The sections that decide what a model becomes, as a tree that YAML and JSON can hold."""
    tree = params.model_dump(mode="json")
    for key in ("seeds", "ensemble"):  # of several models
        del tree["train"][key]
    return {section: tree[section] for section in SECTIONS}


def data_that_trains(params: Params) -> dict[str, Any]:
    """What of the section ``data`` is not in the data themselves."""
    return params.data.model_dump(mode="json", include={"name", "augment", "memory"})


def code_sha256(*names: str) -> str:
    """A digest of the code in source files, in hexadecimal digits.

    Args:
        names: as :func:`code_digests` takes them.
    """
    return hashlib.sha256(json.dumps(code_digests(*names)).encode()).hexdigest()


def code_digests(*names: str) -> dict[str, str]:
    """A digest of the code in each of several source files.

    Comments, docstrings and layout are no code.

    Args:
        names: below ``wellfit``: files, and folders for all of the files in them.

    Returns:
        Path below ``wellfit`` to 16 hexadecimal digits.
    """
    root = Path(wellfit.__file__).parent
    files: set[Path] = set()
    for name in names:
        files.update([root / name] if name.endswith(".py") else (root / name).rglob("*.py"))
    return {file.relative_to(root).as_posix(): _code_digest(file.read_bytes()) for file in sorted(files)}


@functools.cache
def _code_digest(source: bytes) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node) is not None:
            del node.body[0]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


def checkpoint_name(fold: int) -> str:
    """The file of the weights of a fold; without folds that of fold 0."""
    return f"fold{fold}.safetensors" if fold else CHECKPOINT


def write_training(
    folder: Path,
    name: str,
    said: Mapping[str, Any],
    history: Sequence[Mapping[str, float]],
    checkpoints: "Sequence[tuple[Mapping[str, Tensor], Mapping[str, Any]]]" = (),
) -> None:
    """Writes what is kept of a training that has ended: ``name``, ``history.jsonl``, ``best.safetensors``.

    The folder appears as a whole, so that the death of this process leaves all of it or nothing. It is not forced onto
    the disk: that would hold training up, and all a power cut takes is trainings that can be made again.

    Args:
        folder: to make; replaced where there is one.
        name: of the file of what is said.
        said: what JSON can hold.
        history: metrics of each epoch.
        checkpoints: weights by name, and what to say of them: of each fold, or a single one, or none.
    """
    with replacing(folder, durable=False) as unfinished:
        epochs = ({"epoch": number, **metrics} for number, metrics in enumerate(history, 1))
        (unfinished / HISTORY).write_bytes(b"".join(map(_line, epochs)))
        digests = {HISTORY: file_sha256(unfinished / HISTORY)}  # a checkpoint has its own
        (unfinished / name).write_text(sealed(finite(dict(said)) | {FILES: digests}), encoding="utf-8")
        if checkpoints:
            from wellfit.training.checkpoint import save_checkpoint

            for fold, (weights, info) in enumerate(checkpoints):
                save_checkpoint(unfinished / checkpoint_name(fold), weights, finite(dict(info)), durable=False)


def read_training(folder: Path, name: str) -> dict[str, Any]:
    """Reads what :func:`write_training` wrote, the history under ``history``, NaN where one was not a number.

    Raises:
        WellfitError: it is not there, or not as it was written.
    """
    try:
        said = unsealed((folder / name).read_text(encoding="utf-8"))
        if said.pop(FILES) != {HISTORY: file_sha256(folder / HISTORY)}:
            raise ValueError(f"{HISTORY} is another")
        lines = (folder / HISTORY).read_text(encoding="utf-8").splitlines()
        history = [
            {name: math.nan if value is None else value for name, value in json.loads(line).items() if name != "epoch"}
            for line in lines
        ]
        return {"history": history, **said}
    except (OSError, ValueError, KeyError) as error:
        raise WellfitError(f"{folder / name} is not as the training left it ({error})") from None


def finite(value: Any) -> Any:
    """A tree with None in place of what is not a number, which JSON does not know."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _line(content: dict[str, Any]) -> bytes:
    # Without indent and in one go: that is the encoder in C, ten times as fast.
    try:
        return _encoder.encode(content).encode() + b"\n"
    except ValueError:  # not a number, and JSON does not know that: rare
        return _encoder.encode(finite(content)).encode() + b"\n"
