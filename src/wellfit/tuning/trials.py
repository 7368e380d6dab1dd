"""Trains the trials of a study: as packs where that pays, on all cores where that pays."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from wellfit.errors import WellfitError
from wellfit.metrics.names import is_higher_better
from wellfit.settings.params import Params
from wellfit.training.cores import Cores
from wellfit.training.pack import can_pack
from wellfit.training.resume import Snapshots
from wellfit.training.setup import TrainingData
from wellfit.training.size import DOUBLED, Size, sizes_up_to
from wellfit.tuning.configuration import shortened
from wellfit.tuning.pack import Pack
from wellfit.tuning.record import TrialRecord, read_record, write_record
from wellfit.tuning.running import Ended, refused
from wellfit.tuning.samplers import SAMPLERS
from wellfit.tuning.snapshot import go_on, state_of
from wellfit.tuning.study import Study
from wellfit.tuning.waiting import Waiting


def sizes_of_study(params: Params) -> list[int]:
    """What may be packs of a study, in members: no more than half of the trials where the sampler learns from them.

    With folds, a trial has as many members, all in one pack.
    """
    tune, n_folds = params.tune, params.data.folds or 1
    if tune.pack != "auto":
        return [max(tune.pack, n_folds)]
    most = tune.n_trials // 2 if SAMPLERS[tune.sampler].learns else tune.n_trials
    return [n_folds * trials for trials in sizes_up_to(min(most, DOUBLED[-1] // n_folds))]


def most_processes(params: Params) -> int:
    """Processes that may share the trials of a study: each has two of a pack, or a trial that is not packed."""
    largest = sizes_of_study(params)[-1]
    return largest // 2 if can_pack(params) and largest > 1 else params.tune.n_trials // 2


def open_study(params: Params, data: TrainingData) -> Study:
    """The study of params and data."""
    higher = is_higher_better(params.train.monitor)
    epochs = shortened(params, data).train.epochs
    return Study(params, data.meta.name, data.meta.sha256, epochs=epochs, higher_is_better=higher)


def record_trials(
    study: Study,
    params: Params,
    data: TrainingData,
    size: Size,
    records: Path,
    cores: Cores,
    snapshots: Snapshots | None = None,
) -> Iterator[tuple[Path, TrialRecord]]:
    """Trains until the study has no more trials, and hands over the record of each and the folder that holds it.

    Trials that had ended before, and end once more as a study goes on from a snapshot, are not handed over again.

    Args:
        study: of the trials.
        params: with the space that is searched.
        data: what all train on.
        size: how many train at once.
        records: gets a folder for each trial, named by its number.
        cores: as many processes as the size says, at least.
        snapshots: of this worker; None: it keeps none.
    """
    for record, models in train_trials(study, params, data, size, cores, snapshots):
        folder = records / str(record.number)
        had_ended = _is_recorded(folder)
        if not had_ended:
            write_record(folder, record, models, data.meta.sha256)
        study.tell(record.number, record.state, record.best)
        if not had_ended:
            yield folder, record


def _is_recorded(folder: Path) -> bool:
    try:
        read_record(folder)
    except WellfitError:
        return False
    return True


def train_trials(
    study: Study, params: Params, data: TrainingData, size: Size, cores: Cores, snapshots: Snapshots | None = None
) -> Iterator[Ended]:
    """Trains until the study has no more trials, and hands over each as it ends.

    A trial that has ended leaves the others, and the next one takes its place: the study has been told of the one
    before it is asked for the other. Values that contradict each other, or the data, are a trial that failed. With
    folds, a trial has a member for each, all in one pack, and ends when all of them have.

    Args:
        study: asked, and told of every epoch; of the end it is told by whoever iterates.
        params: with the space that is searched.
        data: what all train on.
        size: how many train at once.
        cores: as many processes as the size says, at least.
        snapshots: of this worker; None: it keeps none.
    """
    waiting = Waiting(study, params, data, size)
    pack = go_on(snapshots, study, waiting, size, cores) if snapshots else None
    if snapshots and not pack:
        snapshots.save(state_of(study, waiting, pack))  # to begin with the same trials again
    while True:
        if pack is None:
            key, trials = waiting.next_pack()
            none_could = waiting.refused()
            yield from none_could
            if not trials and not none_could:
                return
            if not trials:
                continue
            try:
                pack = Pack(key, trials, size, cores)
            except WellfitError as error:
                for running in trials:  # they differ in nothing that could be at fault
                    yield refused(running.trial, running.members[0], error)
                continue
        for epoch in pack.epochs:
            goes_on = pack.observe(epoch, study)
            for k in np.flatnonzero(~goes_on).tolist():
                yield pack.end(k)
            kept = np.flatnonzero(goes_on).tolist()
            if not kept:
                break
            if len(kept) < len(pack.trials):
                joining = waiting.take(pack.key, under_way=len(kept))
                yield from waiting.refused()
                pack.change(kept, joining)
            if snapshots:
                snapshots.offer(partial(state_of, study, waiting, pack))
        pack = None
