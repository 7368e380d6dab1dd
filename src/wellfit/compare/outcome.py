"""What one training of a comparison brought, and the folder that keeps it, so that no training is made twice."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wellfit.errors import WellfitError
from wellfit.files import project_root
from wellfit.settings.params import Params
from wellfit.training.record import (
    CHECKPOINT,
    code_sha256,
    data_that_trains,
    read_training,
    resolved_config,
    write_training,
)

if TYPE_CHECKING:
    from torch import Tensor

OUTCOME = "outcome.json"


@dataclass(frozen=True)
class Outcome:
    """One variant trained with one seed.

    Attributes:
        variant: its name.
        seed: of initial weights, batch order and dropout.
        history: metrics of each epoch. ``train/...`` are those of the network as it predicts, without dropout, noise,
            mixing or augmentation, on training rows, so that the gap to ``val/...`` is none of their making;
            ``gap/...`` is what the training rows fare better by, positive where the network over-fits; ``lr`` and
            ``grad_norm`` explain it.
        scores: of the weights that the comparison keeps, on all splits: ``train/accuracy``, ``val/accuracy``,
            ``test/accuracy``, ``gap/accuracy``, ...; those of numbers in the target's own unit, but ``loss``.
        best_epoch: with the best ``train.monitor``, from 1; 0 where there is none.
        seconds: of its training; in a pack, its share of the pack's.
        failure: what went wrong; empty where nothing did. Then ``scores`` is empty.
        config: all that decides what the model became, in sections.
        started: in seconds since 1970.
        ended: likewise.
    """

    variant: str
    seed: int
    history: Sequence[Mapping[str, float]]
    scores: Mapping[str, float]
    best_epoch: int
    seconds: float
    failure: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    started: float = 0.0
    ended: float = 0.0


def outcome_folder(comparison: str, params: Params, data_sha256: str, weights: str) -> Path:
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
        "code_sha256": code_sha256(
            "compare/train.py", "data/augment", "data/meta.py", "data/store.py", "models", "training"
        ),
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return project_root() / ".wellfit" / "comparisons" / comparison / f"{params.train.seed}-{digest[:16]}"


def write_outcome(folder: Path, outcome: Outcome, weights: "Mapping[str, Tensor] | None", data_sha256: str) -> None:
    """Writes ``outcome.json``, ``history.jsonl`` and, where there are weights, ``best.safetensors``, as a whole.

    Args:
        folder: to make.
        outcome: of the training.
        weights: that were scored.
        data_sha256: of the data it was trained on.
    """
    said = {name: value for name, value in vars(outcome).items() if name != "history"}
    info = {"config": outcome.config, "data_sha256": data_sha256, "metrics": outcome.scores}
    checkpoints = [(weights, info)] if weights else []
    write_training(folder, OUTCOME, said, outcome.history, checkpoints)


def kept_outcome(folder: Path, variant: str) -> Outcome | None:
    """The outcome of a training of before; None where it is not there, or its files are not as they were written.

    Args:
        folder: of the training.
        variant: what it is called now.
    """
    if not folder.is_dir():
        return None
    try:
        outcome = read_outcome(folder, variant)
        if not outcome.failure:
            kept_weights(folder)
        return outcome
    except WellfitError as error:
        print(f"{variant}, seed {folder.name.split('-')[0]}: trained again, for {error}", flush=True)
        return None


def read_outcome(folder: Path, variant: str) -> Outcome:
    """Reads what :func:`write_outcome` wrote, but for the weights.

    Args:
        folder: of the training.
        variant: what it is called now.

    Raises:
        WellfitError: it is not there, or not as it was written.
    """
    try:
        return Outcome(**read_training(folder, OUTCOME) | {"variant": variant})
    except TypeError:
        raise WellfitError(f"{folder / OUTCOME} is of another version of wellfit") from None


def kept_weights(folder: Path) -> "dict[str, Tensor]":
    """The weights of a training that ended well.

    Raises:
        WellfitError: they are damaged.
    """
    from wellfit.training.checkpoint import load_checkpoint

    return load_checkpoint(folder / CHECKPOINT).weights
