"""Trainings that nobody watches: any number of configurations, each to its end."""

import hashlib
import json
import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from wellfit.errors import WellfitError
from wellfit.settings.params import Params
from wellfit.training.checkpoint import Checkpoint, load_checkpoints, save_checkpoints
from wellfit.training.cores import Cores
from wellfit.training.pack import can_pack, pack_key
from wellfit.training.record import resolved_config
from wellfit.training.setup import TrainingData
from wellfit.training.shards import Weights
from wellfit.training.size import Size


class Finished(NamedTuple):
    """A training that has ended.

    Attributes:
        best: the best value of ``train.monitor``.
        epoch: whose weights are kept, from 1.
        weights: of that epoch, by name.
    """

    best: float
    epoch: int
    weights: Weights

    def checkpoint(self, params: Params, data_sha256: str, source: str) -> Checkpoint:
        """Its checkpoint.

        Args:
            params: the configuration.
            data_sha256: of the data it was trained on.
            source: what to call it.
        """
        info = {
            "config": resolved_config(params),
            "data_sha256": data_sha256,
            "epoch": self.epoch,
            "metrics": {params.train.monitor: self.best},
            "source": source,
        }
        return Checkpoint(self.weights, info)


def finish(members: Sequence[Params], size: Size, cores: Cores, kept: Path | None = None) -> list[Finished | None]:
    """Trains each configuration to its end, as many at once as pays.

    Args:
        members: the configurations; those of one `wellfit.training.pack.pack_key` are trained as packs.
        size: how many train at once.
        cores: as many processes as the size says, at least.
        kept: gets what has ended, which is not trained again; None: nothing is kept.

    Returns:
        What each came to; None where the training blew up.
    """
    finished: list[Finished | None] = [None] * len(members)
    alike: dict[str, list[int]] = {}
    for number, params in enumerate(members):
        alike.setdefault(pack_key(params), []).append(number)
    for numbers in alike.values():
        at_once = size.at_once if can_pack(members[numbers[0]]) else size.processes
        for start in range(0, len(numbers), at_once):
            pack = numbers[start : start + at_once]
            for number, outcome in zip(pack, _kept([members[n] for n in pack], size, cores, kept), strict=True):
                finished[number] = outcome
    return finished


def finish_folds(
    configurations: Sequence[Params], data: TrainingData, size: Size, cores: Cores, kept: Path | None = None
) -> list[list[Finished] | None]:
    """Trains each configuration to its end, once for each fold; without folds once.

    Args:
        configurations: what to train.
        data: what to train on.
        size: how many train at once.
        cores: as many processes as the size says, at least.
        kept: as of :func:`finish`.

    Returns:
        What the folds of each came to; None where one blew up.
    """
    folds = range(data.n_folds)
    members = [each.replace({"train.fold": fold}) if data.folds else each for each in configurations for fold in folds]
    outcomes = finish(members, size, cores, kept)
    found: list[list[Finished] | None] = []
    for start in range(0, len(outcomes), len(folds)):
        models = [outcome for outcome in outcomes[start : start + len(folds)] if outcome is not None]
        found.append(models if len(models) == len(folds) else None)
    return found


def mean_best(models: Sequence[Finished]) -> float:
    """The mean over folds of the best value of ``train.monitor``."""
    return math.fsum(model.best for model in models) / len(models)


def checkpoints_of(models: Sequence[Finished], params: Params, data: TrainingData, source: str) -> list[Checkpoint]:
    """The checkpoint of each fold.

    Args:
        models: what the training of each fold came to, or of the only one.
        params: the configuration.
        data: what they were trained on.
        source: what to call them.
    """
    members = [params.replace({"train.fold": fold}) if data.folds else params for fold in range(data.n_folds)]
    return [model.checkpoint(member, data.meta.sha256, source) for model, member in zip(models, members, strict=True)]


def _kept(members: Sequence[Params], size: Size, cores: Cores, folder: Path | None) -> list[Finished | None]:
    """What the members of a pack came to, all of them before or all of them now: sums round by how many they are."""
    if folder is None:
        return _train(members, size, cores)
    configs = json.dumps([size._replace(rate=0.0), [resolved_config(params) for params in members]])
    path = folder / f"pack-{hashlib.sha256(configs.encode()).hexdigest()[:16]}.safetensors"
    with suppress(WellfitError):  # of none, or of a damaged one
        return [
            Finished(info["best"], info["epoch"], weights) if info["has_ended"] else None
            for weights, info in load_checkpoints(path)
        ]
    outcomes = _train(members, size, cores)
    ended = [
        Checkpoint(outcome.weights, {"has_ended": True, "best": outcome.best, "epoch": outcome.epoch})
        if outcome
        else Checkpoint({}, {"has_ended": False})
        for outcome in outcomes
    ]
    with suppress(OSError):  # of a full disk: it costs the training nothing
        save_checkpoints(path, ended)
    return outcomes


def _train(members: Sequence[Params], size: Size, cores: Cores) -> list[Finished | None]:
    packed = can_pack(members[0]) and min(size.members, len(members)) > 1
    training = cores.begin(members, size, packed=packed)
    for _ in training.epochs:
        pass
    found = training.members
    outcomes = zip(found.failure, found.best, found.best_epoch, map(training.weights, range(len(members))), strict=True)
    return [
        None if failure or weights is None else Finished(float(best), int(epoch), weights)
        for failure, best, epoch, weights in outcomes
    ]
