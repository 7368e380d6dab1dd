"""Trials that have been asked for and do not train yet."""

from collections.abc import Iterable, Mapping

from wellfit.errors import WellfitError
from wellfit.settings.params import Params
from wellfit.training.pack import can_pack, pack_key
from wellfit.training.setup import TrainingData, check_can_train
from wellfit.training.size import Size
from wellfit.tuning.configuration import of_trial
from wellfit.tuning.running import Ended, Running, refused
from wellfit.tuning.study import Study, Trial

ALONE = "alone"  # in place of a pack's key, of trials that are not packed


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

    def state_dict(self) -> list[tuple[str, list[int]]]:
        """Keys and the numbers of their trials; between two packs, or two epochs, none is refused."""
        return [(key, [each.trial.number for each in trials]) for key, trials in self._of_key.items()]

    def load_state_dict(self, state: Iterable[tuple[str, list[int]]], trials: Mapping[int, Running]) -> None:
        """Takes over what :meth:`state_dict` said.

        Args:
            state: from it.
            trials: by their numbers; those that are not among them wait no more.
        """
        for key, numbers in state:
            if found := [trials[number] for number in numbers if number in trials]:
                self._of_key[key] = found

    def begun(self, trial: Trial) -> Running:
        """A trial that can train."""
        return Running(trial, of_trial(self._params, trial, self._data), self._data.n_folds)

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
                self._refused.append(refused(trial, self._params, error))
                continue
            self._of_key.setdefault(key, []).append(Running(trial, params, self._data.n_folds))
        return bool(trials)
