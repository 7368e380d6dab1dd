"""Trains the variants of a comparison, as packs and on all cores where that pays, and scores them on equal terms."""

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wellfit.compare.comparison import NamedComparison
from wellfit.compare.outcome import Outcome
from wellfit.errors import WellfitError
from wellfit.metrics.names import is_higher_better
from wellfit.progress import Progress
from wellfit.settings.params import PARAMS_FILE, Params
from wellfit.training.cores import Cores, SharedTraining
from wellfit.training.learner import Learner
from wellfit.training.members import Epoch
from wellfit.training.pack import can_pack, pack_key
from wellfit.training.record import TIMING, resolved_config
from wellfit.training.setup import TrainingData, check_can_train
from wellfit.training.shards import SCORED
from wellfit.training.size import Size, choose_size, processes_for, sizes_up_to
from wellfit.training.tensors import Tensors


class Job(NamedTuple):
    """A training: a variant, its configuration with a seed, and the folder that keeps what it brings."""

    variant: str
    params: Params
    folder: Path


class Ended(NamedTuple):
    """A training that has ended, and the weights that were scored; None where it blew up."""

    job: Job
    outcome: Outcome
    weights: dict[str, Tensor] | None


class Group(NamedTuple):
    """Trainings that are done at once, and how many train at once at most."""

    jobs: list[Job]
    size: Size


class Running:
    """A training under way.

    Args:
        job: which.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self._started = time.time()
        self._history: list[dict[str, float]] = []
        self._seconds = 0.0

    def observe(self, epoch: Epoch, member: int) -> None:
        """Takes an epoch in, with the scores of training rows as the networks predict them."""
        metrics = epoch.of(member)
        train, val = ({k.removeprefix(s): v for k, v in metrics.items() if k.startswith(s)} for s in (SCORED, "val/"))
        ours = ("train/", "val/", SCORED)
        others = {k: v for k, v in metrics.items() if k not in TIMING and not k.startswith(ours)}
        self._history.append(with_gaps({"train": train, "val": val}) | others)
        self._seconds += metrics["seconds"]

    def end(self, training: SharedTraining, member: int, data: TrainingData, test: Tensors) -> Ended:
        """What it brought, once it has stopped."""
        params = self.job.params
        failure = training.members.failure[member] or ""
        weights = None if failure else training.weights(member)
        scores = {} if weights is None else kept_scores(params, weights, data, test)
        wrong = [name for name, value in scores.items() if not math.isfinite(value)]
        if wrong:
            failure, weights, scores = f"{wrong[0]} is {scores[wrong[0]]} after the training", None, {}
        outcome = Outcome(
            variant=self.job.variant,
            seed=params.train.seed,
            history=self._history,
            scores=scores,
            best_epoch=int(training.members.best_epoch[member]),
            seconds=self._seconds,
            failure=failure,
            config=resolved_config(params),
            started=self._started,
            ended=time.time(),
        )
        return Ended(self.job, outcome, weights)


def with_gaps(splits: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The scores of all splits, and what the training rows fare better by than the validation rows.

    Args:
        splits: ``train``, ``val`` and others to their scores by name.

    Returns:
        ``train/loss``, ``val/loss``, ..., and ``gap/loss``, ..., which are positive where a network over-fits.
    """
    train, val = splits["train"], splits["val"]
    gap = {
        name: train[name] - val[name] if is_higher_better(name) else val[name] - train[name]
        for name in train
        if name in val
    }
    scores = {**splits, "gap": gap}
    return {f"{split}/{name}": value for split, own in scores.items() for name, value in own.items()}


def some_rows(data: TrainingData) -> Tensors:
    """Training rows to score in every epoch: a random choice, twice as many as there are validation rows at most."""
    train, most = data.train, 2 * len(data.val.y)
    if len(train.y) <= most:
        return train
    chosen = np.sort(np.random.default_rng(0).choice(len(train.y), most, replace=False))
    rows = torch.from_numpy(chosen).to(train.y.device)
    return Tensors(train.x[rows], train.y[rows], None if train.weights is None else train.weights[rows])


def kept_scores(params: Params, weights: Mapping[str, Tensor], data: TrainingData, test: Tensors) -> dict[str, float]:
    """Scores of weights on all rows of each split, and the gap between train and validation."""
    with torch.random.fork_rng(devices=[]):  # another network may train in this process
        learner = Learner([params], *data, packed=False)
    learner.model.load_state_dict(weights)
    splits = {"train": data.train, "val": data.val, "test": test}
    return with_gaps(
        {
            split: {name: float(values[0]) for name, values in learner.score(rows, ranked=True).items()}
            for split, rows in splits.items()
        }
    )


def by_key(jobs: Sequence[Job]) -> list[list[Job]]:
    """The trainings of each :func:`wellfit.training.pack.pack_key`."""
    found: dict[str, list[Job]] = {}
    for job in jobs:
        found.setdefault(pack_key(job.params), []).append(job)
    return list(found.values())


def cores_for(jobs: Sequence[Job], data: TrainingData, *, keeps_best: bool) -> Cores:
    """The processes that the trainings can use.

    Args:
        jobs: what is left to do.
        data: what all train on.
        keeps_best: whether the weights of the best validation epoch are scored, or those of the last.
    """
    most = [
        processes_for(own[0].params, data, len(own) // 2 if can_pack(own[0].params) else len(own))
        for own in by_key(jobs)
    ]
    return Cores(data, max(most, default=1), scored=some_rows(data), keeps_best=keeps_best)


def plan_groups(jobs: Sequence[Job], kept: Collection[Path], data: TrainingData, cores: Cores) -> list[Group]:
    """Puts trainings that can be done at once together, in groups of about equal size.

    Args:
        jobs: all of the comparison. They decide the size, so that an interrupted comparison goes on as it began.
        kept: the folders of those that are done.
        data: what they train on.
        cores: that train them.
    """
    groups = []
    for own in by_key(jobs):
        left = [job for job in own if job.folder not in kept]
        if not left:
            continue
        size = choose_size(own[0].params, data, sorted({*sizes_up_to(len(own)), len(own)}), cores)
        parts = np.array_split(np.arange(len(left)), math.ceil(len(left) / size.at_once))
        groups += [Group([left[i] for i in part], size) for part in parts]
    return groups


def check_can_begin(named: NamedComparison, data: TrainingData) -> None:
    """Checks that each variant can be trained on the data, before the first one is.

    Raises:
        WellfitError: one cannot; says which.
    """
    for name, params in named.variants.items():
        try:
            params.check_data(data.meta.kind, data.meta.task, len(data.meta.class_names))
            check_can_train(params, data)
        except WellfitError as error:
            raise WellfitError(f"variant {name}: {error}".replace(f"({PARAMS_FILE})", f"({named.path})")) from None


def train_groups(
    groups: Sequence[Group], data: TrainingData, load_test: Callable[[], Tensors], cores: Cores
) -> Iterator[Ended]:
    """Trains, and hands over each training as it ends.

    Args:
        groups: what is to do.
        data: what all train on.
        load_test: opens the test split; called when a training has ended, for its scores.
        cores: that train them.
    """
    planned, ended = 0, 0
    epochs = [max(job.params.train.epochs for job in group.jobs) for group in groups]  # of the longest, at most
    with Progress("compare", sum(epochs), "epoch") as progress:
        for (jobs, size), longest in zip(groups, epochs, strict=True):
            # What is left of a pack, even a single training, computes as the whole of it does, to the last bit.
            training = cores.begin([job.params for job in jobs], size, packed=size.members > 1)
            running = [Running(job) for job in jobs]
            for epoch in training.epochs:
                for k, each in enumerate(running):
                    each.observe(epoch, k)
                active = training.members.active
                for k in np.flatnonzero(~active).tolist():
                    ended += 1
                    yield running[k].end(training, k, data, load_test())
                done = planned + int(epoch.number.max())
                progress.show(done, {"ended": ended} | _shown(epoch, training.members.monitor))
                kept = np.flatnonzero(active).tolist()
                if kept and len(kept) < len(running):
                    training.change(kept, [])
                    running = [running[k] for k in kept]
            planned += longest


def _shown(epoch: Epoch, monitor: str) -> dict[str, float]:
    """The mean of what is monitored, over those that have not blown up."""
    values = epoch.metrics[monitor]
    finite = values[np.isfinite(values)]
    return {monitor: float(finite.mean())} if len(finite) else {}
