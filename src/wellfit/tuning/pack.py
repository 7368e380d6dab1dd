"""Trials that train side by side: as a pack, or one in each process."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wellfit.settings.params import Params
from wellfit.training.cores import Cores
from wellfit.training.members import Epoch
from wellfit.training.size import Size
from wellfit.tuning.running import Ended, Running
from wellfit.tuning.study import Study
from wellfit.tuning.waiting import ALONE


class Pack:
    """Trials of one key, which leave and join between two epochs.

    Args:
        key: of the trials, as :class:`Waiting` has it.
        trials: to train.
        size: how many train at once.
        cores: that train them.
        state: what :meth:`state_dict` said of a pack of the same trials; None: they begin.

    Attributes:
        key: of the trials.
        trials: that train.
        epochs: of their members, as they end.

    Raises:
        WellfitError: what is set does not fit the data.
    """

    def __init__(
        self, key: str, trials: Sequence[Running], size: Size, cores: Cores, state: Mapping[str, Any] | None = None
    ) -> None:
        self.key, self.trials = key, list(trials)
        members = _members(trials)
        self._packed = state["packed"] if state else key != ALONE and len(members) > 1
        training = state["training"] if state else None
        self._training = cores.begin(members, size, packed=self._packed, state=training)
        self.epochs = self._training.epochs

    def observe(self, epoch: Epoch, study: Study) -> np.ndarray:
        """Takes an epoch in; gives (T,) bool, which trials go on."""
        members, places = self._training.members, self._places
        for own, trial in zip(places, self.trials, strict=True):
            trial.observe(epoch, own, members, study)
        for own, trial in zip(places, self.trials, strict=True):
            trial.prune(own, members.active, study)
        return np.array([members.active[own].any() for own in places])

    def end(self, k: int) -> Ended:
        """What a trial brought that has stopped."""
        return self.trials[k].end(self._training, self._places[k])

    def change(self, kept: Sequence[int], joining: Sequence[Running]) -> None:
        """Goes on with some of the trials, by their rising indices, and with new ones behind them."""
        places = self._places
        self._training.change([place for k in kept for place in places[k]], _members(joining))
        self.trials = [self.trials[k] for k in kept] + list(joining)

    def state_dict(self) -> dict[str, Any]:
        """How its members go on, between two epochs: tensors, and what JSON can hold."""
        return {"packed": self._packed, "training": self._training.state_dict()}

    @property
    def _places(self) -> list[list[int]]:
        """Of the members of each trial."""
        n = len(self.trials[0].members)
        return [list(range(k * n, (k + 1) * n)) for k in range(len(self.trials))]


def _members(trials: Sequence[Running]) -> list[Params]:
    return [params for trial in trials for params in trial.members]
