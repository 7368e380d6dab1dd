"""From params to a training that is ready to go, the same for ``train`` and for a trial of ``tune``."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from wellfit.data.settings import own_settings
from wellfit.data.store import Meta, load_meta, load_split
from wellfit.errors import WellfitError
from wellfit.metrics.names import is_higher_better
from wellfit.settings.params import Params
from wellfit.training.loop import BatchOrder, Epoch, Members, fit
from wellfit.training.pack import Pack
from wellfit.training.runtime import be_deterministic, choose_device, set_threads
from wellfit.training.schedule import Plan, Schedule
from wellfit.training.single import Single
from wellfit.training.tensors import Tensors, to_tensors

L = TypeVar("L", Single, Pack)


class TrainingData(NamedTuple):
    """Training and validation rows on the device. The test split is not opened here."""

    meta: Meta
    train: Tensors
    val: Tensors


class Training(Generic[L]):
    """A training that begins when ``epochs`` is iterated."""

    def __init__(self, learner: L, members: Members, order: BatchOrder, schedule: Schedule) -> None:
        self.learner: L = learner
        self.members = members
        self.order, self.schedule = order, schedule
        self.epochs: Iterator[Epoch] = fit(learner, order, schedule, members)


def change_members(training: Training[Pack], kept: Sequence[int], added: Sequence[Params]) -> None:
    """Goes on with some of the members of a pack, between two epochs, and with new ones behind them.

    Args:
        training: whose ``epochs`` is being iterated.
        kept: indices of those that stay, rising.
        added: the configuration of each new one.
    """
    training.learner.change(kept, added)
    training.members.change(kept, [params.train for params in added])
    training.order.change(kept, [params.train.seed for params in added])
    training.schedule.change(kept, [_plan(params) for params in added])


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


def begin(params: Params, data: TrainingData) -> Training[Single]:
    """Builds network, optimizer, batch order, schedule and early stopping for one configuration."""
    be_deterministic()
    learner = Single(params, data.meta, data.train, data.val)
    set_threads(params.train.threads, learner.multiply_adds(params.train.batch_size))
    return _training(learner, [params], data)


def begin_pack(members: Sequence[Params], data: TrainingData) -> Training[Pack]:
    """The same for K configurations of one `wellfit.training.pack.pack_key`; the number of threads stays as it is."""
    be_deterministic()
    return _training(Pack(members, data.meta, data.train, data.val), members, data)


def _training(learner: L, members: Sequence[Params], data: TrainingData) -> Training[L]:
    first = members[0].train
    seeds = [params.train.seed for params in members]
    order = BatchOrder(len(data.train.y), first.rows_per_step, seeds, data.train.x.device)
    plans = [_plan(params) for params in members]
    schedule = Schedule(plans, order.steps, higher_is_better=is_higher_better(first.monitor))
    return Training(learner, Members([params.train for params in members]), order, schedule)


def _plan(params: Params) -> Plan:
    return Plan(params.schedule, params.optim.lr, params.train.epochs)
