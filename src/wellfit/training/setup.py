"""From params to a training that is ready to go, the same for ``train`` and for a trial of ``tune``."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from wellfit.data.config import own_settings
from wellfit.data.store import Meta, load_meta, load_split
from wellfit.errors import WellfitError
from wellfit.params import Params
from wellfit.runtime import be_deterministic, choose_device, set_threads
from wellfit.training.loop import BatchOrder, Epoch, Members, fit
from wellfit.training.metrics import is_higher_better
from wellfit.training.schedule import Schedule
from wellfit.training.single import Single
from wellfit.training.tensors import Tensors, to_tensors


class TrainingData(NamedTuple):
    """Training and validation rows on the device. The test split is not opened here."""

    meta: Meta
    train: Tensors
    val: Tensors


class Training(NamedTuple):
    """A training that begins when ``epochs`` is iterated."""

    learner: Single
    members: Members
    epochs: Iterator[Epoch]


def load_training_data(params: Params, folder: Path) -> TrainingData:
    """Reads the processed data onto the device of ``train.device``.

    Args:
        params: the configuration.
        folder: ``data/processed/<name>``.

    Raises:
        WellfitError: data that are missing, damaged or prepared otherwise, or a device that is not there.
    """
    device = choose_device(params.train.device)
    meta = load_meta(folder)
    for key, value in own_settings(params.data).items():
        if meta.settings.get(key, value) != value:
            raise WellfitError(
                f"{folder} was prepared with data.{key} {meta.settings[key]}, which is {value} now: run `dvc repro "
                "preprocess`"
            )
    params.check_task(meta.kind, meta.task)
    train, val = (to_tensors(load_split(folder, meta, name), meta, device) for name in ("train", "val"))
    return TrainingData(meta, train, val)


def steps_per_epoch(params: Params, data: TrainingData) -> int:
    """Optimizer steps of an epoch."""
    return BatchOrder(len(data.train.y), params.train.rows_per_step, [], data.train.x.device).steps


def begin(params: Params, data: TrainingData) -> Training:
    """Builds network, optimizer, batch order, schedule and early stopping for one configuration."""
    be_deterministic()
    learner = Single(params, data.meta, data.train, data.val)
    set_threads(params.train.threads, learner.multiply_adds(params.train.batch_size))
    order = BatchOrder(len(data.train.y), params.train.rows_per_step, [params.train.seed], data.train.x.device)
    schedule = Schedule(
        params.schedule,
        [params.optim.lr],
        params.train.epochs,
        order.steps,
        higher_is_better=is_higher_better(params.train.monitor),
    )
    members = Members(1, params.train.monitor, params.train.patience, params.train.min_delta)
    return Training(learner, members, fit(learner, order, schedule, members))
