"""More processes that train trials, as processes: each trial once, whatever becomes of a process."""

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from wellfit import tracking
from wellfit.settings.params import Params, load_params
from wellfit.stages import tune as stage
from wellfit.training.setup import TrainingData, load_training_data
from wellfit.tuning.leases import trials_under_way
from wellfit.tuning.record import read_record
from wellfit.tuning.size import Size
from wellfit.tuning.storage import open_saved
from wellfit.tuning.study import Study
from wellfit.tuning.trials import open_study
from wellfit.tuning.workers import Workers

PARAMS_FILE = Path(__file__).resolve().parents[2] / "params.yaml"
BASE = ["data.name=moons", "train.epochs=4", "model.hidden=[8]", "train.threads=1", "tune.n_trials=8", "tune.pack=2"]
BASE += ["tune.processes=2", "tune.repeats=0", "tune.sampler=random", "tune.study=mine"]
BASE += ["tune.pruner=none"]
SIZE = Size(2, 1, 0.0)
SECONDS = 60.0


def params_with(*changes: str) -> Params:
    return load_params(PARAMS_FILE, [*BASE, *changes])


@pytest.fixture
def data(prepared: Path) -> TrainingData:
    return load_training_data(params_with(), prepared / "moons")


@pytest.fixture
def workers(project: Path, prepared: Path) -> Iterator[Callable[..., Workers]]:
    """Starts workers; what is left of them is killed in the end."""
    started: list[Workers] = []

    def start(count: int, *changes: str) -> Workers:
        folder = project / ".wellfit" / "studies" / "mine" / "trials"
        started.append(Workers(count, params_with(*changes), prepared / "moons", folder, SIZE))
        return started[-1]

    yield start
    for each in started:
        for process in each._processes:
            process.kill()
        each.__exit__(None, None, None)


def states() -> list[str]:
    return [trial.state.name for trial in open_saved(params_with().tune.storage, "mine").trials]


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_workers_train_all_trials_once(
    workers: Callable[..., Workers], data: TrainingData, capfd: pytest.CaptureFixture[str]
) -> None:
    with open_study(params_with(), data) as study, workers(2) as two:
        records = [read_record(folder) for folder in two.rest()]
        assert list(two.rest()) == []
        assert list(two.ended()) == []
        assert study.ask() == []  # all are taken, and still in the hands of processes that live
        assert sorted(record.number for record in records) == list(range(8))
        assert len({record.values["optim.lr"] for record in records}) == 8
    assert capfd.readouterr() == ("", "")
    assert [process.returncode for process in two._processes] == [0, 0]


def test_a_worker_that_has_ended_before_it_is_asked_is_not_waited_for(
    workers: Callable[..., Workers], data: TrainingData, project: Path
) -> None:
    with open_study(params_with(), data), workers(1, "tune.n_trials=3") as one:
        found: list[Path] = []

        def has_ended() -> bool:
            found.extend(one.ended())
            return not one._unread

        wait_until(has_ended)
        assert len([*found, *one.rest()]) == 3


DIES = """
import json, os, signal, sys, time
from pathlib import Path
from wellfit.settings.params import Params
from wellfit.tuning.size import Size
from wellfit.tuning.workers import Workers
params, data, records = json.loads(sys.argv[1])
workers = Workers(2, Params.model_validate(params), Path(data), Path(records), Size(2, 1, 0.0))
print(*(process.pid for process in workers._processes), flush=True)
next(workers.rest())
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_with_the_process_that_started_them(project: Path, prepared: Path, data: TrainingData) -> None:
    params = params_with("tune.n_trials=100000")
    with open_study(params, data):
        pass
    told = json.dumps([params.model_dump(mode="json"), str(prepared / "moons"), str(project / "trials")])
    dead = subprocess.run([sys.executable, "-c", DIES, told], capture_output=True, text=True, check=False)
    assert dead.returncode == -signal.SIGKILL
    assert dead.stderr == ""
    for pid in map(int, dead.stdout.split()):
        wait_until(partial(has_ended, pid))
    told_of = {int(path.name) for path in (project / "trials").iterdir() if path.name.isdecimal()}
    # What was under way has been given back.
    assert trials_under_way(open_saved(params.tune.storage, "mine")).keys() <= told_of


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except OSError:
        return True


def test_an_error_of_a_worker_is_one_line(
    workers: Callable[..., Workers], project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with Workers(1, params_with(), project / "nothing", project / "trials", SIZE) as one:
        assert list(one.rest()) == []
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("warning: one of 2 tune.processes has ended (")
    assert f"{project}/nothing" in err


def trials_of(report: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((report / "trials.csv").read_text().splitlines()))


def in_mlflow() -> list[str]:
    """The numbers of the trials below the one run of the study, which has ended well."""
    client = MlflowClient(tracking.store_uri())
    experiment = client.get_experiment_by_name("wellfit")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    (study,) = (run for run in found if run.data.tags["wellfit.stage"] == "tune")
    assert study.info.status == "FINISHED"
    trials = [run for run in found if run.data.tags["wellfit.stage"] == "trial"]
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {study.info.run_id}
    return sorted((run.data.tags["wellfit.trial"] for run in trials), key=int)


@pytest.mark.usefixtures("clerk_here")
def test_a_study_of_two_processes(
    project: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ask = Study.ask

    def patient(study: Study, count: int) -> Any:  # else this process has done all before the other has begun
        wait_until(lambda: trials_under_way(study.saved))
        return ask(study, count)

    monkeypatch.setattr(Study, "ask", patient)
    report = project / "report"
    stage.tune(params_with("train.epochs=50", "tune.max_steps=null"), prepared / "moons", report)
    trials = trials_of(report)
    assert [trial["trial"] for trial in trials] == in_mlflow() == [str(number) for number in range(8)]
    assert states() == ["COMPLETE" if trial["state"] == "complete" else "PRUNED" for trial in trials]
    assert capfd.readouterr().err == ""


@pytest.mark.usefixtures("clerk_here")
def test_the_trials_of_a_worker_that_dies_are_done_again(
    project: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is stopped after its first two trials have begun, and killed while this process waits for them."""
    begun: list[Workers] = []
    stopped: list[None] = []

    class Dying(Workers):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            begun.append(self)

        def rest(self) -> Iterator[Path]:
            self._processes[0].kill()
            yield from super().rest()

    ask = Study.ask

    def late(study: Study, count: int) -> Any:
        if not stopped:
            wait_until(lambda: len(trials_under_way(study.saved)) == 2)
            stopped.append(begun[0]._processes[0].send_signal(signal.SIGSTOP))
        return ask(study, count)

    monkeypatch.setattr(stage, "Workers", Dying)
    monkeypatch.setattr(Study, "ask", late)
    stage.tune(params_with("train.epochs=1000", "tune.max_steps=null"), prepared / "moons", project / "report")
    numbers = [trial["trial"] for trial in trials_of(project / "report")]
    assert len(numbers) == 8
    assert in_mlflow() == numbers
    assert states().count("COMPLETE") == 8
    assert len(states()) == 8
    err = capfd.readouterr().err
    assert err == "warning: one of 2 tune.processes has ended (exit status -9); the others go on\n"
