"""What a worker knows of the trials of a study: by it, values are proposed and trials are stopped."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from wellfit.tuning.covariance import GENERATION, CovarianceSampler
from wellfit.tuning.grid import GridExhaustedError
from wellfit.tuning.pruners import Pruner
from wellfit.tuning.samplers import SAMPLERS
from wellfit.tuning.space import Space, drawn

if TYPE_CHECKING:
    from wellfit.tuning.space import TuneConfig


class Memory:
    """Trials that have ended, and the monitored values of all epochs.

    Args:
        config: the section ``tune``.
        space: that is searched.
        pruner: decides which trials are stopped.
        direction: of the monitored metric.

    Attributes:
        ended: number of a trial to how the sampler sees it.
    """

    def __init__(self, config: "TuneConfig", space: Space, pruner: Pruner, direction: StudyDirection) -> None:
        self._config, self._space, self._pruner, self._direction = config, space, pruner, direction
        self.ended: dict[int, FrozenTrial] = {}
        self._reported: dict[int, dict[int, float]] = {}  # number of a trial to epoch to value

    def report(self, number: int, epoch: int, value: float) -> None:
        """Takes the monitored value of an epoch, counted from 1."""
        self._reported.setdefault(number, {})[epoch] = value
        self._pruner.report(number, epoch, value)

    def should_prune(self, number: int) -> bool:
        """Whether to stop a trial at the epoch that it reported last."""
        return self._pruner.should_prune(number)

    def take_in(self, number: int, trial: FrozenTrial) -> None:
        """Takes a trial of the storage that another worker, or an earlier call, has ended."""
        known = self._reported.get(number, {})
        for epoch, value in sorted(trial.intermediate_values.items()):
            if epoch not in known:
                self.report(number, epoch, value)
                self._pruner.should_prune(number)  # rungs are kept by asking
        self._end_as(number, trial)

    def end(
        self, number: int, state: TrialState, value: float | None, params: dict[str, Any], generation: int | None
    ) -> None:
        """Ends a trial.

        Args:
            number: of the trial.
            state: how it ended.
            value: the best monitored value, where it is complete.
            params: its values, as Optuna has them.
            generation: of the sampler that counts them.
        """
        if state == TrialState.PRUNED:
            self._pruner.stop(number)
        reported = list(self._reported.get(number, {}).items())
        self.ended[number] = self._trial(
            params,
            state=state,
            value=value if state == TrialState.COMPLETE else None,
            # By these the sampler ranks a trial that was stopped.
            intermediate_values=dict(reported[-1:] if state == TrialState.PRUNED else []),
            user_attrs={} if generation is None else {GENERATION: generation},
        )

    def propose(
        self, numbers: list[int], under_way: Mapping[int, Mapping[str, Any]], known: Mapping[int, dict[str, Any]]
    ) -> dict[int, dict[str, Any]]:
        """Values for some trials, proposed by what has ended and with regard to what is under way.

        Args:
            numbers: of the trials.
            under_way: number to ``values`` of each trial under way, in this worker and in others.
            known: number to what was proposed before, in a worker that this one goes on with.

        Returns:
            Number to ``values`` and what the end of the trial has to know. Fewer than wanted where each combination of
            a grid is tried.
        """
        if not numbers:
            return {}
        distributions = self._space.distributions
        running = {
            number: self._trial(drawn(trial["values"], distributions), state=TrialState.RUNNING)
            for number, trial in under_way.items()
            if number not in self.ended
        }
        study = optuna.create_study(direction=self._direction)

        def add(trial: FrozenTrial) -> None:
            # A sampler leaves a key that one trial lacks out of the model of all.
            if trial.params.keys() == distributions.keys():
                study.add_trial(trial)

        for _, trial in sorted((running | self.ended).items()):
            add(trial)
        given = {0: {"values": self._space.current}} | dict(known)
        proposed: dict[int, dict[str, Any]] = {}
        for number in numbers:
            if number in given:
                proposed[number] = given[number]
                add(self._trial(drawn(given[number]["values"], distributions), state=TrialState.RUNNING))
                continue
            seed = int(np.random.SeedSequence([self._config.seed, number]).generate_state(1)[0])
            study.sampler = sampler = SAMPLERS[self._config.sampler].build(self._space, seed)
            try:
                asked = study.ask(distributions)
            except GridExhaustedError:
                break
            proposed[number] = {"values": self._space.values(asked.params)}
            if isinstance(sampler, CovarianceSampler) and sampler.generation is not None:
                proposed[number][GENERATION] = sampler.generation
        return proposed

    def state_dict(self) -> dict[str, Any]:
        """What it knows, as JSON can hold it: of trials that have ended, which; the storage has their ends."""
        reported = [[number, list(values.items())] for number, values in self._reported.items()]
        return {"ended": list(self.ended), "reported": reported, "pruner": self._pruner.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any], ended: Mapping[int, FrozenTrial]) -> None:
        """Takes over what :meth:`state_dict` said.

        Args:
            state: from it.
            ended: the trials of the storage, those that it names at least.
        """
        for number, values in state["reported"]:
            for epoch, value in values:
                self.report(number, epoch, value)
        for number in state["ended"]:
            self._end_as(number, ended[number])
        self._pruner.load_state_dict(state["pruner"])

    def _end_as(self, number: int, trial: FrozenTrial) -> None:
        self.end(number, trial.state, trial.value, trial.params, trial.user_attrs.get(GENERATION))

    def _trial(self, params: dict[str, Any], **known: Any) -> FrozenTrial:
        distributions = {key: self._space.distributions[key] for key in params}
        return create_trial(params=params, distributions=distributions, **known)
