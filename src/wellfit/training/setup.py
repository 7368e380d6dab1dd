"""From params to a training that is ready to go, the same for ``train`` and for a trial of ``tune``."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from wellfit.data.settings import own_settings
from wellfit.data.store import Meta, load_meta, load_split
from wellfit.errors import WellfitError
from wellfit.metrics.names import is_higher_better
from wellfit.settings.params import Params
from wellfit.training.learner import Learner
from wellfit.training.loop import BatchOrder, fit
from wellfit.training.members import Epoch, Members
from wellfit.training.runtime import be_deterministic, choose_device, set_threads
from wellfit.training.schedule import Plan, Schedule
from wellfit.training.tensors import Tensors, to_tensors


class TrainingData(NamedTuple):
    """Training and validation rows on the device. The test split is not opened here."""

    meta: Meta
    train: Tensors
    val: Tensors


class Training:
    """A training of K members that begins when ``epochs`` is iterated.

    Args:
        members: the configuration of each.
        data: what they train on.
        packed: whether their network is packed.
    """

    def __init__(self, members: Sequence[Params], data: TrainingData, *, packed: bool) -> None:
        first = members[0].train
        self.learner = Learner(members, *data, packed=packed)
        self.members = Members([params.train for params in members])
        seeds = [params.train.seed for params in members]
        self.order = BatchOrder(len(data.train.y), first.rows_per_step, seeds, data.train.x.device)
        plans = [_plan(params) for params in members]
        self.schedule = Schedule(plans, self.order.steps, higher_is_better=is_higher_better(first.monitor))
        self.epochs: Iterator[Epoch] = fit(self.learner, self.order, self.schedule, self.members)

    def change(self, kept: Sequence[int], added: Sequence[Params] = ()) -> None:
        """Goes on with some of the members of a pack, between two epochs, and with new ones behind them.

        Args:
            kept: indices of those that stay, rising.
            added: the configuration of each new one, of the pack's `wellfit.training.pack.pack_key`.
        """
        self.learner.change(kept, added)
        self.members.change(kept, [params.train for params in added])
        self.order.change(kept, [params.train.seed for params in added])
        self.schedule.change(kept, [_plan(params) for params in added])


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


def begin(members: Sequence[Params], data: TrainingData, *, packed: bool) -> Training:
    """Builds networks, optimizer, batch order, schedule and early stopping.

    Args:
        members: K configurations of one `wellfit.training.pack.pack_key`; exactly one where they are not packed.
        data: what they train on.
        packed: whether they train as a pack, be it of one (`wellfit.training.pack.can_pack`). A plain network sets the
            number of CPU threads, by ``train.threads``; that of a pack is up to the caller.

    Raises:
        ValueError: several members that are not packed.
        WellfitError: a setting that does not fit the data or the device.
    """
    be_deterministic()
    training = Training(members, data, packed=packed)
    if not packed:
        set_threads(members[0].train.threads, training.learner.multiply_adds)
    return training


def check_can_train(params: Params, data: TrainingData) -> None:
    """Builds the network and sees whether it fits the data; torch's random numbers and threads stay as they are.

    Raises:
        WellfitError: it does not.
    """
    threads = torch.get_num_threads()
    try:
        with torch.random.fork_rng(devices=[]):
            begin([params], data, packed=False)
    finally:
        torch.set_num_threads(threads)


def _plan(params: Params) -> Plan:
    return Plan(params.schedule, params.optim.lr, params.train.epochs)
