"""A study that several workers begin at once."""

import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from wellfit.tuning import beginning
from wellfit.tuning.beginning import begin
from wellfit.tuning.storage import IDENTITY

PROCESS = """
import sys, optuna
from wellfit.tuning.beginning import begin
study = optuna.load_study(study_name="study", storage=f"sqlite:///{sys.argv[1]}/studies.db")
print("ready", flush=True)
sys.stdin.readline()
begun = begin(study, {"folder": sys.argv[2], "wellfit_identity": {}})
print(begun, study.user_attrs["folder"], flush=True)
"""


@pytest.fixture
def study(tmp_path: Path) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(storage=f"sqlite:///{tmp_path}/studies.db", study_name="study")


def test_a_study_is_begun_once(study: optuna.Study) -> None:
    assert begin(study, {"folder": "a", IDENTITY: {"x": 1}})
    assert not begin(study, {"folder": "b", IDENTITY: {"x": 2}})
    known = {key: value for key, value in study.user_attrs.items() if value is not None}
    assert known == {"folder": "a", IDENTITY: {"x": 1}}


def test_the_study_of_another_program_is_left_alone(study: optuna.Study) -> None:
    study.add_trial(optuna.trial.create_trial(value=1.0))
    assert not begin(study, {IDENTITY: {}})
    assert study.user_attrs == {}


def test_of_workers_that_begin_a_study_at_once_one_does(study: optuna.Study, tmp_path: Path) -> None:
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(tmp_path), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in "abc"
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    said = [worker.communicate("\n", timeout=60)[0].split() for worker in workers]
    assert sorted(begun for begun, _ in said) == ["False", "False", "True"]
    assert len({folder for _, folder in said}) == 1


def test_a_claim_that_is_seen_is_not_overtaken(study: optuna.Study, monkeypatch: pytest.MonkeyPatch) -> None:
    study.set_user_attr(f"{beginning.CLAIM}other", 1e12)  # seconds since 1970: far ahead
    looks = []

    def sleep(seconds: float) -> None:
        looks.append({key for key, value in study.user_attrs.items() if value})
        study.set_user_attr(f"{beginning.CLAIM}other", 1.0)  # it has died long ago

    monkeypatch.setattr("time.sleep", sleep)
    assert begin(study, {IDENTITY: {"x": 1}})
    assert looks == [{f"{beginning.CLAIM}other"}]
