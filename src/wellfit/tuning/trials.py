"""Trains the trials of a study: as packs where that pays, on all cores where that pays."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from wellfit.errors import WellfitError
from wellfit.metrics.names import is_higher_better
from wellfit.settings.params import Params
from wellfit.training.cores import Cores, SharedTraining
from wellfit.training.finish import Finished
from wellfit.training.members import Epoch, Members
from wellfit.training.pack import can_pack, pack_key
from wellfit.training.record import TIMING, resolved_config
from wellfit.training.setup import TrainingData, check_can_train, steps_per_epoch
from wellfit.training.size import DOUBLED, Size, sizes_up_to
from wellfit.tuning.record import TrialRecord, write_record
from wellfit.tuning.study import Study, Trial

STEPS_ON_IMAGES = 1000  # of a trial, where tune.max_steps is auto: tables train to their end
ALONE = "alone"  # in place of a pack's key, of trials that are not packed


class Ended(NamedTuple):
    """What a trial brought, and what the training of each of its folds came to; none where one has no best epoch."""

    record: TrialRecord
    models: tuple[Finished, ...] = ()


class Running:
    """A trial under way: one member, or one for each fold of a cross-validation.

    Args:
        trial: from the study.
        params: its configuration.
        n_folds: 1 without folds.

    Attributes:
        members: the configuration of each.
    """

    def __init__(self, trial: Trial, params: Params, n_folds: int = 1) -> None:
        self.trial = trial
        self.members = [params.replace({"train.fold": fold}) for fold in range(n_folds)] if n_folds > 1 else [params]
        self._started = time.time()
        self._history: list[dict[str, float]] = []
        self._of_folds: list[list[dict[str, float]]] = [[] for _ in self.members]  # as long as each trains
        self._trains = [True] * len(self.members)
        self._is_pruned = False

    def observe(self, epoch: Epoch, places: Sequence[int], members: Members, study: Study) -> None:
        """Takes an epoch in, and tells the study of the mean over folds.

        A fold that has stopped counts with its best epoch. One that blows up stops the others.

        Args:
            epoch: of the pack.
            places: of its members in the pack.
            members: of the pack.
            study: to be told.
        """
        now = []
        for fold, place in enumerate(places):
            history = self._of_folds[fold]
            if self._trains[fold]:
                history.append({k: v for k, v in epoch.of(place).items() if k not in TIMING})
                now.append(history[-1])
            else:
                now.append(history[members.best_epoch[place] - 1])
            self._trains[fold] = bool(members.active[place])
        self._history.append(_means(now))
        if any(members.failure[place] for place in places):
            members.active[places] = False
        else:
            study.report(self.trial.number, len(self._history), self._history[-1][members.monitor])

    def prune(self, places: Sequence[int], active: np.ndarray, study: Study) -> None:
        """Stops its members if the study says so, which has to know how far the others have come."""
        if active[places].any() and study.should_prune(self.trial.number):
            self._is_pruned = True
            active[places] = False

    def end(self, training: SharedTraining, places: Sequence[int]) -> Ended:
        """What it brought, once all of its members have stopped."""
        members = training.members
        failed = [(fold, members.failure[place]) for fold, place in enumerate(places) if members.failure[place]]
        failure = "".join(text + (f" (fold {fold})" if len(places) > 1 else "") for fold, text in failed[:1])
        best_epochs = members.best_epoch[places]
        has_best = bool(best_epochs.all())
        record = TrialRecord(
            number=self.trial.number,
            state="failed" if failure else "pruned" if self._is_pruned else "complete",
            values=self.trial.values,
            config=resolved_config(self.members[0]),
            history=self._history,
            best=float(members.best[places].mean()) if has_best else None,
            best_epoch=int(best_epochs[0]) if has_best else 0,
            failure=failure,
            started=self._started,
            ended=time.time(),
        )
        models = []
        for place in places if has_best else ():
            weights = training.weights(place)
            assert weights is not None  # as there is a best epoch
            models.append(Finished(float(members.best[place]), int(members.best_epoch[place]), weights))
        return Ended(record, tuple(models))


def _means(metrics: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each metric that all have."""
    if len(metrics) == 1:
        return metrics[0]
    names = [name for name in metrics[0] if all(name in each for each in metrics)]
    return {name: sum(each[name] for each in metrics) / len(metrics) for name in names}


class Waiting:
    """Trials that have been asked for and do not train yet, by what they have to share to train in one pack.

    Args:
        study: where they come from.
        params: with the space that is searched.
        data: what they train on.
        size: how many train at once, and how many may wait for others of their key.
    """

    def __init__(self, study: Study, params: Params, data: TrainingData, size: Size) -> None:
        self._study, self._params, self._data, self._size = study, params, data, size
        self._of_pack = max(1, size.members // data.n_folds)  # trials
        self._at_once = self._of_pack if data.folds else size.at_once
        self._of_key: dict[str, list[Running]] = {}
        self._refused: list[Ended] = []

    def next_pack(self) -> tuple[str, list[Running]]:
        """The key that most trials share and those trials, as many as train at once; none where there are no more.

        Waits for other workers where it has no trials, refused ones included: others may wait for those.
        """
        while self._ask(self._room(), waits=not self._of_key and not self._refused):
            pass
        if not self._of_key:
            return "", []
        key = max(self._of_key, key=lambda each: len(self._of_key[each]))
        return key, self.take(key, under_way=0)

    def take(self, key: str, under_way: int) -> list[Running]:
        """Trials of a key, as many as can join so many that are under way."""
        count = (self._size.processes if key == ALONE else self._of_pack) - under_way
        while self._ask(min(count - len(self._of_key.get(key, ())), self._room())):
            pass
        trials = self._of_key.pop(key, [])
        if trials[count:]:
            self._of_key[key] = trials[count:]
        return trials[:count]

    def refused(self) -> list[Ended]:
        """Trials whose values contradict each other, each handed over once."""
        refused, self._refused = self._refused, []
        return refused

    def _room(self) -> int:
        return self._at_once - sum(map(len, self._of_key.values()))

    def _ask(self, count: int, *, waits: bool = False) -> bool:
        """Lets more trials wait; False where none is wanted, or the study has no more."""
        trials = self._study.ask(count, waits=waits) if count > 0 else []
        for trial in trials:
            try:
                params = of_trial(self._params, trial, self._data)
                key = pack_key(params) if can_pack(params) and self._size.members > 1 else ALONE
                if key == ALONE:
                    check_can_train(params, self._data)  # of a pack's key, all can or none
            except WellfitError as error:
                self._refused.append(_refused(trial, self._params, error))
                continue
            self._of_key.setdefault(key, []).append(Running(trial, params, self._data.n_folds))
        return bool(trials)


def of_trial(params: Params, trial: Trial, data: TrainingData) -> Params:
    """The params of a trial, in which nothing is searched any more."""
    return shortened(params.replace({"tune.space": {}} | trial.values, source=f"trial {trial.number}"), data)


def shortened(params: Params, data: TrainingData) -> Params:
    """Params of at most ``tune.max_steps``, in whole epochs, in which nothing is searched any more.

    With auto, trials on tables train to their end, those on images for at most 1,000 steps.
    """
    most = params.tune.max_steps
    if most == "auto":
        most = STEPS_ON_IMAGES if data.meta.kind == "images" else None
    if most is None:
        return params.replace({"tune.space": {}})
    epochs = min(params.train.epochs, max(1, most // steps_per_epoch(params, data)))
    warmup = min(params.schedule.warmup_epochs, epochs - 1)
    # A space that is fine with all epochs need not be with fewer.
    return params.replace({"tune.space": {}, "train.epochs": epochs, "schedule.warmup_epochs": warmup})


def sizes_of_study(params: Params) -> list[int]:
    """What may be packs of a study, in members: no more than half of the trials, so that the sampler learns from them.

    With folds, a trial has as many members, all in one pack.
    """
    tune, n_folds = params.tune, params.data.folds or 1
    if tune.pack != "auto":
        return [max(tune.pack, n_folds)]
    return [n_folds * trials for trials in sizes_up_to(min(tune.n_trials // 2, DOUBLED[-1] // n_folds))]


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
    study: Study, params: Params, data: TrainingData, size: Size, records: Path, cores: Cores
) -> Iterator[tuple[Path, TrialRecord]]:
    """Trains until the study has no more trials, and hands over the record of each and the folder that holds it.

    Args:
        study: of the trials.
        params: with the space that is searched.
        data: what all train on.
        size: how many train at once.
        records: gets a folder for each trial, named by its number.
        cores: as many processes as the size says, at least.
    """
    for record, models in train_trials(study, params, data, size, cores):
        folder = records / str(record.number)
        write_record(folder, record, models, data.meta.sha256)
        study.tell(record.number, record.state, record.best)
        yield folder, record


def train_trials(study: Study, params: Params, data: TrainingData, size: Size, cores: Cores) -> Iterator[Ended]:
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
    """
    waiting = Waiting(study, params, data, size)
    while True:
        key, pack = waiting.next_pack()
        refused = waiting.refused()
        yield from refused
        if not pack and not refused:
            return
        if not pack:
            continue
        try:
            members = [params for running in pack for params in running.members]
            packed = key != ALONE and len(members) > 1
            training = cores.begin(members, size, packed=packed)
        except WellfitError as error:
            for running in pack:  # they differ in nothing that could be at fault
                yield _refused(running.trial, running.members[0], error)
            continue
        for epoch in training.epochs:
            places = np.arange(len(members)).reshape(len(pack), data.n_folds).tolist()  # of each trial
            for own, running in zip(places, pack, strict=True):
                running.observe(epoch, own, training.members, study)
            active = training.members.active
            for own, running in zip(places, pack, strict=True):
                running.prune(own, active, study)
            goes_on = active[places].any(axis=1)
            for k in np.flatnonzero(~goes_on).tolist():
                yield pack[k].end(training, places[k])
            kept = np.flatnonzero(goes_on).tolist()
            if kept and len(kept) < len(pack):
                joining = waiting.take(key, under_way=len(kept))
                yield from waiting.refused()
                added = [params for running in joining for params in running.members]
                training.change([place for k in kept for place in places[k]], added)
                pack = [pack[k] for k in kept] + joining
                members = [params for running in pack for params in running.members]


def _refused(trial: Trial, params: Params, error: WellfitError) -> Ended:
    """A trial that failed before its first step."""
    config = resolved_config(params)
    for key, value in trial.values.items():
        section, name = key.split(".")
        config[section][name] = value
    now = time.time()
    return Ended(TrialRecord(trial.number, "failed", trial.values, config, [], None, 0, str(error), now, now))
