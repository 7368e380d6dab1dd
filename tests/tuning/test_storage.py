"""The journal, databases, and how a trial's end is written."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution, distribution_to_json
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from wellfit.errors import WellfitError
from wellfit.tuning.leases import Lease
from wellfit.tuning.storage import DISTRIBUTIONS, Journal, end_trial, ended_trials, open_saved

JOURNAL, SQLITE = ".wellfit/studies", "sqlite:///studies.db"
MINIMIZE = StudyDirection.MINIMIZE


@dataclass
class Record:
    number: int = 0
    state: str = "complete"
    values: dict[str, Any] = field(default_factory=lambda: {"optim.lr": 0.25})
    history: list[dict[str, float]] = field(default_factory=lambda: [{"val/loss": 0.5, "lr": 0.1}, {"val/loss": 0.25}])
    best: float | None = 0.25
    best_epoch: int = 2
    failure: str = ""
    started: float = 1000.0
    ended: float = 1002.5
    config: dict[str, Any] = field(default_factory=lambda: {"train": {"monitor": "val/loss"}})


@pytest.fixture(autouse=True)
def _root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def new_study(storage: str = JOURNAL, trials: int = 0) -> optuna.Study:
    saved = open_saved(storage, "study", MINIMIZE)
    saved.set_user_attr(DISTRIBUTIONS, {"optim.lr": distribution_to_json(FloatDistribution(0.0, 1.0))})
    for _ in range(trials):
        saved.ask()
    return saved


def test_a_journal_stands_below_the_root_wherever_the_stage_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    new_study()
    (tmp_path / "kept").mkdir()
    new_study("sqlite:///kept/studies.db")
    assert (tmp_path / JOURNAL / "study.log").exists()
    assert (tmp_path / "kept" / "studies.db").exists()
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("storage", [JOURNAL, SQLITE])
@pytest.mark.parametrize(
    ("record", "state", "value"),
    [
        (Record(), TrialState.COMPLETE, 0.25),
        (Record(state="pruned", best=0.1, best_epoch=1), TrialState.PRUNED, 0.25),
        (Record(state="failed", failure="val/loss is nan", best=None, best_epoch=0), TrialState.FAIL, None),
        (Record(state="failed", failure="a rule", best=None, best_epoch=0, history=[]), TrialState.FAIL, None),
        (Record(state="pruned", history=[{"val/loss": float("nan")}], best=None), TrialState.PRUNED, None),
    ],
)
def test_how_a_trial_ended(storage: str, record: Record, state: TrialState, value: float | None) -> None:
    new_study(storage)
    assert end_trial(open_saved(storage, "study"), record)
    (trial,) = open_saved(storage, "study").trials
    assert (trial.state, trial.value) == (state, value)
    assert list(trial.intermediate_values) == list(range(1, len(record.history) + 1))
    expected = [metrics["val/loss"] for metrics in record.history]
    assert json.dumps(list(trial.intermediate_values.values())) == json.dumps(expected)
    assert trial.params == {"optim.lr": 0.25}
    assert trial.duration is not None
    assert trial.duration.total_seconds() == 2.5
    assert trial.user_attrs == {
        "sha256": trial.user_attrs["sha256"],
        "place": 0,
        "values": {"optim.lr": 0.25},
        "epochs": len(record.history),
        "best_epoch": record.best_epoch,
        "best": record.best,
        "failure": record.failure,
    }


@pytest.mark.parametrize("storage", [JOURNAL, SQLITE])
def test_an_end_is_written_once(storage: str) -> None:
    saved = new_study(storage)
    assert end_trial(saved, Record())
    assert not end_trial(open_saved(storage, "study"), Record(state="failed", failure="later"))
    assert end_trial(open_saved(storage, "study"), Record())  # told again, as after an outage
    (trial,) = saved.trials
    assert trial.state == TrialState.COMPLETE


def test_of_two_ends_at_once_the_first_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    saved, other = new_study(), open_saved(JOURNAL, "study")
    add_trial = optuna.Study.add_trial

    def overtaken(study: optuna.Study, trial: FrozenTrial) -> None:
        monkeypatch.setattr(optuna.Study, "add_trial", add_trial)
        assert end_trial(other, Record(best=0.5))
        add_trial(study, trial)

    monkeypatch.setattr(optuna.Study, "add_trial", overtaken)
    assert not end_trial(saved, Record())
    assert ended_trials(saved)[0].user_attrs["best"] == 0.5


def test_an_end_is_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    saved = new_study()
    written = []
    append = Journal.append_logs

    def count(journal: Journal, logs: list[dict[str, Any]]) -> None:
        written.append(len(logs))
        append(journal, logs)

    monkeypatch.setattr(Journal, "append_logs", count)
    end_trial(saved, Record())
    assert written == [1]


def test_trials_are_named_by_their_places_however_they_end() -> None:
    saved = new_study(trials=1)  # another program's
    for number in (2, 0):
        end_trial(saved, Record(number=number, best=float(number)))
    saved.add_trial(create_trial(value=9.0, user_attrs={"place": 2}))  # of two with one place the first is meant
    assert {number: (trial.number, trial.value) for number, trial in ended_trials(saved).items()} == {
        0: (0, 0.0),
        2: (2, 2.0),
    }
    assert [trial.number for trial in saved.trials] == [0, 1, 2, 3]


def test_what_a_lease_says_of_the_same_trial_is_kept() -> None:
    saved = new_study()
    for values, generation in (({"optim.lr": 0.25}, 4), ({"optim.lr": 0.5}, 7)):  # two workers with one place
        lease = Lease(saved, Path("workers"))
        lease.trials[0] = {"values": values, "generation": generation}
        lease.write()
    end_trial(saved, Record())
    assert saved.trials[0].user_attrs["generation"] == 4
    assert saved.trials[0].user_attrs["values"] == {"optim.lr": 0.25}


def test_a_value_outside_the_space_is_no_param() -> None:
    saved = new_study()
    end_trial(saved, Record(values={"optim.lr": 7.0}))
    (trial,) = saved.trials
    assert (trial.params, trial.user_attrs["values"]) == ({}, {"optim.lr": 7.0})


@pytest.mark.parametrize("torn", [b'{"op_code":4,"worker_id":"a', b"\x00\x00", b'{"op_code":4}'])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    new_study(trials=3)
    journal = tmp_path / JOURNAL / "study.log"
    whole = journal.read_bytes()
    journal.write_bytes(whole + torn)
    saved = open_saved(JOURNAL, "study")
    assert journal.read_bytes() == whole
    saved.ask()
    assert len(open_saved(JOURNAL, "study").trials) == 4


def test_a_line_torn_while_the_study_is_open_is_cut_off_too(tmp_path: Path) -> None:
    saved = new_study(trials=3)
    journal = tmp_path / JOURNAL / "study.log"
    with journal.open("ab") as file:
        file.write(b'{"op_code":4,"wor')
    assert len(saved.trials) == 3
    saved.ask()
    assert len(saved.trials) == 4
    theirs = JournalStorage(JournalFileBackend(str(journal), JournalFileOpenLock(str(journal))))
    assert len(optuna.load_study(study_name="study", storage=theirs).trials) == 4


def test_a_torn_line_is_not_cut_while_another_process_writes_it(tmp_path: Path) -> None:
    new_study()
    journal = tmp_path / JOURNAL / "study.log"
    lock = JournalFileOpenLock(str(journal))
    lock.acquire()
    whole = journal.read_bytes()
    with journal.open("ab") as file:
        file.write(b'{"half a')
    opened: list[optuna.Study] = []
    thread = threading.Thread(target=lambda: opened.append(open_saved(JOURNAL, "study")))
    thread.start()
    thread.join(0.2)
    assert thread.is_alive()
    assert journal.read_bytes() == whole + b'{"half a'
    journal.write_bytes(whole)
    lock.release()
    thread.join(30)
    assert opened


def test_a_lock_that_was_left_behind_long_ago_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_study(trials=1)
    lock = tmp_path / JOURNAL / "study.log.lock"
    lock.touch()
    os.utime(lock, (1.0, 1.0))
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("it waits"))
    assert open_saved(JOURNAL, "study").trials
    assert not lock.exists()


def test_a_journal_that_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    journal = tmp_path / JOURNAL / "study.log"
    journal.parent.mkdir(parents=True)
    journal.write_bytes(b"not a journal\n{}\n")
    with pytest.raises(WellfitError, match=r"study\.log is damaged from its first lines on; move it away") as caught:
        open_saved(JOURNAL, "study", MINIMIZE)
    assert "\n" not in str(caught.value)
    assert journal.read_bytes() == b"not a journal\n{}\n"


@pytest.mark.parametrize(
    ("storage", "reason"),
    [
        (
            "sqlite:///missing/folder/studies.db",
            r"^sqlite:///missing/folder/studies\.db cannot be opened \(unable to open database file\); mend",
        ),
        ("postgresql://me:secret@localhost:1/x", r"postgresql://me:\*\*\*@localhost:1/x cannot be opened"),
        ("nonsense://x", r"nonsense://x cannot be opened"),
        ("://", r":// cannot be opened"),
    ],
)
def test_a_storage_that_cannot_be_opened(storage: str, reason: str) -> None:
    with pytest.raises(WellfitError, match=reason) as caught:
        open_saved(storage, "study", MINIMIZE)
    text = str(caught.value)
    assert "mend tune.storage (params.yaml)" in text
    assert "secret" not in text
    assert "\n" not in text


@pytest.mark.parametrize("storage", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(storage: str) -> None:
    with pytest.raises(
        WellfitError, match=rf"tune\.storage {storage} is kept in memory only: name a file \(params\.yaml\)"
    ):
        open_saved(storage, "study", MINIMIZE)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WellfitError, match=r"tune\.storage file cannot be used: Not a directory; name another"):
        open_saved("file", "study", MINIMIZE)


def test_a_study_that_is_missing() -> None:
    with pytest.raises(WellfitError, match="cannot be opened"):
        open_saved(JOURNAL, "study")


@pytest.mark.parametrize("named", ["sqlite:///mlflow.db", "sqlite:///other.db", "sqlite:///tracked.db"])
def test_mlflows_database_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/tracked.db")  # not there yet
    with sqlite3.connect(tmp_path / "other.db") as database:
        database.execute("create table experiments (name text)")
        database.execute("create table runs (name text)")
    with pytest.raises(WellfitError, match=rf"tune\.storage {named} is MLflow's database; name another"):
        open_saved(named, "study", MINIMIZE)
    assert not (tmp_path / "tracked.db").exists()


@pytest.mark.slow
def test_several_processes_open_a_new_database_at_once(tmp_path: Path) -> None:
    code = (
        "from optuna.study import StudyDirection as D; from wellfit.tuning.storage import open_saved;"
        f"open_saved({SQLITE!r}, 'study', D.MINIMIZE).ask()"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path) for _ in range(3)]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    assert len(open_saved(SQLITE, "study").trials) == 3
