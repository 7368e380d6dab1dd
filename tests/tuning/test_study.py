"""The study: places, claims of several processes, going on after an interruption, refusals."""

import itertools
import os
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from wellfit.errors import WellfitError
from wellfit.settings.params import Params, load_params
from wellfit.tuning.identity import identity
from wellfit.tuning.leases import SECONDS, Lease, trials_under_way
from wellfit.tuning.space import Interval
from wellfit.tuning.storage import end_trial
from wellfit.tuning.study import Study, Trial

from ..conftest import PLAIN

PARAMS_FILE = Path(__file__).parents[2] / "params.yaml"
CURRENT = {"optim.lr": 0.003, "optim.weight_decay": 0.01, "model.dropout": 0.2}
JOURNAL, SQLITE = "tune.storage=.wellfit/studies", "tune.storage=sqlite:///studies.db"


@dataclass
class Record:
    number: int
    values: dict[str, Any]
    state: str
    best: float | None
    history: list[dict[str, float]]
    best_epoch: int = 1
    started: float = 1000.0
    ended: float = 1002.0
    failure: str = ""
    config: dict[str, Any] = field(default_factory=lambda: {"train": {"monitor": "val/loss"}})


@pytest.fixture(autouse=True)
def _root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def params_of(*overrides: str) -> Params:
    return load_params(PARAMS_FILE, [*PLAIN, *overrides])


def open_study(*overrides: str, data: str = "d1", higher_is_better: bool = False) -> Study:
    params = params_of(*overrides)
    return Study(params, "digits", data, epochs=params.train.epochs, higher_is_better=higher_is_better)


def loss_of(values: dict[str, Any]) -> float:
    return abs(values["optim.lr"] - 0.01) + values["model.dropout"]


def end(study: Study, trial: Trial, state: str = "complete", best: float | None = None) -> None:
    best = loss_of(trial.values) if best is None else best
    study.report(trial.number, 1, best)
    study.tell(trial.number, state, best)
    end_trial(study.saved, Record(trial.number, trial.values, state, best, [{"val/loss": best}]))


def ask(study: Study) -> Trial:
    (trial,) = study.ask()
    return trial


def run_trials(study: Study, count: int) -> list[dict[str, Any]]:
    values = []
    for _ in range(count):
        trial = ask(study)
        end(study, trial)
        values.append(trial.values)
    return values


def under_way(study: Study) -> dict[int, dict[str, Any]]:
    return trials_under_way(study.saved, study.folder / "workers")


def values_of(study: Study) -> list[dict[str, Any]]:
    return [trial.user_attrs["values"] for trial in study.trials]


# The values


def test_the_first_trial_has_the_current_values() -> None:
    assert open_study().ask() == [Trial(0, CURRENT)]


@pytest.mark.parametrize("sampler", ["tpe", "gp", "random"])
def test_a_current_value_outside_its_interval_is_tried_all_the_same(sampler: str) -> None:
    study = open_study(
        "tune.space.optim.weight_decay={low: 0.1, high: 0.2}", "tune.n_trials=30", f"tune.sampler={sampler}"
    )
    trial = ask(study)
    assert trial.values == CURRENT
    end(study, trial)
    (first,) = study.saved.trials
    assert set(first.params) == {"optim.lr", "model.dropout"}
    # It does not keep the sampler from a model of the key: weight_decay follows its objective.
    for _ in range(25):
        trial = ask(study)
        end(study, trial, best=trial.values["optim.weight_decay"])
    drawn = [values["optim.weight_decay"] for values in values_of(study)[-8:]]
    assert all(0.1 <= value <= 0.2 for value in drawn)
    if sampler != "random":
        assert sum(drawn) / len(drawn) < 0.13


def test_a_current_value_that_is_no_choice_is_tried_all_the_same() -> None:
    study = open_study("tune.space={model: {hidden: [[8], [16, 8]]}}")
    assert ask(study).values == {"model.hidden": [128, 64]}
    assert ask(study).values["model.hidden"] in ([8], [16, 8])


def test_values_can_be_put_into_the_params() -> None:
    space = (
        "{model: {hidden: [[8], [16, 8]], norm: [batch, layer]}, train: {batch_size: {low: 16, high: 64}},"
        " optim: {clip_norm: [null, 1.0], lr: {low: 0.001, high: 0.1, log: true}}}"
    )
    params = params_of(f"tune.space={space}")
    study = open_study(f"tune.space={space}")
    for _ in range(20):
        trial = ask(study)
        changed = params.replace(trial.values).flat()
        assert {key: changed[key] for key in trial.values} == trial.values


def test_later_trials_stay_inside_their_intervals_and_differ() -> None:
    study = open_study()
    values = run_trials(study, 15)
    for key, interval in params_of().tune.searched.items():
        assert isinstance(interval, Interval)
        assert all(interval.low <= each[key] <= interval.high for each in values)
    assert len({each["optim.lr"] for each in values}) == 15


def test_the_seed_decides_the_values() -> None:
    first, again, other = (
        run_trials(open_study(f"tune.study={name}", f"tune.seed={seed}"), 3)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first == again
    assert first[1:] != other[1:]


def test_a_pack_that_is_asked_for_at_once_has_no_values_twice() -> None:
    study = open_study("tune.n_trials=40")
    run_trials(study, 12)
    pack = study.ask(16)
    assert len({trial.values["optim.lr"] for trial in pack}) == 16


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "cmaes"])
def test_a_pack_gets_what_its_trials_would_get_one_by_one(sampler: str) -> None:
    if sampler == "cmaes":
        pytest.importorskip("cmaes")
    one, other = (open_study(f"tune.study={name}", f"tune.sampler={sampler}") for name in ("one", "other"))
    for study in (one, other):
        run_trials(study, 12)
    assert one.ask(5) == [ask(other) for _ in range(5)]


def test_a_pack_is_taken_in_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    study, writes = open_study(), []
    monkeypatch.setattr(Lease, "write", lambda lease: writes.append(sorted(lease.trials)))
    study.ask(5)
    assert writes == [[0, 1, 2, 3, 4]]


def test_ended_trials_are_in_the_storage_with_their_states() -> None:
    study = open_study()
    for state, value in [("failed", 0.0), ("complete", 3.0), ("pruned", 1.0), ("complete", 4.0)]:
        end(study, ask(study), state, value)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE", "PRUNED", "COMPLETE"]


def test_direction() -> None:
    study = open_study("train.monitor=val/accuracy", higher_is_better=True)
    for value in (0.5, 0.9, 0.7):
        end(study, ask(study), best=value)
    assert study.saved.best_value == 0.9


# n_trials, timeout, grid


def test_n_trials_are_a_total_across_calls() -> None:
    run_trials(open_study("tune.n_trials=5"), 3)
    study = open_study("tune.n_trials=5")
    run_trials(study, 2)
    assert study.ask() == []
    more = open_study("tune.n_trials=6")
    run_trials(more, 1)
    assert more.ask() == []
    assert len(more.trials) == 6
    assert len(open_study("tune.n_trials=4").trials) == 4


def test_after_the_timeout_no_trial_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    study = open_study("tune.timeout=60")
    ask(study)
    now[0] += 59.9
    ask(study)
    now[0] += 0.1
    assert study.ask() == []
    assert open_study("tune.timeout=60").ask()  # of each call its own


def test_a_grid_ends_the_study() -> None:
    study = open_study("tune.sampler=grid", "tune.space={model: {dropout: [0.1, 0.2, 0.3]}}")
    tried = []
    while trials := study.ask():
        (trial,) = trials
        end(study, trial, best=0.0)
        tried.append(trial.values["model.dropout"])
    assert tried[0] == 0.2  # the current one
    assert sorted(tried) == [0.1, 0.2, 0.3]
    assert study.ask() == []
    assert len(study.trials) == 3


# Going on


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes"])
@pytest.mark.parametrize("storage", [JOURNAL, SQLITE])
def test_a_study_that_is_taken_up_again_equals_an_uninterrupted_one(sampler: str, storage: str) -> None:
    if sampler == "cmaes":
        pytest.importorskip("cmaes")
    setting = f"tune.sampler={sampler}"
    whole = run_trials(open_study(setting, storage, "tune.study=whole"), 16)
    for count in (0, 5, 11):
        study = open_study(setting, storage, "tune.study=parts")
        run_trials(study, count)
        ask(study)  # under way as the process ends
        study.close()
    assert values_of(open_study(setting, storage, "tune.study=parts")) == whole


@pytest.mark.parametrize("storage", [JOURNAL, SQLITE])
def test_an_interruption_waits_until_the_lease_is_written(
    storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    whole = run_trials(open_study(storage, "tune.study=whole"), 2)
    study = open_study(storage, "tune.study=parts")
    set_user_attr, written = optuna.Study.set_user_attr, []

    def interrupt_within(saved: optuna.Study, key: str, value: Any) -> None:
        is_own = saved is study.saved  # else a lease of another test is renewed
        if is_own and not written:
            signal.raise_signal(signal.SIGINT)
        set_user_attr(saved, key, value)
        if is_own:
            written.append(value)

    with study:
        first = run_trials(study, 1)
        monkeypatch.setattr(optuna.Study, "set_user_attr", interrupt_within)
        with pytest.raises(KeyboardInterrupt):
            study.ask()
        assert list(written[0]["trials"]) == ["1"]
    signal.signal(signal.SIGINT, before)
    assert written[1:] == [None]  # given back
    assert not list(tmp_path.rglob("*.log.lock"))
    assert first + run_trials(open_study(storage, "tune.study=parts"), 1) == whole


def test_what_a_trial_is_compared_with_survives() -> None:
    setting = ("tune.pruner_startup_trials=2", "tune.pruner_warmup_epochs=2")
    study = open_study(*setting)
    for _ in range(3):
        trial = ask(study)
        study.tell(trial.number, "complete", 1.0)
        end_trial(study.saved, Record(trial.number, trial.values, "complete", 1.0, [{"val/loss": 1.0}] * 3))
    study = open_study(*setting)
    number = ask(study).number
    study.report(number, 1, 5.0)
    assert not study.should_prune(number)
    study.report(number, 2, 5.0)
    assert study.should_prune(number)


def test_a_grid_tries_again_what_was_given_back() -> None:
    setting = ("tune.sampler=grid", "tune.space={model: {dropout: [0.1, 0.2, 0.3]}}")
    study = open_study(*setting)
    end(study, ask(study), best=0.0)
    with open_study(*setting) as other:
        given_back = ask(other)
        assert ask(study).values != given_back.values
    assert ask(study).values == given_back.values
    assert study.ask() == []


def test_a_trial_that_was_stopped_is_remembered_as_one() -> None:
    setting = ("tune.pruner_startup_trials=2", "tune.pruner_warmup_epochs=1")
    study = open_study(*setting)
    stopped = ask(study)
    end_trial(study.saved, Record(stopped.number, stopped.values, "pruned", 1.0, [{"val/loss": 1.0}]))
    study = open_study(*setting)
    number = ask(study).number
    for epoch, value in ((1, 9.0), (2, 0.5)):
        study.report(number, epoch, value)
    assert not study.should_prune(number)
    third = ask(study).number
    study.report(third, 2, 9.0)
    assert study.should_prune(third)  # with the one that was stopped, two others


def test_a_study_that_is_closed_gives_back_what_is_under_way_at_once() -> None:
    with open_study("tune.n_trials=3") as study:
        run_trials(study, 1)
        told, running = ask(study), ask(study)
        study.tell(told.number, "complete", 1.0)  # its end is not in the storage yet
        assert set(under_way(study)) == {told.number, running.number}
    assert set(under_way(study)) == {told.number}
    again = open_study("tune.n_trials=3")
    assert again.ask(3) == [running]


def test_trials_of_a_worker_that_lives_are_left_alone() -> None:
    first, second = open_study("tune.n_trials=3"), open_study("tune.n_trials=3")
    begun = [ask(first), ask(first), ask(second)]
    assert [trial.number for trial in begun] == [0, 1, 2]
    assert second.ask() == []


def test_workers_that_take_a_place_at_once_give_it_back_and_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = open_study("tune.n_trials=3"), open_study("tune.n_trials=3")
    write, taken = Lease.write, []

    def overtaken(lease: Lease) -> None:
        write(lease)
        if not taken:  # the other has read before this write, and writes before this one reads again
            taken.append(lease)
            second._lease.trials[0] = {"values": CURRENT}
            write(second._lease)

    monkeypatch.setattr(Lease, "write", overtaken)
    assert [trial.number for trial in first.ask(2)] == [1, 2]
    assert set(trials_under_way(first.saved, first.folder / "workers", without=first._lease.key)) == {0}
    assert first.ask() == []


def test_trials_of_another_machine_are_free_when_their_lease_has_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("threading.Thread.start", lambda thread: None)  # it has died, and nothing renews its lease
        lost = ask(open_study("tune.n_trials=1"))
    study = open_study("tune.n_trials=1")
    assert study.ask() == []
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + SECONDS + 1)
    assert ask(study) == lost


def test_a_worker_waits_for_the_trials_of_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    setting = "tune.n_trials=3"
    study, other = open_study(setting), open_study(setting)
    run_trials(study, 1)
    ended, given_back = ask(other), ask(other)
    assert study.ask() == []
    looks = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            end(other, ended)
        if len(looks) == 4:
            other.close()  # it is interrupted

    monkeypatch.setattr("wellfit.tuning.study.wait", sleep)
    assert study.ask(2, waits=True) == [given_back]
    assert len(looks) == 4
    assert capsys.readouterr().out == "waits for 2 trials under way in other workers\n"
    end(study, given_back)
    assert study.ask(waits=True) == []
    assert len(looks) == 4
    assert [trial.number for trial in study.trials] == [0, 1, 2]


def test_a_worker_waits_for_the_last_of_a_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = ("tune.sampler=grid", "tune.space={model: {dropout: [0.1, 0.2]}}")
    study, other = open_study(*setting), open_study(*setting)
    end(study, ask(study), best=0.0)
    given_back = ask(other)
    monkeypatch.setattr("time.sleep", lambda seconds: other.close())
    assert study.ask(waits=True) == [given_back]
    assert study.why_ended == ""


def test_the_wait_for_others_ends_with_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    study, other = open_study("tune.n_trials=1", "tune.timeout=60"), open_study("tune.n_trials=1")
    ask(other)
    now = time.monotonic()
    monkeypatch.setattr("time.sleep", lambda seconds: monkeypatch.setattr("time.monotonic", lambda: now + 61))
    assert study.ask(waits=True) == []
    assert study.why_ended == "tune.timeout 60 is over"


def test_a_worker_that_goes_on_after_its_lease_has_run_out_is_second(tmp_path: Path) -> None:
    slow, fast = open_study("tune.n_trials=2"), open_study("tune.n_trials=2")
    trial = ask(slow)
    fast._lease.trials[0] = {"values": trial.values}  # it has found the lease of the other run out
    fast._own[0] = {"values": trial.values}
    end(fast, trial, best=1.0)
    end(slow, trial, best=2.0)  # as if nothing had been
    assert ask(slow).number == 1
    assert fast.ask() == []
    (kept,) = slow.saved.trials
    assert kept.value == 1.0


def test_other_processes_trials_are_taken_in_before_each_proposal() -> None:
    first, second = open_study("tune.n_trials=40"), open_study("tune.n_trials=40")
    alone = open_study("tune.n_trials=40", "tune.study=alone")
    for study in (first, alone):
        run_trials(study, 12)
    assert [ask(first), ask(second), ask(first), ask(second)] == alone.ask(4)


def test_trials_that_others_added_are_seen_but_take_no_place() -> None:
    study = open_study("tune.n_trials=2", "tune.study=shared")
    study.saved.add_trial(optuna.trial.create_trial(value=1.0))
    assert [ask(study).number, ask(study).number] == [0, 1]
    assert study.ask() == []
    assert study.trials == []


# The same study or another one


def test_a_study_that_is_made_anew_has_records_of_its_own() -> None:
    before = open_study("tune.study=mine").folder
    assert open_study("tune.study=mine").folder == before
    (Path(".wellfit") / "studies" / "mine.log").unlink()
    assert open_study("tune.study=mine").folder != before


@pytest.mark.parametrize(
    "override", ["optim.momentum=0.5", "tune.seed=1", "tune.sampler=random", "tune.space.optim.lr=null"]
)
def test_other_settings_or_data_are_another_study(override: str) -> None:
    name = open_study().name
    assert name.startswith("digits-")
    assert open_study(override).name != name
    assert open_study(data="d2").name != name


@pytest.mark.parametrize("override", ["tune.n_trials=7", "tune.timeout=7", "tune.pack=3", SQLITE])
def test_how_much_is_tried_and_where_it_is_kept_is_the_same_study(override: str) -> None:
    assert open_study(override).name == open_study().name


@pytest.mark.parametrize("storage", [JOURNAL, SQLITE])
@pytest.mark.parametrize(
    ("overrides", "data", "difference"),
    [
        (["optim.momentum=0.5"], "d1", "was made with optim.momentum 0.9, which is 0.5 now; go back, or"),
        (
            ["tune.space.optim.lr.low=0.001"],
            "d1",
            "made with tune.space.optim.lr.low 0.0003, which is 0.001 now; go back, or",
        ),
        (
            ["tune.space.optim.lr=null"],
            "d1",
            "was made with tune.space.optim.lr.low 0.0003, which is not set now; go back, or",
        ),
        (
            ["tune.space.optim.lr.step=null", "tune.space.train.epochs=[9, 8]"],
            "d1",
            r"space.train.epochs not set, which is \[9, 8\] now; go back, or",
        ),
        ([], "d2", "was made on other data;"),
    ],
)
def test_a_named_study_that_is_another_one_is_refused(
    storage: str, overrides: list[str], data: str, difference: str
) -> None:
    open_study("tune.study=mine", storage)
    with pytest.raises(WellfitError, match=rf"^tune\.study mine .*{difference} give tune\.study another name, or null"):
        open_study("tune.study=mine", storage, *overrides, data=data)
    open_study("tune.study=mine", storage, "tune.n_trials=99")


def _of_other_code(params: Params, data_sha256: str) -> dict[str, Any]:
    same = identity(params, data_sha256)
    return same | {"code": same["code"] | {"training/loop.py": "0"}}


def test_a_named_study_goes_on_with_other_code_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_trials(open_study("tune.study=mine"), 2)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("wellfit.tuning.study.identity", _of_other_code)
    assert ask(open_study("tune.study=mine")).number == 2
    assert capsys.readouterr().err == (
        "warning: tune.study mine goes on with other code than it began with (training/loop.py); to begin anew, give "
        "tune.study another name, or null (params.yaml)\n"
    )


@pytest.mark.parametrize("storage", [JOURNAL, SQLITE])
def test_other_code_is_another_study_and_the_one_of_before_is_named(
    storage: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = open_study(storage)
    run_trials(before, 2)
    open_study(storage, "tune.seed=1")  # of other settings
    assert capsys.readouterr().out == ""
    monkeypatch.setattr("wellfit.tuning.study.identity", _of_other_code)
    study = open_study(storage)
    assert ask(study).number == 0
    assert study.name != before.name
    assert capsys.readouterr().out == (
        f"the study is new, as the code has changed (training/loop.py); {before.name} has 2 trials of before: "
        f"tune.study {before.name} goes on with it (params.yaml)\n"
    )
    assert ask(open_study(storage, f"tune.study={before.name}")).number == 2
    capsys.readouterr()
    open_study(storage)
    assert capsys.readouterr().out == ""  # said once


def test_a_study_of_an_older_version_is_refused() -> None:
    open_study("tune.study=mine").saved.set_user_attr("wellfit_identity", {"code_sha256": "0"})
    with pytest.raises(WellfitError, match=r"tune\.study mine was made by an older version of wellfit; give"):
        open_study("tune.study=mine")


def test_a_study_that_wellfit_did_not_begin_is_refused() -> None:
    optuna.create_study(storage="sqlite:///studies.db", study_name="theirs").add_trial(
        optuna.trial.create_trial(value=1.0)
    )
    with pytest.raises(WellfitError, match=r"tune\.study theirs is a study that wellfit did not begin; give"):
        open_study("tune.study=theirs", SQLITE)


# What is said


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "cmaes"])
@pytest.mark.parametrize("pruner", ["median", "halving", "hyperband"])
def test_nothing_is_said_on_stderr(sampler: str, pruner: str, capfd: pytest.CaptureFixture[str]) -> None:
    if sampler == "cmaes":
        pytest.importorskip("cmaes")
    space = "tune.space.model.hidden=[[8], [16]]"
    with warnings.catch_warnings(), open_study(f"tune.sampler={sampler}", f"tune.pruner={pruner}", space) as study:
        warnings.simplefilter("error")
        run_trials(study, 13)
    said = capfd.readouterr()
    assert said.err == ""
    random = "tune.sampler cmaes takes numbers only: model.hidden are drawn at random\n"
    assert said.out == (random if sampler == "cmaes" else "")


def test_a_trial_that_ended_while_two_had_its_place_is_not_run_again() -> None:
    with open_study() as one, open_study() as other:
        (trial,) = other.ask()
        one._lease.trials = {trial.number: other._own[trial.number] | {"worker": one._lease.worker}}
        one._lease.write()  # as of a worker that takes a place, and gives it back as it sees the other
        end(other, trial)
        one._lease.trials.clear()
        one._lease.write()
        assert [each.number for each in one.ask()] == [trial.number + 1]


# Several processes

WORKER = """
import sys, time
sys.path.insert(0, {root!r})
from tests.tuning.test_study import Record, end, open_study
study = open_study(*{overrides!r})
while trials := study.ask({count}):
    for trial in trials:
        print(trial.number, flush=True)
        if {lasts}:
            time.sleep(600)
        end(study, trial)
study.close()
"""


def start_worker(*overrides: str, lasts: bool = False, count: int = 1) -> subprocess.Popen[str]:
    code = WORKER.format(root=str(Path(__file__).parents[2]), overrides=overrides, lasts=lasts, count=count)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("storage", "count"), [(JOURNAL, 1), (JOURNAL, 4), pytest.param(SQLITE, 1, marks=pytest.mark.slow)]
)
def test_several_processes_share_the_trials_of_a_study(storage: str, count: int) -> None:
    workers = [start_worker(storage, "tune.n_trials=21", count=count) for _ in range(3)]
    numbers = [[int(line) for line in worker.communicate(timeout=120)[0].splitlines()] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert sorted(itertools.chain(*numbers)) == list(range(21))
    study = open_study(storage, "tune.n_trials=21")
    assert [trial.state for trial in study.saved.trials] == [TrialState.COMPLETE] * 21
    assert sorted(trial.user_attrs["place"] for trial in study.trials) == list(range(21))
    assert len({tuple(values.values()) for values in values_of(study)}) == 21
    assert study.ask() == []


@pytest.mark.parametrize("storage", [JOURNAL, SQLITE])
def test_a_trial_whose_process_was_killed_is_given_to_another(storage: str) -> None:
    setting = (storage, "tune.n_trials=3")
    study = open_study(*setting)
    run_trials(study, 1)
    worker = start_worker(*setting, lasts=True)
    assert worker.stdout is not None
    assert int(worker.stdout.readline()) == 1
    run_trials(study, 1)
    assert study.ask() == []  # two have ended, one is under way
    lost = under_way(study)[1]["values"]
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait(30)
    again = ask(study)
    assert again == Trial(1, lost)  # of a number, and with it of a seed, that is the same
    end(study, again)
    assert study.ask() == []
    assert [trial.number for trial in study.trials] == [0, 1, 2]
    worker.stdout.close()


def test_a_lost_trial_is_given_back_by_the_next_call_as_well() -> None:
    worker = start_worker(lasts=True)
    assert worker.stdout is not None
    assert int(worker.stdout.readline()) == 0
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait(30)
    worker.stdout.close()
    study = open_study()
    assert ask(study) == Trial(0, CURRENT)
    assert study.trials == []


def test_the_current_values_are_never_stopped() -> None:
    study = open_study("tune.pruner_startup_trials=1", "tune.pruner_warmup_epochs=1")
    first, *others = [ask(study) for _ in range(4)]
    for trial in (first, *others):
        study.report(trial.number, 1, 9.0 if trial is first else float(trial.number))
    assert not study.should_prune(first.number)
    assert study.should_prune(others[-1].number)
