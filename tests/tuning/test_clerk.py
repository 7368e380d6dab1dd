"""The clerk as a process of its own: what MLflow and the storage have in the end, however the engine ended."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.trial import TrialState

from wellfit import tracking
from wellfit.data.store import Meta
from wellfit.errors import WellfitError
from wellfit.settings.params import Params, load_params
from wellfit.training.checkpoint import load_checkpoint
from wellfit.training.record import resolved_config
from wellfit.tuning import desk
from wellfit.tuning.clerk import Clerk
from wellfit.tuning.identity import study_config
from wellfit.tuning.record import TrialRecord, read_record, write_record
from wellfit.tuning.report import Row
from wellfit.tuning.storage import open_saved
from wellfit.tuning.study import Study

from .conftest import ClerkHere

PARAMS_FILE = Path(__file__).resolve().parents[2] / "params.yaml"
PARAMS = load_params(PARAMS_FILE, ["data.name=moons", "tune.n_trials=4"])
META = Meta(
    name="moons",
    kind="table",
    task="classification",
    columns=(),
    class_names=("0", "1"),
    target_name="moon",
    input_shape=(2,),
    split_sizes={"train": 6, "val": 2, "test": 2},
    mean=(0.0, 0.0),
    std=(1.0, 1.0),
    target_mean=None,
    target_std=None,
    class_counts=(3, 3),
    warnings=(),
    manifest={},
)
STATES = ["complete", "pruned", "failed", "complete"]


def record(number: int, values: dict[str, Any], state: str, params: Params = PARAMS) -> TrialRecord:
    epochs = {"complete": 40, "pruned": 3, "failed": 2}[state]
    history = [
        {"train/loss": 2.0 / epoch, "val/loss": 1.0 / epoch + number, "lr": 0.1} for epoch in range(1, epochs + 1)
    ]
    if state == "failed":
        history[-1]["train/loss"] = float("nan")
    return TrialRecord(
        number=number,
        state=state,
        values=values,
        config=resolved_config(params.replace(values)),
        history=history,
        best=history[-1]["val/loss"],
        best_epoch=epochs,
        failure="train/loss is nan in epoch 2" if state == "failed" else "",
        started=1000.0 + number,
        ended=1002.0 + number,
    )


class Engine:
    """A study whose trials are made up, with its folder of records."""

    def __init__(self, root: Path) -> None:
        self.study = Study(PARAMS, META.name, META.sha256, epochs=PARAMS.train.epochs, higher_is_better=False)
        self.folder = self.study.folder
        self.records: list[TrialRecord] = []

    def trial(self, state: str) -> Path:
        (trial,) = self.study.ask()
        self.records.append(record(trial.number, trial.values, state))
        folder = self.folder / "trials" / str(trial.number)
        write_record(folder, self.records[-1], {"weight": torch.ones(2)}, META.sha256)
        self.study.tell(trial.number, state, self.records[-1].best)
        return folder

    def open(self, clerk: Clerk) -> None:
        clerk.open(self.folder, PARAMS, META, study_config(PARAMS), higher_is_better=False)


@pytest.fixture
def engine(project: Path) -> Engine:
    return Engine(project)


def runs(stage: str) -> list[Run]:
    client = MlflowClient(tracking.store_uri())
    found = client.get_experiment_by_name("wellfit")
    if found is None:
        return []
    query = f"tags.`wellfit.stage` = '{stage}'"
    return list(client.search_runs([found.experiment_id], query, order_by=["start_time ASC"]))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_study_that_ends_well(engine: Engine, project: Path) -> None:
    report = project / "reports" / "tune"
    with Clerk() as clerk:
        engine.open(clerk)
        for state in STATES:
            clerk.log_trial(engine.trial(state))
        clerk.finish(report, [Row.of(each) for each in engine.records], {0: 0.5, 1: 0.7})
    (study,) = runs("tune")
    trials = runs("trial")
    assert study.info.status == "FINISHED"
    assert [trial.info.status for trial in trials] == ["FINISHED", "KILLED", "FAILED", "FINISHED"]

    client = MlflowClient(tracking.store_uri())
    for told, trial in zip(engine.records, trials, strict=True):
        assert (trial.info.start_time, trial.info.end_time) == (told.started * 1000, told.ended * 1000)
        assert trial.info.run_name == f"trial {told.number} moons mlp"
        tags, metrics = trial.data.tags, trial.data.metrics
        assert tags["mlflow.parentRunId"] == study.info.run_id
        assert (tags["wellfit.trial"], tags["wellfit.trial_state"]) == (str(told.number), told.state)
        assert tags.get("wellfit.failure", "") == told.failure
        assert f"Trial {told.number} of a study" in tags["mlflow.note.content"]
        assert tags["mlflow.source.name"] == sys.argv[0]
        assert trial.data.params["optim.lr"] == json.dumps(told.values["optim.lr"])
        assert trial.data.params["model.hidden"] == "[128, 64]"
        assert len(trial.data.params) > 80
        assert not [name for name in metrics if name.startswith("best/train/")]
        assert metrics["best/val/loss"] == told.best
        assert metrics["best_epoch"] == told.best_epoch
        curve = client.get_metric_history(trial.info.run_id, "val/loss")
        assert {point.step: point.value for point in curve}[told.best_epoch] == told.best
        assert len(curve) == min(len(told.history), 25) if told.state != "complete" else 23 <= len(curve) <= 25
        artifacts = Path(trial.info.artifact_uri.removeprefix("file://"))
        assert len((artifacts / "history.jsonl").read_text().splitlines()) == len(told.history)
        assert load_checkpoint(artifacts / "checkpoint" / "best.safetensors").info["epoch"] == told.best_epoch

    assert study.data.metrics["best/val/loss"] == engine.records[0].best
    assert study.data.metrics["repeats/mean"] == 0.6
    assert study.data.params["tune.sampler"] == PARAMS.tune.sampler
    assert study.data.params["model.hidden"] == "[128, 64]"
    assert study.data.tags["wellfit.study"] == engine.folder.name
    assert study.data.tags["wellfit.n_trials"] == "4"
    assert "Best: trial 0" in study.data.tags["mlflow.note.content"]
    assert (Path(study.info.artifact_uri.removeprefix("file://")) / "tune" / "plots" / "rank.png").is_file()
    assert len((report / "trials.csv").read_text().splitlines()) == 1 + 4
    assert json.loads((engine.folder / "run.json").read_text()) == {"run_id": study.info.run_id}
    assert not list(project.rglob("*open*.lock"))
    assert sorted(path.name for path in project.glob("mlflow.db*")) == ["mlflow.db"]  # a file that can be copied

    kept = open_saved(PARAMS.tune.storage, engine.study.name).trials
    assert [trial.state.name.lower() for trial in kept] == ["complete", "pruned", "fail", "complete"]
    assert kept[0].value == engine.records[0].best
    assert len(kept[0].intermediate_values) == 40


def made_of(interruption: BaseException) -> BaseException:
    error = ValueError("Error calling function")
    error.__cause__ = interruption
    return error


@pytest.mark.parametrize(
    ("error", "status", "failure"),
    [
        (KeyboardInterrupt(), "KILLED", None),
        (made_of(KeyboardInterrupt()), "KILLED", None),
        (WellfitError("not like this"), "FAILED", "not like this"),
    ],
)
def test_other_ways_out(engine: Engine, error: BaseException, status: str, failure: str | None) -> None:
    def body() -> None:
        with Clerk() as clerk:
            engine.open(clerk)
            clerk.log_trial(engine.trial("complete"))
            raise error

    with pytest.raises(type(error)):
        body()
    (study,) = runs("tune")
    assert study.info.status == status
    assert study.data.tags.get("wellfit.failure") == failure
    assert [trial.info.status for trial in runs("trial")] == ["FINISHED"]
    assert open_saved(PARAMS.tune.storage, engine.study.name).trials[0].state == TrialState.COMPLETE


def test_an_engine_that_does_nothing_leaves_nothing(project: Path) -> None:
    with Clerk():
        pass
    assert runs("tune") == []


DIES = """
import os, signal, sys
from pathlib import Path
from tests_of_tuning.test_clerk import Engine
from wellfit.tuning.clerk import Clerk
engine = Engine(Path.cwd())
clerk = Clerk()
engine.open(clerk)
clerk.log_trial(engine.trial("complete"))
print(clerk._process.pid, flush=True)
if sys.argv[1] == "group":
    os.killpg(0, signal.SIGINT)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("how", ["alone", "group"])
def test_the_death_of_the_engine_ends_the_study_in_order(project: Path, how: str) -> None:
    (project / "tests_of_tuning").symlink_to(Path(__file__).parent)
    dead = subprocess.run(
        [sys.executable, "-c", "import signal; signal.signal(signal.SIGINT, lambda *_: None)\n" + DIES, how],
        env=os.environ | {"PYTHONPATH": f"{project}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        start_new_session=True,
    )
    assert dead.returncode == -signal.SIGKILL
    wait_until(lambda: bool(runs("tune")) and runs("tune")[0].info.status != "RUNNING")
    assert [run.info.status for run in runs("tune")] == ["KILLED"]
    assert [run.info.status for run in runs("trial")] == ["FINISHED"]


def test_a_study_that_goes_on_is_one_run(engine: Engine, project: Path) -> None:
    for _ in range(2):
        with ClerkHere() as clerk:
            engine.open(clerk)
            clerk.log_trial(engine.trial("complete"))
            clerk.finish(project / "reports", [Row.of(each) for each in engine.records])
    assert [run.info.status for run in runs("tune")] == ["FINISHED"]
    assert [run.data.tags["wellfit.trial"] for run in runs("trial")] == ["0", "1"]


def test_without_mlflow_the_trials_wait_in_their_records(
    engine: Engine, project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def gone(self: desk.Desk) -> None:
        raise WellfitError("MLflow is gone")

    with monkeypatch.context() as outage:
        outage.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        outage.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with ClerkHere() as clerk:
            engine.open(clerk)
            for state in STATES[:3]:
                clerk.log_trial(engine.trial(state))
            clerk.finish(project / "reports", [Row.of(each) for each in engine.records])
        first = capfd.readouterr().err
        outage.setattr(desk.Desk, "_open", gone)
        again = desk.Desk(clerk._opening)
        again.copy_one()
        again.copy_one()
        again.close("KILLED")
    warnings = [line for line in first.splitlines() if line]
    assert len(warnings) == 1
    assert capfd.readouterr().err.count("warning") == 1  # however often it is tried
    assert warnings[0].startswith("warning: MLflow at http://127.0.0.1:9 did not take the run")
    assert "the trials are kept in" in warnings[0]
    assert (project / "reports" / "best_params.yaml").is_file()
    assert len([t for t in open_saved(PARAMS.tune.storage, engine.study.name).trials if t.state.is_finished()]) == 3
    assert runs("trial") == []

    with ClerkHere() as clerk:
        engine.open(clerk)
        clerk.finish(project / "reports", [Row.of(each) for each in engine.records])
    assert [run.info.status for run in runs("trial")] == ["FINISHED", "KILLED", "FAILED"]
    assert [run.info.status for run in runs("tune")] == ["FINISHED"]


def test_a_clerk_that_dies_is_replaced(engine: Engine, project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Clerk() as clerk:
        engine.open(clerk)
        clerk.log_trial(engine.trial("complete"))
        wait_until(lambda: bool(list(engine.folder.glob("trials/0/mlflow.json"))))
        clerk._process.send_signal(signal.SIGKILL)
        clerk._process.wait()
        started = time.perf_counter()
        clerk.log_trial(engine.trial("pruned"))
        assert time.perf_counter() - started < 5  # it neither hangs nor raises
        clerk.finish(project / "reports", [Row.of(each) for each in engine.records])
    assert "ended with status -9; begun anew" in capfd.readouterr().err
    assert [run.info.status for run in runs("tune")] == ["FINISHED"]
    assert [run.info.status for run in runs("trial")] == ["FINISHED", "KILLED"]
    assert open_saved(PARAMS.tune.storage, engine.study.name).trials[1].state == TrialState.PRUNED


def test_a_report_without_a_good_trial_is_an_error(engine: Engine, project: Path) -> None:
    def body() -> None:
        with ClerkHere() as clerk:
            engine.open(clerk)
            clerk.log_trial(engine.trial("failed"))
            clerk.finish(project / "reports", [Row.of(each) for each in engine.records])

    with pytest.raises(WellfitError, match="none of 1 trials ended well"):
        body()
    assert [run.info.status for run in runs("tune")] == ["FAILED"]


def test_handing_over_never_waits() -> None:
    with Clerk() as clerk:
        clerk._process.send_signal(signal.SIGSTOP)  # nobody reads
        for _ in range(2000):  # more than a pipe holds
            clerk.log_trial(Path("/nowhere" * 10))
        waits = len(clerk._unsaid)
        clerk._process.kill()
    assert waits > 0


def test_an_interruption_does_not_cut_a_message_in_half(
    engine: Engine, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    write = os.write

    def write_and_interrupt(pipe: int, text: bytes) -> int:
        written = write(pipe, text)
        if b'"trial"' in text:
            signal.raise_signal(signal.SIGINT)
        return written

    def body() -> None:
        with engine.study, Clerk() as clerk:
            engine.open(clerk)
            folder = engine.trial("complete")
            monkeypatch.setattr(os, "write", write_and_interrupt)
            clerk.log_trial(folder)

    with pytest.raises(KeyboardInterrupt):
        body()
    signal.signal(signal.SIGINT, before)
    assert [run.info.status for run in runs("tune")] == ["KILLED"]
    assert [run.info.status for run in runs("trial")] == ["FINISHED"]
    assert open_saved(PARAMS.tune.storage, engine.study.name).trials[0].state == TrialState.COMPLETE


def test_a_damaged_record_is_passed_over(engine: Engine, project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with ClerkHere() as clerk:
        engine.open(clerk)
        folder = engine.trial("complete")
        (folder / "trial.json").write_text("{")
        clerk.log_trial(folder)
        clerk.log_trial(engine.trial("complete"))
        clerk.finish(project / "reports", [Row.of(each) for each in engine.records])
    assert "is not as a training leaves it" in capfd.readouterr().err
    assert [run.data.tags["wellfit.trial"] for run in runs("trial")] == ["1"]
    with pytest.raises(WellfitError):
        read_record(folder)


def test_a_store_made_anew_gets_all_trials(engine: Engine, project: Path, new_store: Path) -> None:
    for _ in range(2):
        with ClerkHere() as clerk:
            engine.open(clerk)
            clerk.log_trial(engine.trial("complete"))
            clerk.finish(project / "reports", [Row.of(each) for each in engine.records])
        shutil.copy(new_store, project / "mlflow.db")
    with ClerkHere() as clerk:
        engine.open(clerk)
        clerk.log_trial(engine.trial("pruned"))
        clerk.finish(project / "reports", [Row.of(each) for each in engine.records])
    assert [run.data.tags["wellfit.trial"] for run in runs("trial")] == ["0", "1", "2"]
    assert len(runs("tune")) == 1


def test_a_trial_that_was_half_copied_is_completed(engine: Engine, project: Path) -> None:
    with ClerkHere() as clerk:
        engine.open(clerk)
        clerk.log_trial(engine.trial("complete"))
        clerk.finish(project / "reports", [Row.of(each) for each in engine.records])
    (engine.folder / "trials" / "0" / "mlflow.json").unlink()  # as if the clerk had died before it was written
    before = runs("trial")[0].info.run_id
    MlflowClient(tracking.store_uri()).update_run(before, status="RUNNING")
    with ClerkHere() as clerk:
        engine.open(clerk)
        clerk.finish(project / "reports", [Row.of(each) for each in engine.records])
    assert [(run.info.run_id, run.info.status) for run in runs("trial")] == [(before, "FINISHED")]
