"""From params to a training that is ready to go, the same for ``train`` and for a trial of ``tune``."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from wellfit.data.features import BODY, features_folder, trained_rows
from wellfit.data.meta import Meta
from wellfit.data.scratch import memory_budget
from wellfit.data.settings import check_prepared
from wellfit.data.store import load_meta, load_split
from wellfit.errors import WellfitError
from wellfit.metrics.names import is_higher_better
from wellfit.settings.params import Params
from wellfit.training.distributed import Ranks
from wellfit.training.folds import Folds, pooled
from wellfit.training.learner import Learner
from wellfit.training.loop import BatchOrder, fit
from wellfit.training.members import Epoch, Members
from wellfit.training.memory import check_memory, device_bytes
from wellfit.training.runtime import be_deterministic, choose_device, set_threads
from wellfit.training.schedule import Plan, Schedule
from wellfit.training.tensors import Tensors, to_tensors


class TrainingData(NamedTuple):
    """Training and validation rows on the device. The test split is not opened here.

    Attributes:
        meta: what is known of the data.
        train: training rows, of fold 0 where there are folds.
        val: validation rows, likewise.
        folds: of a cross-validation, or None.
        body: weights that the body of the network begins with, by name, or None.
    """

    meta: Meta
    train: Tensors
    val: Tensors
    folds: Folds | None = None
    body: dict[str, Tensor] | None = None

    @property
    def n_folds(self) -> int:
        """Models that are trained for one configuration; 1 without folds."""
        return self.folds.n_folds if self.folds else 1


class Training:
    """A training of K members that begins when ``epochs`` is iterated.

    Args:
        members: the configuration of each.
        data: what they train on.
        packed: whether their network is packed.
        ranks: the processes that train a single network together; None: this one trains alone.
    """

    def __init__(
        self, members: Sequence[Params], data: TrainingData, *, packed: bool, ranks: Ranks | None = None
    ) -> None:
        first = members[0].train
        self.ranks = ranks
        self._gathered: list[dict[str, Any]] = []  # where the random numbers of all processes were after the last epoch
        own = [ranks.own(params) for params in members] if ranks else members
        self.learner = Learner(own, *data, packed=packed, ranks=ranks)
        self.members = Members([params.train for params in members])
        seeds = [params.train.seed for params in members]
        fold = [params.train.fold for params in members]
        rows, device = len(data.train.y), data.train.device
        self.order = BatchOrder(
            rows, first.rows_per_step(data.meta), seeds, device, data.folds, fold, stream=data.train.stream
        )
        plans = [_plan(params) for params in members]
        self.schedule = Schedule(plans, self.order.steps, higher_is_better=is_higher_better(first.monitor))
        self.epochs: Iterator[Epoch] = self._fit()

    def _fit(self) -> Iterator[Epoch]:
        for epoch in fit(self.learner, self.order, self.schedule, self.members):
            if self.ranks:
                self._gathered = self.ranks.gather(self._random_state())
            yield epoch

    def _random_state(self) -> dict[str, Any]:
        generators = [torch.get_rng_state()]
        if self.learner.train.y.is_cuda:
            generators.append(torch.cuda.get_rng_state())
        return {"learner": self.learner.random_state(), "torch": generators}

    def state_dict(self) -> dict[str, Any]:
        """What decides how it goes on, between two epochs: tensors, and what JSON can hold.

        The order of batches is none of it, which depends on seed and epoch.
        """
        return {
            "learner": self.learner.state_dict(),
            "members": self.members.state_dict(),
            "schedule": self.schedule.state_dict(),
            "random": self._gathered or [self._random_state()],  # of each process
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from what :meth:`state_dict` said of a training of the same members; before the first epoch."""
        self.learner.load_state_dict(state["learner"])
        self.members.load_state_dict(state["members"])
        self.schedule.load_state_dict(state["schedule"])
        if self.ranks:
            self._gathered = state["random"]
        own = state["random"][self.ranks.rank if self.ranks else 0]
        self.learner.load_random_state(own["learner"])
        torch.set_rng_state(own["torch"][0])
        for generator in own["torch"][1:]:
            torch.cuda.set_rng_state(generator)

    def change(self, kept: Sequence[int], added: Sequence[Params] = ()) -> None:
        """Goes on with some of the members of a pack, between two epochs, and with new ones behind them.

        Args:
            kept: indices of those that stay, rising.
            added: the configuration of each new one, of the pack's `wellfit.training.pack.pack_key`.
        """
        self.learner.change(kept, added)
        self.members.change(kept, [params.train for params in added])
        self.order.change(kept, [params.train.seed for params in added], [params.train.fold for params in added])
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
    check_prepared(params.data, meta, folder)
    body_file = features_folder(folder) / BODY
    folder, meta, pretrained = trained_rows(params, folder, meta)
    body = None
    if pretrained and not params.model.is_frozen:
        found = load_file(body_file, str(device))
        body = {name.removeprefix("body."): tensor for name, tensor in found.items()}
    params.check_data(meta.kind, meta.task, len(meta.class_names))
    train, val = load_split(folder, meta, "train"), load_split(folder, meta, "val")
    n_folds = None if train.folds is None else int(train.folds.max()) + 1
    if n_folds != params.data.folds:
        raise WellfitError(
            f"{folder} was prepared with data.folds {n_folds or 'null'}, which is {params.data.folds or 'null'} now: "
            "run `dvc repro preprocess`"
        )
    budget = memory_budget(params.data.memory, device_bytes(device))
    if train.folds is None:
        train_rows, val_rows = (to_tensors(split, meta, device, budget) for split in (train, val))
        return TrainingData(meta, train_rows, val_rows, body=body)
    folds, n = pooled(train, val, meta, device, budget), len(train.y)
    return TrainingData(meta, folds.pool.between(0, n), folds.pool.between(n), folds, body)


def steps_per_epoch(params: Params, data: TrainingData) -> int:
    """Optimizer steps of an epoch."""
    return BatchOrder(len(data.train.y), params.train.rows_per_step(data.meta), [], data.train.device).steps


def begin(members: Sequence[Params], data: TrainingData, *, packed: bool, ranks: Ranks | None = None) -> Training:
    """Builds networks, optimizer, batch order, schedule and early stopping.

    Args:
        members: K configurations of one `wellfit.training.pack.pack_key`; exactly one where they are not packed.
        data: what they train on.
        packed: whether they train as a pack, be it of one (`wellfit.training.pack.can_pack`). A plain network sets the
            number of CPU threads, by ``train.threads``; that of a pack is up to the caller.
        ranks: the processes that train a single network together; None: this one trains alone.

    Raises:
        ValueError: several members that are not packed.
        WellfitError: a setting that does not fit the data or the device.
    """
    be_deterministic()
    check_memory(members[0], data, len(members))  # all have networks of one shape
    training = Training(members, data, packed=packed, ranks=ranks)
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
