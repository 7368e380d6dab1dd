"""Which trials are stopped early, where many are under way at once: the rules that ``tune.pruner`` names.

Optuna's median rule compares a trial with those that are complete. Of trials that are trained side by side none is, so
it would stop none of them. Here a trial is compared with all that have come as far, and with those that were stopped
before by the values that they had then. Without the latter, each epoch would halve a pack anew: those that are left
would be compared with each other alone.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.trial import Trial

    from wellfit.tuning.space import TuneConfig


class Pruner:
    """A rule for stopping trials; this one stops none."""

    def report(self, trial: int, epoch: int, value: float) -> None:
        """Takes the monitored value of a trial's epoch, counted from 1, in the order of the epochs."""

    def should_prune(self, trial: int) -> bool:
        """Whether to stop the trial at the epoch that it reported last."""
        return False

    def stop(self, trial: int) -> None:
        """Learns that the trial was stopped."""

    def state_dict(self) -> list[dict[str, Any]]:
        """What it knows besides what it was told, as JSON can hold it."""
        return []

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Takes over what :meth:`state_dict` said, once it was told of the same trials."""


class Percentile(Pruner):
    """Stops a trial whose best value so far is worse than a percentile of the others' values at this epoch.

    The median stopping rule (Golovin et al. 2017, Google Vizier, section 3.2.2) in the form that
    ``optuna.pruners.PercentilePruner`` gives it; a decision takes microseconds.

    Args:
        percentile: of the others, the best first: 50 is the median.
        startup_trials: how many others must have come as far, or have been stopped.
        warmup_epochs: below this epoch no trial is stopped.
        higher_is_better: direction of the values.
    """

    def __init__(self, percentile: float, startup_trials: int, warmup_epochs: int, higher_is_better: bool) -> None:
        self._share = percentile / 100
        self._startup_trials, self._warmup_epochs = startup_trials, warmup_epochs
        self._sign = -1.0 if higher_is_better else 1.0
        self._at: dict[int, dict[int, float]] = {}  # epoch to trial to value, less is better
        self._last: dict[int, int] = {}
        self._best: dict[int, float] = {}
        self._stopped: set[int] = set()

    def report(self, trial: int, epoch: int, value: float) -> None:
        """Keeps a value."""
        less_is_better = self._sign * value
        self._at.setdefault(epoch, {})[trial] = less_is_better
        self._last[trial] = epoch
        best = self._best.get(trial, math.nan)
        if math.isnan(best) or less_is_better < best:
            self._best[trial] = less_is_better

    def should_prune(self, trial: int) -> bool:
        """Whether the trial is worse than that share of the others; one without a single number always is."""
        epoch = self._last.get(trial)
        if epoch is None or epoch < self._warmup_epochs:
            return False
        others = [value for other, value in self._at[epoch].items() if other != trial]
        others += [self._at[last][other] for other in self._stopped if (last := self._last[other]) < epoch]
        if not others or len(others) < self._startup_trials:
            return False
        best = self._best[trial]
        if math.isnan(best):
            return True
        numbers = sorted(value for value in others if not math.isnan(value))
        return bool(numbers) and best > _percentile(numbers, self._share)

    def stop(self, trial: int) -> None:
        """From now on the trial stands where it was stopped."""
        if trial in self._last:
            self._stopped.add(trial)


def _percentile(rising: list[float], share: float) -> float:
    """As ``numpy.percentile``: linear between two neighbours."""
    place = share * (len(rising) - 1)
    below = math.floor(place)
    above = min(below + 1, len(rising) - 1)
    return rising[below] + (place - below) * (rising[above] - rising[below])


class Rungs(Pruner):
    """Stops trials at the rungs of successive halving or hyperband, by Optuna's own pruners.

    They keep what was reached at each rung in a study of their own, in memory.

    Args:
        pruner: Optuna's.
        name: of the study: hyperband deals trials out to its brackets by it, and by their numbers.
        higher_is_better: direction of the values.
    """

    def __init__(self, pruner: "BasePruner", name: str, higher_is_better: bool) -> None:
        import optuna

        direction = optuna.study.StudyDirection.MAXIMIZE if higher_is_better else optuna.study.StudyDirection.MINIMIZE
        self._study = optuna.create_study(study_name=name, direction=direction, pruner=pruner)
        self._trials: list[Trial] = []

    def report(self, trial: int, epoch: int, value: float) -> None:
        """Keeps a value."""
        while len(self._trials) <= trial:
            self._trials.append(self._study.ask())
        self._trials[trial].report(value, epoch)

    def should_prune(self, trial: int) -> bool:
        """Whether the trial ends at the rung that it has reached."""
        return trial < len(self._trials) and self._trials[trial].should_prune()

    def state_dict(self) -> list[dict[str, Any]]:
        """The rungs that each trial has completed."""
        return [dict(trial.system_attrs) for trial in self._study.get_trials(deepcopy=False)]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Takes over what :meth:`state_dict` said."""
        for trial, attributes in zip(self._trials, state, strict=True):
            for name, value in attributes.items():
                trial.storage.set_trial_system_attr(trial._trial_id, name, value)


def _halving(config: "TuneConfig", epochs: int, name: str, higher_is_better: bool) -> Pruner:
    from optuna.pruners import SuccessiveHalvingPruner

    first = max(1, config.pruner_warmup_epochs)
    return Rungs(SuccessiveHalvingPruner(min_resource=first), name, higher_is_better)


def _hyperband(config: "TuneConfig", epochs: int, name: str, higher_is_better: bool) -> Pruner:
    from optuna.pruners import HyperbandPruner

    first = max(1, config.pruner_warmup_epochs)
    return Rungs(HyperbandPruner(min_resource=first, max_resource=epochs), name, higher_is_better)


# Each is made from the section, the most epochs of a trial, the name of the study and the direction of its values.
PRUNERS: dict[str, Callable[["TuneConfig", int, str, bool], Pruner]] = {
    "median": lambda config, epochs, name, higher_is_better: Percentile(
        50.0, config.pruner_startup_trials, config.pruner_warmup_epochs, higher_is_better
    ),
    "percentile": lambda config, epochs, name, higher_is_better: Percentile(
        config.pruner_percentile, config.pruner_startup_trials, config.pruner_warmup_epochs, higher_is_better
    ),
    "halving": _halving,
    "hyperband": _hyperband,
    "none": lambda config, epochs, name, higher_is_better: Pruner(),
}
