"""An Optuna study that can be left at any moment and taken up again.

The study lives in memory; each trial that has ended is appended to a journal file as a whole, in one write. A process
that dies therefore leaves no half-known trial behind, and reports of every epoch cost nothing.
"""

from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from wellfit.errors import WellfitError
from wellfit.tuning.config import TuneConfig

STUDY_NAME = "wellfit"


class Study:
    """A study of one configuration on one data set.

    Args:
        journal: the file; made when missing, repaired when its last line is torn.
        config: the section ``tune``.
        current: dotted key to the value in ``params.yaml``, for each key that is searched: the first trial.
        higher_is_better: direction of the monitored metric.

    Raises:
        WellfitError: the journal cannot be read.
    """

    def __init__(self, journal: Path, config: TuneConfig, current: dict[str, float], *, higher_is_better: bool) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._config, self._current = config, current
        direction = StudyDirection.MAXIMIZE if higher_is_better else StudyDirection.MINIMIZE
        journal.parent.mkdir(parents=True, exist_ok=True)
        _repair(journal)
        try:
            storage = JournalStorage(JournalFileBackend(str(journal), JournalFileOpenLock(str(journal))))
            self._saved = optuna.create_study(
                storage=storage, study_name=STUDY_NAME, direction=direction, load_if_exists=True
            )
            ended = self._saved.trials
        except (ValueError, KeyError) as error:
            raise WellfitError(f"{journal} cannot be read ({error}); move it away to begin the study anew") from None
        self._study = optuna.create_study(direction=direction, pruner=_pruner(config))
        for trial in ended:
            self._study.add_trial(trial)

    @property
    def trials(self) -> list[FrozenTrial]:
        """The trials that have ended, in their order; of a longer study the first ``tune.n_trials``."""
        ended = self._study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))
        return ended[: self._config.n_trials]

    @property
    def best(self) -> FrozenTrial | None:
        """The best complete trial, or None where there is none."""
        complete = [trial for trial in self.trials if trial.state == TrialState.COMPLETE]
        sign = -1 if self._study.direction == StudyDirection.MAXIMIZE else 1
        return min(complete, key=lambda trial: sign * (trial.value or 0.0), default=None)

    @property
    def run_id(self) -> str | None:
        """The MLflow run of the study, kept with it so that a study that goes on stays one run."""
        return self._saved.user_attrs.get("run_id")

    @run_id.setter
    def run_id(self, value: str) -> None:
        self._saved.set_user_attr("run_id", value)

    def ask(self) -> tuple[Trial, dict[str, float]]:
        """The next trial and its values, by dotted key.

        Each trial's sampler is seeded by how many have ended, so a study that was interrupted goes on as if it had not
        been.
        """
        ended = len(self.trials)
        seed = int(np.random.SeedSequence([self._config.seed, ended]).generate_state(1)[0])
        self._study.sampler = TPESampler(seed=seed)
        space = {key: _distribution(r.low, r.high, r.log) for key, r in self._config.ranges.items()}
        if ended == 0:
            # A value outside its interval is tried all the same; Optuna need not know of it.
            inside = {k: d for k, d in space.items() if d._contains(self._current[k])}
            self._study.enqueue_trial({key: self._current[key] for key in inside})
            trial = self._study.ask(inside)
            return trial, self._current | trial.params
        trial = self._study.ask(space)
        return trial, dict(trial.params)

    def tell(self, trial: Trial, state: TrialState, value: float, attributes: dict[str, object]) -> None:
        """Ends a trial and appends it to the journal.

        Args:
            trial: from :meth:`ask`.
            state: COMPLETE, PRUNED or FAIL.
            value: the best monitored value; ignored for FAIL.
            attributes: what else to keep with it.
        """
        for name, attribute in attributes.items():
            trial.set_user_attr(name, attribute)
        self._study.tell(trial, value if state == TrialState.COMPLETE else None, state)
        self._saved.add_trial(self._study.trials[trial.number])


def _distribution(low: float, high: float, log: bool) -> BaseDistribution:
    return FloatDistribution(low, high, log=log)


def _pruner(config: TuneConfig) -> BasePruner:
    if config.pruner == "none":
        return NopPruner()
    return MedianPruner(n_startup_trials=config.pruner_startup_trials, n_warmup_steps=config.pruner_warmup_epochs)


def _repair(journal: Path) -> None:
    """Cuts off a last line without an end, which Optuna would read once and choke on after the next append."""
    if not journal.exists():
        return
    with journal.open("r+b") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            file.truncate(whole)
