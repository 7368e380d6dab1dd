"""What is kept of the trainings of a comparison, so that none is made twice."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wellfit.compare.outcome import Outcome
from wellfit.errors import WellfitError
from wellfit.files import project_root
from wellfit.settings.params import Params
from wellfit.training.record import (
    CHECKPOINT,
    HISTORY,
    code_sha256,
    data_that_trains,
    read_training,
    resolved_config,
    write_training,
)

if TYPE_CHECKING:
    from torch import Tensor

OUTCOME = "outcome.json"


class Record(NamedTuple):
    """A training that has ended.

    Attributes:
        outcome: what it brought.
        config: all that decides what the model became, in sections.
        started: in seconds since 1970.
        ended: likewise.
    """

    outcome: Outcome
    config: dict[str, Any]
    started: float
    ended: float


def record_folder(comparison: str, params: Params, data_sha256: str, weights: str) -> Path:
    """Where a training is kept: another place for whatever would make it another one, the code included.

    Args:
        comparison: its name.
        params: the configuration, with the seed.
        data_sha256: of the data.
        weights: which are scored, best or last.
    """
    identity = resolved_config(params) | {
        "data": data_that_trains(params),
        "data_sha256": data_sha256,
        "weights": weights,
        "code_sha256": code_sha256("compare/train.py", "data/augment", "data/store.py", "models", "training"),
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return project_root() / ".wellfit" / "comparisons" / comparison / f"{params.train.seed}-{digest[:16]}"


def write_outcome(folder: Path, record: Record, weights: "Mapping[str, Tensor] | None", data_sha256: str) -> None:
    """Writes ``outcome.json``, ``history.jsonl`` and, where there are weights, ``best.safetensors``, as a whole.

    Args:
        folder: to make.
        record: the training.
        weights: that were scored.
        data_sha256: of the data it was trained on.
    """
    outcome = record.outcome
    said = {
        "variant": outcome.variant,
        "seed": outcome.seed,
        "scores": dict(outcome.scores),
        "best_epoch": outcome.best_epoch,
        "seconds": outcome.seconds,
        "failure": outcome.failure,
        "epochs": len(outcome.history),
        "config": record.config,
        "started": record.started,
        "ended": record.ended,
    }
    info = {"config": record.config, "data_sha256": data_sha256, "metrics": dict(outcome.scores)}
    write_training(folder, OUTCOME, said, outcome.history, weights, info)


def read_outcome(folder: Path, variant: str) -> Record | None:
    """Reads what :func:`write_outcome` wrote; None where it is not there, or not as it was written.

    Args:
        folder: of the training.
        variant: what it is called now.
    """
    if not folder.is_dir():
        return None
    try:
        record = read_record(folder, variant)
        if not record.outcome.failure:
            kept_weights(folder)
        return record
    except WellfitError as error:
        print(f"{variant}, seed {folder.name.split('-')[0]}: trained again, for {error}", flush=True)
        return None


def read_record(folder: Path, variant: str) -> Record:
    """Reads the same, and leaves the weights unread.

    Raises:
        WellfitError: it is not there, or not as it was written.
    """
    said = read_training(folder, OUTCOME)
    try:
        outcome = Outcome(
            variant=variant,
            seed=said["seed"],
            history=said["history"],
            scores=said["scores"],
            best_epoch=said["best_epoch"],
            seconds=said["seconds"],
            failure=said["failure"],
        )
        if len(outcome.history) != said["epochs"]:
            raise WellfitError(f"{folder / HISTORY} has {len(outcome.history)} of {said['epochs']} epochs")
        return Record(outcome, said["config"], said["started"], said["ended"])
    except KeyError as error:
        raise WellfitError(f"{folder / OUTCOME} lacks {error}") from None


def kept_weights(folder: Path) -> "dict[str, Tensor]":
    """The weights of a training that ended well.

    Raises:
        WellfitError: they are damaged.
    """
    from wellfit.training.checkpoint import load_checkpoint

    return load_checkpoint(folder / CHECKPOINT).weights
