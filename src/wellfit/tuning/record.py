"""What is kept of a trial that has ended: three files in a folder of its own, before anybody else hears of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wellfit.errors import WellfitError
from wellfit.training.record import read_training, write_training

if TYPE_CHECKING:
    from torch import Tensor

TRIAL = "trial.json"


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
    """Writes ``trial.json``, ``history.jsonl`` and, where there are weights, ``best.safetensors``, as a whole.

    Args:
        folder: to make; replaced where there is one.
        record: the trial.
        weights: of its best epoch, by name.
        data_sha256: of the data it was trained on, for the checkpoint.
    """
    trial = {name: value for name, value in vars(record).items() if name != "history"}
    info: dict[str, Any] = {"config": record.config, "data_sha256": data_sha256, "epoch": record.best_epoch}
    if record.best_epoch:
        best = record.history[record.best_epoch - 1]
        info["metrics"] = {name: value for name, value in best.items() if name.startswith("val/")}
    write_training(folder, TRIAL, trial, record.history, weights, info)


def read_record(folder: Path) -> TrialRecord:
    """Reads what :func:`write_record` wrote.

    Raises:
        WellfitError: it is not there, or not as it was written.
    """
    try:
        return TrialRecord(**read_training(folder, TRIAL))
    except TypeError as error:
        raise WellfitError(f"{folder} is not as a training leaves it ({error}); delete it") from None
