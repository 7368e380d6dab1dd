"""What is kept of a trial that has ended: three files in a folder of its own, before anybody else hears of it."""

import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wellfit.errors import WellfitError

if TYPE_CHECKING:
    from torch import Tensor

_encoder = json.JSONEncoder(allow_nan=False)
TRIAL, HISTORY, CHECKPOINT = "trial.json", "history.jsonl", "best.safetensors"


@dataclass(frozen=True)
class TrialRecord:
    """A trial that has ended.

    Attributes:
        number: in the study, from 0.
        state: ``complete``, ``pruned`` or ``failed``.
        values: dotted key of ``params.yaml`` to the value that was tried.
        config: all that decides what the model became, in sections.
        history: the metrics of each epoch, by their names in MLflow; NaN where one is not a number.
        best: the best value of ``train.monitor``; None where there is none.
        best_epoch: its epoch, from 1; 0 where there is none.
        failure: what went wrong; empty where nothing did.
        started: in seconds since 1970.
        ended: likewise.
    """

    number: int
    state: str
    values: dict[str, Any]
    config: dict[str, Any]
    history: list[dict[str, float]]
    best: float | None
    best_epoch: int
    failure: str
    started: float
    ended: float


def write_record(
    folder: Path, record: TrialRecord, weights: "Mapping[str, Tensor] | None" = None, data_sha256: str = ""
) -> None:
    """Writes ``trial.json``, ``history.jsonl`` and, where there are weights, ``best.safetensors``.

    The folder appears as a whole, so that the death of this process leaves all of it or nothing. It is not forced onto
    the disk: that would hold training up, and all a power cut takes is trials that can be made again.

    Args:
        folder: to make; replaced where there is one.
        record: the trial.
        weights: of its best epoch, by name.
        data_sha256: of the data it was trained on, for the checkpoint.
    """
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    unfinished.mkdir(parents=True)
    try:
        trial = {name: value for name, value in vars(record).items() if name != "history"}
        (unfinished / TRIAL).write_bytes(_line(trial))
        epochs = ({"epoch": number} | metrics for number, metrics in enumerate(record.history, 1))
        (unfinished / HISTORY).write_bytes(b"".join(map(_line, epochs)))
        if weights:
            from wellfit.training.checkpoint import save_checkpoint

            best = _finite(record.history[record.best_epoch - 1])
            info = {"config": record.config, "data_sha256": data_sha256, "epoch": record.best_epoch}
            info |= {"metrics": {name: value for name, value in best.items() if name.startswith("val/")}}
            save_checkpoint(unfinished / CHECKPOINT, weights, info, durable=False)
        if folder.exists():
            shutil.rmtree(folder)
        unfinished.replace(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def read_record(folder: Path) -> TrialRecord:
    """Reads what :func:`write_record` wrote.

    Raises:
        WellfitError: it is not there, or not as it was written.
    """
    try:
        trial = json.loads((folder / TRIAL).read_text(encoding="utf-8"))
        lines = (folder / HISTORY).read_text(encoding="utf-8").splitlines()
        history = [
            {name: math.nan if value is None else value for name, value in json.loads(line).items() if name != "epoch"}
            for line in lines
        ]
        return TrialRecord(history=history, **trial)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise WellfitError(f"{folder} is not as a trial leaves it ({error}); delete it") from None


def _line(content: dict[str, Any]) -> bytes:
    # Without indent and in one go: that is the encoder in C, ten times as fast.
    try:
        return _encoder.encode(content).encode() + b"\n"
    except ValueError:  # not a number, and JSON does not know that: rare
        return _encoder.encode(_finite(content)).encode() + b"\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
