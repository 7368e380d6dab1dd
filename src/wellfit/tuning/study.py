"""A study that many trials, and several processes, work on at once.

Values are proposed and trials are stopped by what stands in memory, where a report costs microseconds. The storage
gets two things of each trial: that it was claimed, written when it begins, and how it ended, written by
:func:`wellfit.tuning.storage.end_trial` when there is time. What other processes wrote is read before each proposal.
"""

import socket
import time
import uuid
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import optuna
from filelock import FileLock, Timeout
from optuna.distributions import BaseDistribution
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from wellfit.files import project_root
from wellfit.interruptions import deferred
from wellfit.settings.params import Params
from wellfit.tuning.identity import check_identity, identity, study_name
from wellfit.tuning.pruners import make_pruner
from wellfit.tuning.samplers import GENERATION, GridExhaustedError, drawn_at_random, make_sampler
from wellfit.tuning.space import Space
from wellfit.tuning.storage import IDENTITY, LOST, STATES, at_once, is_lost, lock_path, open_saved, study_lock

FOLDER = "wellfit_records"


class Trial(NamedTuple):
    """A trial to run.

    Attributes:
        number: in the study, from 0.
        values: dotted key of ``params.yaml`` to the value to try.
    """

    number: int
    values: dict[str, Any]


class Study:
    """A study of one configuration on one data set, begun or gone on with.

    Each trial takes one of ``tune.n_trials`` places. One whose process dies gives its place back, so that a study that
    was interrupted tries the same values as one that was not. The trial in the first place tries the current values.

    Args:
        params: the configuration of a trial; ``tune`` says what is searched, and how.
        data_name: names the study, with the identity.
        data_sha256: of the data.
        epochs: of a trial with the current values.
        higher_is_better: direction of the monitored metric.

    Raises:
        WellfitError: the storage cannot be opened, or the study was made with other data or settings.
    """

    def __init__(
        self, params: Params, data_name: str, data_sha256: str, *, epochs: int, higher_is_better: bool
    ) -> None:
        self._config, self._space = params.tune, Space(params)
        same = identity(params, data_sha256)
        self.name = study_name(params, data_name, same)
        self._direction = StudyDirection.MAXIMIZE if higher_is_better else StudyDirection.MINIMIZE
        self.saved = open_saved(params.tune.storage, self.name, self._direction)
        self._storage, self._study_id = self.saved._storage, self.saved._study_id
        with self._lock():
            if IDENTITY not in self.saved.user_attrs and not self._all():
                self.saved.set_user_attr(FOLDER, uuid.uuid4().hex[:8])
                self.saved.set_user_attr(IDENTITY, same)
        check_identity(self.name, self.saved.user_attrs.get(IDENTITY), same)
        self._deadline = time.monotonic() + self._config.timeout if self._config.timeout else None

        self._memory_storage = InMemoryStorage()
        self._memory = optuna.create_study(
            storage=self._memory_storage, study_name=self.name, direction=self._direction
        )
        self._pruner = make_pruner(self._config, epochs, self.name, self._direction)
        self._ids: dict[int, int | None] = {}  # of a trial in memory; None: the sampler must not see it
        self._ended: set[int] = set()  # in memory
        self._own: set[int] = set()
        self._kept: set[int] = set()
        self._last: dict[int, tuple[int, float]] = {}  # epoch and value
        self.why_ended = ""  # before all places were taken
        self._current: int | None = None  # number of the trial with the current values

        self._alive = FileLock(lock_path(f"{self.name}.{uuid.uuid4().hex[:12]}.lock"))
        self._alive.acquire()
        # With the whole path, for another clone on this machine may look whether this process is alive.
        self._worker = f"{socket.gethostname()}:{self._alive.lock_file}"
        if random := drawn_at_random(self._config, self._space):
            print(f"tune.sampler {self._config.sampler} takes numbers only: {' and '.join(random)} are drawn at random")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def trials(self) -> list[FrozenTrial]:
        """The trials whose end is in the storage, in their order; of a longer study the first ``tune.n_trials``."""
        return [t for t in self._all() if t.state.is_finished() and _place(t) in range(self._config.n_trials)]

    @property
    def folder(self) -> Path:
        """For the records of its trials; another one for a study of the same name in another storage, or made anew."""
        return project_root() / ".wellfit" / "records" / str(self.saved.user_attrs[FOLDER]) / self.name

    def ask(self) -> Trial | None:
        """Claims the next trial.

        The claims of the processes of one project wait for each other. Where those of another clone or machine take
        the same place at once, the first to reach the storage has it.

        Returns:
            None: all places are taken, each combination of a grid is, or ``tune.timeout`` is over.
        """
        with deferred():  # cut short, it could leave a lock behind for which :meth:`close` would then wait
            return self._next()

    def report(self, number: int, epoch: int, value: float) -> None:
        """Takes the monitored value of an epoch, counted from 1; in memory only."""
        self._last[number] = (epoch, value)
        self._pruner.report(number, epoch, value)

    def should_prune(self, number: int) -> bool:
        """Whether to stop a trial at the epoch that it reported last; that with the current values never."""
        return number != self._current and self._pruner.should_prune(number)

    def tell(self, number: int, state: str, best: float | None) -> None:
        """Ends a trial of this process in memory; :func:`wellfit.tuning.storage.end_trial` tells the storage.

        Args:
            number: from :meth:`ask`.
            state: complete, pruned or failed.
            best: the best monitored value; must be a number where the trial is complete.
        """
        self._end(number, STATES[state], best)

    def keep(self, number: int) -> None:
        """Does not take a trial of another process for lost, whose end the storage will be told of."""
        self._kept.add(number)

    def close(self) -> None:
        """Gives back the places of this process' trials that have not been told, and ends its claim to be alive.

        What was told must have reached the storage before, or the next process takes those trials for lost.
        """
        with deferred():
            if self._alive.is_locked:
                with self._lock():
                    self._give_back(self._all(), only_own=True)
                self._alive.release()
                Path(self._alive.lock_file).unlink(missing_ok=True)

    def _next(self) -> Trial | None:
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self.why_ended = f"tune.timeout {self._config.timeout:g} is over"
            return None
        with self._lock():
            while True:
                trials = self._all()
                if not self._ids and self._give_back(trials, only_own=False):
                    trials = self._all()
                place = _free_place(trials)
                if place >= self._config.n_trials and self._give_back(trials, only_own=False):
                    trials = self._all()
                    place = _free_place(trials)
                if place >= self._config.n_trials:
                    return None
                self._take_in(trials)
                trial = self._claim(place)
                if trial is None or self._was_first(trial.number, place):
                    return trial

    def _lock(self) -> FileLock:
        return study_lock(self.name)

    def _all(self) -> list[FrozenTrial]:
        return self._storage.get_all_trials(self._study_id, deepcopy=False)

    def _claim(self, place: int) -> Trial | None:
        system: dict[str, Any] = {}
        if place == 0:
            memory_id, values = None, self._space.current
            drawn = self._space.drawn(values)
        else:
            seed = int(np.random.SeedSequence([self._config.seed, place]).generate_state(1)[0])
            self._memory.sampler = make_sampler(self._config, self._space, seed)
            try:
                asked = self._memory.ask(self._space.distributions)
            except GridExhaustedError:
                self.why_ended = "each combination of tune.space is tried"
                begun = self._memory_storage.get_all_trials(self._memory._study_id, deepcopy=False)[-1]
                self._memory_storage.set_trial_state_values(begun._trial_id, TrialState.FAIL)
                return None
            memory_id, drawn = asked._trial_id, asked.params
            values = self._space.values(drawn)
            kept = self._memory_storage.get_trial(memory_id).system_attrs
            system = {key: value for key, value in kept.items() if key == GENERATION}
        attributes = {"place": place, "worker": self._worker, "values": values}
        begun = _running(drawn, self._space.distributions, attributes, system)
        number = self._storage.get_trial_number_from_id(self._storage.create_new_trial(self._study_id, begun))
        self._ids[number] = self._remember(begun) if memory_id is None else memory_id
        self._own.add(number)
        if place == 0:
            self._current = number
        return Trial(number, values)

    def _was_first(self, number: int, place: int) -> bool:
        """Whether a place was free when it was claimed; the trial is given back where it was not."""
        if all(_place(trial) != place or trial.number >= number for trial in self._all()):
            return True
        self._lose(self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number))
        self._forget(number)
        return False

    def _take_in(self, trials: Iterable[FrozenTrial]) -> None:
        """Brings the trials of other processes, and of earlier calls, into memory."""
        for trial in trials:
            if trial.number in self._ended or trial.number in self._own:
                continue
            if is_lost(trial):
                self._forget(trial.number)
                continue
            if trial.number not in self._ids:
                self._ids[trial.number] = self._remember(trial)
            if trial.state.is_finished():
                for epoch in sorted(trial.intermediate_values):
                    self.report(trial.number, epoch, trial.intermediate_values[epoch])
                    self.should_prune(trial.number)  # rungs are kept by asking
                self._end(trial.number, trial.state, trial.value)

    def _remember(self, trial: FrozenTrial) -> int | None:
        """Puts a trial into memory as one that is running; a sampler sees only those that have all keys of the space.

        For a key that one trial lacks would be left out of the model of all.
        """
        if trial.params.keys() != self._space.distributions.keys():
            return None
        template = _running(trial.params, self._space.distributions, {}, trial.system_attrs)
        return self._memory_storage.create_new_trial(self._memory._study_id, template)

    def _forget(self, number: int) -> None:
        """A lost trial is as if it had not been: a grid tries its values again."""
        self._ended.add(number)
        memory_id = self._ids.setdefault(number, None)
        if memory_id is not None:
            self._memory_storage.set_trial_user_attr(memory_id, "failure", LOST)
            self._memory_storage.set_trial_state_values(memory_id, TrialState.FAIL)

    def _end(self, number: int, state: TrialState, best: float | None) -> None:
        self._ended.add(number)
        if state == TrialState.PRUNED:
            self._pruner.stop(number)
        memory_id = self._ids[number]
        if memory_id is None:
            return
        value = best if state == TrialState.COMPLETE else None
        if state == TrialState.PRUNED and number in self._last:
            # By these the sampler ranks a trial that was stopped.
            epoch, value = self._last[number]
            self._memory_storage.set_trial_intermediate_value(memory_id, epoch, value)
        self._memory_storage.set_trial_state_values(memory_id, state, None if value is None else [value])

    def _give_back(self, trials: Iterable[FrozenTrial], *, only_own: bool) -> bool:
        """Ends the running trials of processes that are no more, or of this one; whether there was one."""
        host, lost = socket.gethostname(), []
        for trial in trials:
            worker = str(trial.user_attrs.get("worker", ""))
            its_host, _, lock = worker.partition(":")
            if trial.state != TrialState.RUNNING or its_host != host or trial.number in self._kept:
                continue
            if worker == self._worker:
                if only_own and trial.number not in self._ended:
                    lost.append(trial)
            elif not only_own and _is_gone(Path(lock)):
                lost.append(trial)
        for trial in lost:
            self._lose(trial._trial_id)
        return bool(lost)

    def _lose(self, trial_id: int) -> None:
        with at_once(self._storage):
            self._storage.set_trial_user_attr(trial_id, "failure", LOST)
            self._storage.set_trial_state_values(trial_id, TrialState.FAIL)


def _running(
    drawn: dict[str, Any],
    distributions: dict[str, BaseDistribution],
    user_attributes: dict[str, Any],
    system_attributes: dict[str, Any],
) -> FrozenTrial:
    return FrozenTrial(
        number=-1,  # the storage gives number and id
        trial_id=-1,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=datetime.now(),
        datetime_complete=None,
        params=drawn,
        distributions={key: distributions[key] for key in drawn},
        user_attrs=user_attributes,
        system_attrs=system_attributes,
        intermediate_values={},
    )


def _place(trial: FrozenTrial) -> int:
    """Which of the ``tune.n_trials`` places a trial takes; -1 for one that was lost or that wellfit did not begin."""
    return -1 if is_lost(trial) else int(trial.user_attrs.get("place", -1))


def _free_place(trials: Iterable[FrozenTrial]) -> int:
    taken = {_place(trial) for trial in trials}
    return next(place for place in range(len(taken) + 1) if place not in taken)


def _is_gone(lock: Path) -> bool:
    """Whether a process of this machine has ended: it held a lock as long as it lived."""
    if not lock.exists():
        return True
    try:
        with FileLock(lock).acquire(timeout=0):
            lock.unlink(missing_ok=True)
    except Timeout:
        return False
    return True
