"""A study that many trials, and several processes and machines, work on at once.

A study has ``tune.n_trials`` places, and a trial is named by its place. The storage has each trial once, when it has
ended (:func:`wellfit.tuning.storage.end_trial`), and what is under way in the leases of the workers
(:mod:`wellfit.tuning.leases`). It is read before each proposal. Values are proposed and trials are stopped by what
stands in memory, where a report costs microseconds.
"""

import itertools
import random
import time
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

from optuna.distributions import distribution_to_json
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from wellfit.files import project_root
from wellfit.settings.params import PARAMS_FILE, Params
from wellfit.tuning.beginning import begin
from wellfit.tuning.covariance import GENERATION
from wellfit.tuning.databases import is_outage
from wellfit.tuning.identity import changed_files, check_identity, identity, study_name, study_prefix
from wellfit.tuning.leases import RENEW_SECONDS, Lease, all_leases, holds, trials_under_way
from wellfit.tuning.memory import Memory
from wellfit.tuning.outage import persistently, wait
from wellfit.tuning.pruners import PRUNERS
from wellfit.tuning.samplers import drawn_at_random
from wellfit.tuning.space import Space, drawn
from wellfit.tuning.storage import DISTRIBUTIONS, FOLDER, IDENTITY, STATES, ended_trials, open_saved, study_names

WAIT_SECONDS = 1.0  # between two looks at the trials of other workers
WORKER = "worker"  # that runs a trial, in what its lease and its end say of it


class Trial(NamedTuple):
    """A trial to run.

    Attributes:
        number: its place in the study, from 0.
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

    Attributes:
        name: of the study in the storage.
        saved: the study in the storage.
        folder: for the records of its trials; another for a study of this name in another storage, or made anew.
        why_ended: why :meth:`ask` had no more trials before all places were taken; else empty.

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
        texts = {key: distribution_to_json(each) for key, each in self._space.distributions.items()}
        attributes = {FOLDER: uuid.uuid4().hex[:8], DISTRIBUTIONS: texts, IDENTITY: same}
        is_new = persistently(lambda: begin(self.saved, attributes))
        known = persistently(lambda: self.saved.user_attrs)
        check_identity(self.name, known.get(IDENTITY), same)
        self.folder = project_root() / ".wellfit" / "records" / str(known[FOLDER]) / self.name
        if is_new and params.tune.study is None:
            _name_study_of_other_code(params.tune.storage, self.name, study_prefix(data_name, same), same)
        if at_random := drawn_at_random(self._config, self._space):
            text = f"{' and '.join(at_random)} are drawn at random"
            print(f"tune.sampler {self._config.sampler} takes numbers only: {text}")

        self._deadline = time.monotonic() + self._config.timeout if self._config.timeout else None
        pruner = PRUNERS[self._config.pruner](self._config, epochs, self.name, higher_is_better)
        self._memory = Memory(self._config, self._space, pruner, self._direction)
        self._lease = Lease(self.saved, self.folder / "workers")
        self._own: dict[int, dict[str, Any]] = {}  # asked for by this process
        self._known: dict[int, dict[str, Any]] = {}  # asked for by the worker that this one goes on with
        self._has_waited = False
        self.why_ended = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def trials(self) -> list[FrozenTrial]:
        """The trials whose end is in the storage, by their numbers; of a longer study the first ``tune.n_trials``."""
        ended = persistently(lambda: ended_trials(self.saved))
        return [trial for number, trial in ended.items() if number < self._config.n_trials]

    def ask(self, count: int = 1, *, waits: bool = False) -> list[Trial]:
        """Takes the next places, in one write.

        Args:
            count: how many trials are wanted.
            waits: whether to wait while all places are taken and some trials are under way in other workers: a place
                is free again where one of them dies. This process must have none under way itself.

        Returns:
            Fewer, or none, where all places are taken, each combination of a grid is, or ``tune.timeout`` is over.
        """
        while self._deadline is None or time.monotonic() < self._deadline:
            proposed, others = self._take(count)
            if proposed or not (waits and others):
                return [Trial(number, trial["values"]) for number, trial in proposed.items()]
            if not self._has_waited:
                self._has_waited = True
                print(f"waits for {len(others)} trials under way in other workers", flush=True)
            wait(WAIT_SECONDS)
        self.why_ended = f"tune.timeout {self._config.timeout:g} is over"
        return []

    def _take(self, count: int) -> tuple[dict[int, dict[str, Any]], dict[int, dict[str, Any]]]:
        """Takes places; gives their trials, and those that are under way in other workers.

        Workers that take a place at once both see it, as each reads after it has written. Both give it back, and try
        again after a moment that chance decides.
        """
        chance = random.SystemRandom()
        others = self._read()
        for attempt in itertools.count(1):
            taken = self._memory.ended.keys() | self._own.keys() | others.keys()
            free = [place for place in range(self._config.n_trials) if place not in taken]
            proposed = self._memory.propose(free[:count], others | self._own, self._known)
            if len(proposed) < len(free[:count]):
                self.why_ended = "each combination of tune.space is tried"
            if not proposed:
                return {}, {number: trial for number, trial in others.items() if number not in self._memory.ended}
            proposed = {number: trial | {WORKER: self._lease.worker} for number, trial in proposed.items()}
            self._lease.trials |= proposed
            persistently(self._lease.write)
            others = self._read()
            if not proposed.keys() & (others.keys() | self._memory.ended.keys()):
                break
            for number in proposed:
                self._lease.trials.pop(number, None)
            persistently(self._lease.write)
            time.sleep(chance.uniform(0.0, 0.05 * attempt))
            others = self._read()
        self._own |= proposed
        self.why_ended = ""
        return proposed, others

    def report(self, number: int, epoch: int, value: float) -> None:
        """Takes the monitored value of an epoch, counted from 1."""
        self._memory.report(number, epoch, value)

    def should_prune(self, number: int) -> bool:
        """Whether to stop a trial at the epoch that it reported last; that with the current values never."""
        return number != 0 and self._memory.should_prune(number)

    def tell(self, number: int, state: str, best: float | None) -> None:
        """Ends a trial of this process in memory; :func:`wellfit.tuning.storage.end_trial` tells the storage.

        Args:
            number: from :meth:`ask`.
            state: complete, pruned or failed.
            best: the best monitored value; must be a number where the trial is complete.
        """
        trial = self._own[number]
        params = drawn(trial["values"], self._space.distributions)
        self._memory.end(number, STATES[state], best, params, trial.get(GENERATION))

    def state_dict(self) -> dict[str, Any]:
        """What decides how this worker goes on with the study, as JSON can hold it."""
        own = [[number, trial] for number, trial in self._own.items() if number not in self._memory.ended]
        return {"worker": self._lease.worker, "own": own, "memory": self._memory.state_dict()}

    def go_on(self, state: Mapping[str, Any]) -> set[int] | None:
        """Goes on as a worker that is gone, before :meth:`ask` is called first.

        What that worker asked for and ended after the state was taken is asked for, and ends, once more, with the same
        values: to other workers, and in the storage, it is as it was.

        Args:
            state: what :meth:`state_dict` said of it.

        Returns:
            Those of its trials under way that no other worker has taken since; None: it cannot be gone on with.
        """
        workers, before = self.folder / "workers", {int(number): trial for number, trial in state["own"]}
        lease = Lease(self.saved, workers, state["worker"])
        held = persistently(lambda: all_leases(self.saved)).get(lease.key)
        if held and holds(held, workers, lease.key):
            return None
        ended = persistently(lambda: ended_trials(self.saved))
        if set(state["memory"]["ended"]) - ended.keys():  # a record was lost, or damaged: its trial is run again
            return None
        self._lease = lease
        self._memory.load_state_dict(state["memory"], ended)
        left = {int(number): trial for number, trial in held["trials"].items()} if held else {}
        mine = {number: trial.user_attrs for number, trial in ended.items() if self._is_mine(trial)}
        known = {
            number: {key: said[key] for key in ("values", GENERATION) if key in said} for number, said in mine.items()
        }
        self._known = left | known
        lease.trials = {number: trial for number, trial in (left | before).items() if number not in ended}
        persistently(lease.write)
        taken = self._read().keys() | {number for number, trial in ended.items() if not self._is_mine(trial)}
        self._own = {n: trial for n, trial in before.items() if n not in taken and n < self._config.n_trials}
        for number in before.keys() - self._own.keys():
            lease.trials.pop(number, None)
        persistently(lease.write)
        return set(self._own)

    def close(self) -> None:
        """Gives back the places of the trials of this process that have not ended.

        Those that were told and are not in the storage yet stay in the lease until it runs out.
        """
        try:
            known = ended_trials(self.saved).keys() if self._lease.trials else ()
            waiting = {
                n: trial for n, trial in self._lease.trials.items() if n in self._memory.ended and n not in known
            }
            self._lease.trials = waiting
            self._lease.close()
        except Exception as error:
            if not is_outage(error):  # else the lease runs out
                raise

    def _read(self) -> dict[int, dict[str, Any]]:
        """Reads the storage; gives the trials under way in other workers."""
        others, ended = persistently(self._look, settle_seconds=RENEW_SECONDS)
        for number, trial in ended.items():
            others.pop(number, None)
            self._lease.trials.pop(number, None)
            ends_again = number in self._known and self._is_mine(trial)
            if number not in self._memory.ended and number not in self._own and not ends_again:
                self._memory.take_in(number, trial)
        return others

    def _is_mine(self, trial: FrozenTrial) -> bool:
        """Whether a trial stood in our lease when it ended, be it for the moment in which two took its place."""
        return trial.user_attrs.get(WORKER) == self._lease.worker

    def _look(self) -> tuple[dict[int, dict[str, Any]], dict[int, FrozenTrial]]:
        # In this order: a trial leaves its lease after its end is in the storage.
        others = trials_under_way(self.saved, self.folder / "workers", without=self._lease.key)
        return {n: trial for n, trial in others.items() if n < self._config.n_trials}, ended_trials(self.saved)


def _name_study_of_other_code(storage: str, name: str, prefix: str, same: Mapping[str, Any]) -> None:
    """Says that there is a study that differs from a new one in its code alone, and how to go on with it."""
    others = [open_saved(storage, other) for other in study_names(storage, prefix) if other != name]
    sizes = {other.study_name: len(ended_trials(other)) for other in others}
    largest = max(others, key=lambda other: sizes[other.study_name], default=None)
    if largest is None or not sizes[largest.study_name]:
        return
    changed = changed_files(largest.user_attrs.get(IDENTITY, {}), same)
    print(
        f"the study is new, as the code has changed ({changed}); {largest.study_name} has "
        f"{sizes[largest.study_name]} trials of before: tune.study {largest.study_name} goes on with it ({PARAMS_FILE})"
    )
