"""What is kept of a trial that has ended: three files in a folder of its own, before anybody else hears of it."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wellfit.errors import WellfitError
from wellfit.manifest import OTHER_VERSION
from wellfit.training.record import read_training, write_training

if TYPE_CHECKING:
    from wellfit.training.finish import Finished

TRIAL = "trial.json"


@dataclass(frozen=True)
class TrialRecord:
    """A trial that has ended.

    Attributes:
        number: in the study, from 0.
        state: ``complete``, ``pruned`` or ``failed``.
        values: dotted key of ``params.yaml`` to the value that was tried.
        config: all that decides what the model became, in sections.
        history: the metrics of each epoch, by their names in MLflow; NaN where one is not a number. With folds, their
            means over the folds; a fold that has stopped counts with those of its best epoch.
        best: the best value of ``train.monitor``, or the mean of those of all folds; None where there is none.
        best_epoch: its epoch, from 1, with folds that of fold 0; 0 where there is none.
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


def write_record(folder: Path, record: TrialRecord, models: "Sequence[Finished]" = (), data_sha256: str = "") -> None:
    """Writes ``trial.json``, ``history.jsonl`` and, where there are weights, ``best.safetensors``, as a whole.

    With folds, ``best.safetensors`` is of fold 0, ``fold1.safetensors`` of fold 1, and so on.

    Args:
        folder: to make; replaced where there is one.
        record: the trial.
        models: what the training of each fold came to; without folds one; none where it has no best epoch.
        data_sha256: of the data it was trained on, for the checkpoints.
    """
    trial = {name: value for name, value in vars(record).items() if name != "history"}
    checkpoints = []
    for fold, model in enumerate(models):
        if len(models) == 1:
            best = record.history[record.best_epoch - 1]
            config, metrics = record.config, {name: value for name, value in best.items() if name.startswith("val/")}
        else:
            section = record.config["train"]
            config, metrics = record.config | {"train": section | {"fold": fold}}, {section["monitor"]: model.best}
        info = {"config": config, "data_sha256": data_sha256, "epoch": model.epoch, "metrics": metrics}
        checkpoints.append((model.weights, info))
    write_training(folder, TRIAL, trial, record.history, checkpoints)


def read_record(folder: Path) -> TrialRecord:
    """Reads what :func:`write_record` wrote.

    Raises:
        WellfitError: it is not there, or not as it was written.
    """
    said = read_training(folder, TRIAL)
    if said.keys() != TrialRecord.__dataclass_fields__.keys():
        raise WellfitError(f"{folder / TRIAL} {OTHER_VERSION}")
    return TrialRecord(**said)


def set_aside(folder: Path) -> Path:
    """Moves the record of a trial that does not count out of the way, and gives its new folder.

    Args:
        folder: ``trials/<number>``, below the folder of the study.
    """
    new = folder.parents[1] / "set_aside" / f"{folder.name}-{uuid.uuid4().hex[:8]}"
    new.parent.mkdir(exist_ok=True)
    return folder.rename(new)
