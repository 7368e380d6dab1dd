"""The publisher of a study: what MLflow and the storage have in the end, however the study ended."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.trial import TrialState

from wellfit import tracking
from wellfit.data.meta import Meta
from wellfit.errors import WellfitError
from wellfit.manifest import unsealed
from wellfit.settings.params import Params, flatten, load_params
from wellfit.tracking import EndedRun, Publisher, publication
from wellfit.training.checkpoint import load_checkpoint
from wellfit.training.finish import Finished
from wellfit.training.record import resolved_config
from wellfit.tuning import storage
from wellfit.tuning.identity import study_config
from wellfit.tuning.publish import StudyPublication, describe_study
from wellfit.tuning.record import TrialRecord, read_record, write_record
from wellfit.tuning.report import Row, ranked
from wellfit.tuning.storage import open_saved
from wellfit.tuning.study import Study

from ..damage import Damage, fill_with_garbage, flip_digit
from .conftest import PublisherHere

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
MODULE = "wellfit.tuning.publish"
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
        self.records.append(told := record(trial.number, trial.values, state))
        folder = self.folder / "trials" / str(trial.number)
        model = Finished(told.best or 0.0, told.best_epoch, {"weight": torch.ones(2)})
        write_record(folder, told, [model], META.sha256)
        self.study.tell(trial.number, state, self.records[-1].best)
        return folder

    def open(self, publisher: Publisher) -> None:
        details = {
            "folder": str(self.folder.absolute()),
            "storage": PARAMS.tune.storage,
            "searched": list(PARAMS.tune.searched),
            "monitor": "val/loss",
            "higher_is_better": False,
        }
        tags = {"wellfit.study": self.folder.name, "mlflow.note.content": describe_study(PARAMS, META)}
        publisher.open("tune", "tune moons mlp", META, flatten(study_config(PARAMS)), tags, details)

    def finish(self, publisher: Publisher) -> None:
        """With a report of one file."""
        report = Path("reports", "tune")
        report.mkdir(parents=True, exist_ok=True)
        (report / "trials.csv").write_text("trial\n")
        best = ranked([Row.of(each) for each in self.records], higher_is_better=False)[0]
        publisher.finish(report, "tune", {"best/val/loss": 0.25}, describe_study(PARAMS, META, best))


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
    with Publisher(MODULE) as publisher:
        engine.open(publisher)
        for state in STATES:
            publisher.add(engine.trial(state))
        engine.finish(publisher)
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
        assert 70 < len(trial.data.params) <= 100  # one request takes them all
        assert trial.data.params["data.name"] == "moons"
        assert "data.seed" not in trial.data.params  # the study's run has it
        assert {name for name in trial.data.metrics if "/" in name} >= {"val/loss", "train/loss"}
        assert "grad_norm" not in trial.data.metrics
        assert not [name for name in metrics if name.startswith("best/train/")]
        assert metrics["best/val/loss"] == told.best
        assert metrics["best_epoch"] == told.best_epoch
        curve = client.get_metric_history(trial.info.run_id, "val/loss")
        assert {point.step: point.value for point in curve}[told.best_epoch] == told.best
        assert len(curve) == min(len(told.history), 25) if told.state != "complete" else 23 <= len(curve) <= 25
        artifacts = Path(trial.info.artifact_uri.removeprefix("file://"))
        assert len((artifacts / "history.jsonl").read_text().splitlines()) == len(told.history)
        assert load_checkpoint(artifacts / "checkpoint" / "best.safetensors").info["epoch"] == told.best_epoch

    assert study.data.metrics["best/val/loss"] == 0.25
    assert study.data.params["tune.sampler"] == PARAMS.tune.sampler
    assert study.data.params["model.hidden"] == "[128, 64]"
    assert study.data.tags["wellfit.study"] == engine.folder.name
    assert "Best: trial 0" in study.data.tags["mlflow.note.content"]
    assert (Path(study.info.artifact_uri.removeprefix("file://")) / "tune" / "trials.csv").is_file()
    assert unsealed((engine.folder / "run.json").read_text()) == {"run_id": study.info.run_id}
    views = client.get_experiment(study.info.experiment_id).tags
    assert study.info.run_id in views["mlflow.sharedViewState.trials"]
    assert "params.`optim.lr`" in views["mlflow.sharedViewState.runs"]
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
        with Publisher(MODULE) as publisher:
            engine.open(publisher)
            publisher.add(engine.trial("complete"))
            raise error

    with pytest.raises(type(error)):
        body()
    (study,) = runs("tune")
    assert study.info.status == status
    assert study.data.tags.get("wellfit.failure") == failure
    assert [trial.info.status for trial in runs("trial")] == ["FINISHED"]
    assert open_saved(PARAMS.tune.storage, engine.study.name).trials[0].state == TrialState.COMPLETE


DIES = """
import os, signal, sys
from pathlib import Path
from tests.tuning.test_publish import MODULE, Engine, Publisher
engine = Engine(Path.cwd())
publisher = Publisher(MODULE)
engine.open(publisher)
publisher.add(engine.trial("complete"))
print(publisher._process.pid, flush=True)
if sys.argv[1] == "group":
    os.killpg(0, signal.SIGINT)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["alone", "group"])
def test_the_death_of_the_engine_ends_the_study_in_order(project: Path, how: str) -> None:
    (project / "tests").symlink_to(Path(__file__).parents[1])
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
        with PublisherHere(MODULE) as publisher:
            engine.open(publisher)
            publisher.add(engine.trial("complete"))
            engine.finish(publisher)
    assert [run.info.status for run in runs("tune")] == ["FINISHED"]
    assert [run.data.tags["wellfit.trial"] for run in runs("trial")] == ["0", "1"]


def test_without_mlflow_the_trials_wait_in_their_records(
    engine: Engine, project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def gone(self: StudyPublication) -> None:
        raise WellfitError("MLflow is gone")

    with monkeypatch.context() as outage:
        outage.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        outage.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with PublisherHere(MODULE) as publisher:
            engine.open(publisher)
            for state in STATES[:3]:
                publisher.add(engine.trial(state))
            engine.finish(publisher)
        first = capfd.readouterr().err
        outage.setattr(StudyPublication, "start_run", gone)
        again = StudyPublication(publisher._messages[0]["open"])
        again.copy_next()
        again.copy_next()
        again.close("KILLED")
    warnings = [line for line in first.splitlines() if line]
    assert len(warnings) == 1
    assert capfd.readouterr().err.count("warning") == 1  # however often it is tried
    assert warnings[0].startswith("warning: MLflow at http://127.0.0.1:9 cannot be reached: ")
    assert warnings[0].endswith("; training goes on, the next command sends what is missing")
    assert len([t for t in open_saved(PARAMS.tune.storage, engine.study.name).trials if t.state.is_finished()]) == 3
    assert runs("trial") == []

    with PublisherHere(MODULE) as publisher:
        engine.open(publisher)
        engine.finish(publisher)
    assert [run.info.status for run in runs("trial")] == ["FINISHED", "KILLED", "FAILED"]
    assert [run.info.status for run in runs("tune")] == ["FINISHED"]


def test_a_copy_that_fails_half_way_is_completed(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    fill, calls = publication.fill_ended_run, []

    def fails_once(client: MlflowClient, run_id: str, run: EndedRun) -> None:
        calls.append(run_id)
        if len(calls) == 1:
            raise WellfitError("the server is away for a moment")
        fill(client, run_id, run)

    monkeypatch.setattr(publication, "fill_ended_run", fails_once)
    with PublisherHere(MODULE) as publisher:
        engine.open(publisher)
        publisher.add(engine.trial("complete"))
        publisher.add(engine.trial("pruned"))
        engine.finish(publisher)
    assert sorted((run.data.tags["wellfit.trial"], run.info.status) for run in runs("trial")) == [
        ("0", "FINISHED"),
        ("1", "KILLED"),
    ]


def test_without_its_storage_a_study_goes_on(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def gone(*_: object) -> None:
        raise OSError("the database is away")

    with monkeypatch.context() as outage:
        outage.setattr("wellfit.tuning.storage.end_trial", gone)
        with PublisherHere(MODULE) as publisher:
            engine.open(publisher)
            publisher.add(engine.trial("complete"))
            publisher.add(engine.trial("complete"))
            engine.finish(publisher)
    assert capfd.readouterr().err.count("warning: the database is away; training goes on, the trials are kept in") == 1
    assert [run.info.status for run in runs("trial")] == ["FINISHED"] * 2


def test_the_storage_hears_of_a_trial_when_it_is_back(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though no other trial ends: other workers may wait for this one."""
    real, tries = storage.end_trial, []

    def gone_once(*args: Any) -> bool:
        tries.append(args)
        if len(tries) == 1:
            raise OSError("the database is away")
        return real(*args)

    monkeypatch.setattr(storage, "end_trial", gone_once)
    monkeypatch.setattr("wellfit.tuning.publish.STORE_AGAIN_SECONDS", 0.1)
    publisher = PublisherHere(MODULE)
    engine.open(publisher)
    publication_here = StudyPublication(publisher._messages[0]["open"])
    publication_here.copy_next()
    publication_here.add(engine.trial("complete"))
    while publication_here._waiting:
        publication_here.copy_next()
    seconds = publication_here.seconds_to_next
    assert seconds is not None
    assert seconds <= 0.1
    time.sleep(0.1)
    publication_here.copy_next()
    assert len(engine.study.trials) == 1
    assert publication_here.seconds_to_next is None
    publication_here.close("KILLED")


def test_a_trial_that_another_worker_ended_first_is_set_aside(
    engine: Engine, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = engine.trial("complete")
    storage.end_trial(engine.study.saved, dataclasses.replace(engine.records[0], best=0.125, best_epoch=7))
    with PublisherHere(MODULE) as publisher:
        engine.open(publisher)
        publisher.add(folder)
        engine.finish(publisher)
    (aside,) = (engine.folder / "set_aside").iterdir()
    assert read_record(aside) == engine.records[0]
    assert not folder.exists()
    said = capfd.readouterr()
    assert said.out == f"trial 0 ended in another worker first; its record here is set aside in {aside}\n"
    assert said.err == ""
    assert engine.study.trials[0].user_attrs["best"] == 0.125
    assert runs("trial") == []


def test_a_publisher_that_dies_is_replaced(engine: Engine, project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Publisher(MODULE) as publisher:
        engine.open(publisher)
        publisher.add(engine.trial("complete"))
        wait_until(lambda: bool(list(engine.folder.glob("trials/0/mlflow.json"))))
        publisher._process.send_signal(signal.SIGKILL)
        publisher._process.wait()
        started = time.perf_counter()
        publisher.add(engine.trial("pruned"))
        assert time.perf_counter() - started < 5  # it neither hangs nor raises
        engine.finish(publisher)
    assert "ended with status -9; begun anew" in capfd.readouterr().err
    assert [run.info.status for run in runs("tune")] == ["FINISHED"]
    assert [run.info.status for run in runs("trial")] == ["FINISHED", "KILLED"]
    assert open_saved(PARAMS.tune.storage, engine.study.name).trials[1].state == TrialState.PRUNED


def test_an_interruption_does_not_cut_a_message_in_half(
    engine: Engine, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    write = os.write

    def write_and_interrupt(pipe: int, text: bytes) -> int:
        written = write(pipe, text)
        if b'"add"' in text:
            signal.raise_signal(signal.SIGINT)
        return written

    def body() -> None:
        with engine.study, Publisher(MODULE) as publisher:
            engine.open(publisher)
            folder = engine.trial("complete")
            monkeypatch.setattr(os, "write", write_and_interrupt)
            publisher.add(folder)

    with pytest.raises(KeyboardInterrupt):
        body()
    signal.signal(signal.SIGINT, before)
    assert [run.info.status for run in runs("tune")] == ["KILLED"]
    assert [run.info.status for run in runs("trial")] == ["FINISHED"]
    assert open_saved(PARAMS.tune.storage, engine.study.name).trials[0].state == TrialState.COMPLETE


@pytest.mark.parametrize("damage", [flip_digit, fill_with_garbage])
def test_where_its_run_is_not_known_any_more_a_study_gets_another(
    engine: Engine, capfd: pytest.CaptureFixture[str], damage: Damage
) -> None:
    for turn in range(2):
        with PublisherHere(MODULE) as publisher:
            engine.open(publisher)
            publisher.add(engine.trial("complete"))
            engine.finish(publisher)
        if not turn:
            damage(engine.folder / "run.json")
    assert "run.json is damaged: MLflow gets a new run of the study" in capfd.readouterr().err
    nested = [run.data.tags["mlflow.parentRunId"] for run in runs("trial")]
    assert sorted(nested.count(run.info.run_id) for run in runs("tune")) == [1, 2]


def test_a_damaged_record_is_passed_over(engine: Engine, project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with PublisherHere(MODULE) as publisher:
        engine.open(publisher)
        folder = engine.trial("complete")
        (folder / "trial.json").write_text("{")
        publisher.add(folder)
        publisher.add(engine.trial("complete"))
        engine.finish(publisher)
    assert "trial.json is not as the training left it" in capfd.readouterr().err
    assert [run.data.tags["wellfit.trial"] for run in runs("trial")] == ["1"]
    assert not folder.exists(), "set aside"


def test_a_store_made_anew_gets_all_trials(engine: Engine, project: Path, new_store: Path) -> None:
    for _ in range(2):
        with PublisherHere(MODULE) as publisher:
            engine.open(publisher)
            publisher.add(engine.trial("complete"))
            engine.finish(publisher)
        shutil.copy(new_store, project / "mlflow.db")
    with PublisherHere(MODULE) as publisher:
        engine.open(publisher)
        publisher.add(engine.trial("pruned"))
        engine.finish(publisher)
    assert [run.data.tags["wellfit.trial"] for run in runs("trial")] == ["0", "1", "2"]
    assert len(runs("tune")) == 1


@pytest.mark.parametrize("what", ["run", "experiment"])
def test_a_study_that_was_deleted_in_mlflow_is_copied_again(
    what: str, engine: Engine, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with PublisherHere(MODULE) as publisher:
        engine.open(publisher)
        publisher.add(engine.trial("complete"))
        engine.finish(publisher)
    (study,) = runs("tune")
    client = MlflowClient(tracking.store_uri())
    if what == "run":
        client.delete_run(study.info.run_id)
        client.delete_run(runs("trial")[0].info.run_id)
    else:
        client.delete_experiment(study.info.experiment_id)
    with PublisherHere(MODULE) as publisher:
        engine.open(publisher)
        publisher.add(engine.trial("pruned"))
        engine.finish(publisher)
    name = "wellfit" if what == "run" else "wellfit-2"
    found = client.search_runs([client.get_experiment_by_name(name).experiment_id])
    assert sorted(run.data.tags.get("wellfit.trial", "study") for run in found) == ["0", "1", "study"]
    assert f"run {study.info.run_id} is not in" in capsys.readouterr().out


def test_a_trial_that_was_half_copied_is_completed(engine: Engine, project: Path) -> None:
    with PublisherHere(MODULE) as publisher:
        engine.open(publisher)
        publisher.add(engine.trial("complete"))
        engine.finish(publisher)
    (engine.folder / "trials" / "0" / "mlflow.json").unlink()  # as if the publisher had died before it was written
    before = runs("trial")[0].info.run_id
    MlflowClient(tracking.store_uri()).update_run(before, status="RUNNING")
    with PublisherHere(MODULE) as publisher:
        engine.open(publisher)
        engine.finish(publisher)
    assert [(run.info.run_id, run.info.status) for run in runs("trial")] == [(before, "FINISHED")]


@pytest.mark.parametrize("ended", ["finish", "stop"])
def test_what_a_publisher_could_not_send_is_kept_for_the_next_command(
    engine: Engine, project: Path, monkeypatch: pytest.MonkeyPatch, ended: str
) -> None:
    def gone(self: StudyPublication) -> None:
        raise WellfitError("MLflow is gone")

    with monkeypatch.context() as outage, PublisherHere(MODULE) as publisher:
        outage.setattr(StudyPublication, "start_run", gone)
        engine.open(publisher)
        publisher.add(engine.trial("complete"))
        if ended == "finish":
            engine.finish(publisher)
        else:
            publisher.__exit__(None, None, None)
    (path,) = Path(".wellfit/publications").glob("*.json")
    opening, last = unsealed(path.read_text())["messages"]
    assert opening["open"] == publisher._messages[0]["open"] | {"storage": "", "half_copied": {}}
    assert last == publisher._messages[-1]
    with PublisherHere(MODULE) as publisher:  # by the same command again
        engine.open(publisher)
    assert not list(Path(".wellfit/publications").glob("*.json"))
    assert [run.data.tags["wellfit.trial"] for run in runs("trial")] == ["0"]


@pytest.mark.slow
def test_another_command_sends_what_a_study_could_not(
    engine: Engine, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(100))

    def fails_at_the_second(*args: Any) -> str:
        if next(calls) == 1:
            raise WellfitError("MLflow is gone")
        return create(*args)

    create = publication.create_ended_run
    with monkeypatch.context() as outage, PublisherHere(MODULE) as publisher:
        outage.setattr(publication, "create_ended_run", fails_at_the_second)
        outage.setattr(StudyPublication, "copy_all", lambda self: [self.copy_next() for _ in range(2)])
        engine.open(publisher)
        for state in STATES[:3]:
            publisher.add(engine.trial(state))
        engine.finish(publisher)
    before = runs("tune")[0].info.run_id
    assert len(runs("trial")) == 1
    tracking.store.open_client.cache_clear()
    tracking.reopen_run("none")
    assert sorted(run.data.tags["wellfit.trial"] for run in runs("trial")) == ["0", "1", "2"]
    (study,) = runs("tune")
    assert (study.info.run_id, study.info.status) == (before, "FINISHED")
    assert study.data.metrics["best/val/loss"] == 0.25
    assert not list(Path(".wellfit/publications").glob("*.json"))


def test_of_two_publishers_that_know_a_trial_one_copies_it(engine: Engine, project: Path) -> None:
    """A worker is killed as its publisher starts, and the next one finds its trials among the records."""
    with PublisherHere(MODULE) as publisher:
        engine.open(publisher)
        opening = json.loads(publisher._lines[0])["open"]
    folder = engine.trial("complete")
    both = [StudyPublication(opening) for _ in range(2)]
    for each in both:
        each.add(folder)
    for each in both:
        each.copy_all()
        each.close("KILLED")
    assert len(runs("trial")) == 1


def test_the_best_value_of_several_folds_is_published_with_all_their_weights(tmp_path: Path) -> None:
    """It is the mean of values of different epochs, so it stands in no epoch of the history."""
    told = dataclasses.replace(record(3, {}, "pruned"), best=0.125)
    models = [Finished(best, epoch, {"weight": torch.ones(2)}) for best, epoch in ((0.1, 3), (0.15, 2))]
    write_record(tmp_path / "3", told, models, META.sha256)
    publication = cast(StudyPublication, SimpleNamespace(meta=META))
    ended = StudyPublication.ended_run(publication, tmp_path / "3")
    assert ended.metrics == {"best/val/loss": 0.125, "best_epoch": 3}
    names = ["history.jsonl", "best.safetensors", "fold1.safetensors"]
    assert [file.name for file, _ in ended.files] == names
