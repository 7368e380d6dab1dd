"""A trial from its first epoch to what is recorded of it."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from wellfit.errors import WellfitError
from wellfit.settings.params import Params
from wellfit.training.cores import SharedTraining
from wellfit.training.finish import Finished
from wellfit.training.members import Epoch, Members
from wellfit.training.record import TIMING, resolved_config
from wellfit.tuning.record import TrialRecord
from wellfit.tuning.study import Study, Trial


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

    def state_dict(self) -> dict[str, Any]:
        """What it has come to, as JSON can hold it."""
        of_folds = self._of_folds if len(self.members) > 1 else None
        return {"started": self._started, "history": self._history, "of_folds": of_folds, "trains": self._trains}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over what :meth:`state_dict` said of the same trial."""
        self._started, self._history, self._trains = state["started"], state["history"], state["trains"]
        self._of_folds = state["of_folds"] or [list(self._history)]

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


def refused(trial: Trial, params: Params, error: WellfitError) -> Ended:
    """A trial that failed before its first step."""
    config = resolved_config(params)
    for key, value in trial.values.items():
        section, name = key.split(".")
        config[section][name] = value
    now = time.time()
    return Ended(TrialRecord(trial.number, "failed", trial.values, config, [], None, 0, str(error), now, now))


def _means(metrics: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each metric that all have."""
    if len(metrics) == 1:
        return metrics[0]
    names = [name for name in metrics[0] if all(name in each for each in metrics)]
    return {name: sum(each[name] for each in metrics) / len(metrics) for name in names}
