"""A train stage that was killed goes on: same bytes, same MLflow run, nothing twice."""

import itertools
import json
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Run

from wellfit import tracking
from wellfit.commands.process import guarded
from wellfit.errors import WellfitError
from wellfit.progress import Progress
from wellfit.serving.model import training_run
from wellfit.settings.params import load_params
from wellfit.stages import ensemble
from wellfit.stages import train as stage
from wellfit.stages.train import train
from wellfit.stages.tune import tune
from wellfit.training import finish
from wellfit.training.resume import Snapshots
from wellfit.training.shards import LocalShard
from wellfit.tuning import snapshot
from wellfit.tuning.pack import Pack

from ..conftest import PLAIN

PARAMS_FILE = Path(__file__).parents[2] / "params.yaml"
BASE = ["data.name=moons", "tune.enabled=false", "train.epochs=6", "model.hidden=[8]", "train.threads=1"]
OFTEN = partial(Snapshots, seconds=0.0, share=1e9)

Stop = Callable[[], None]


def run(prepared: Path, *changes: str) -> None:
    params = load_params(PARAMS_FILE, [*PLAIN, *BASE, *changes])
    train(params, prepared / params.data.name, Path("reports/tune"), Path("models"), Path("reports/train"))


def killed(prepared: Path, *changes: str, stops: Callable[[pytest.MonkeyPatch, Stop], None]) -> None:
    """Trains in another process, with a snapshot after each epoch, until that process kills itself."""

    def body() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stage, "Snapshots", OFTEN)
            stops(patch, lambda: os.kill(os.getpid(), signal.SIGKILL))
            run(prepared, *changes)

    process = multiprocessing.get_context("fork").Process(target=body)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def after_epoch(number: int) -> Callable[[pytest.MonkeyPatch, Stop], None]:
    def stops(patch: pytest.MonkeyPatch, stop: Stop) -> None:
        patch.setattr(Progress, "show", lambda _, now, values: stop() if now == number else None)

    return stops


def left() -> dict[str, bytes]:
    """What is the same in every run: all but the run's id."""
    files = [path for folder in ("models", "reports") for path in Path(folder).rglob("*") if path.is_file()]
    return {path.as_posix(): path.read_bytes() for path in files if path.name != "run.json"}


def runs() -> list[Run]:
    client = MlflowClient(tracking.store_uri())
    experiment = client.get_experiment_by_name("wellfit")
    assert experiment
    return list(client.search_runs([experiment.experiment_id]))


def history(run_id: str) -> dict[str, list[Metric]]:
    client = MlflowClient(tracking.store_uri())
    return {name: client.get_metric_history(run_id, name) for name in client.get_run(run_id).data.metrics}


KINDS = {
    "tables": (),
    "plateau": ("data.name=diabetes", "schedule.name=plateau", "schedule.patience=0", "schedule.threshold=0.5"),
    "ema": ("regularize.average=ema", "model.dropout=0.5", "regularize.mixup=0.2", "model.norm=batch"),
    "swa": ("regularize.average=swa", "regularize.swa_start=0.2", "optim.name=muon"),
    "images": (
        *("data.name=digits", "model.name=cnn", "model.channels=[4, 8]", "data.augment=light", "model.dropout=0.3"),
        "model.channel_dropout=0.1",
    ),
    "seeds": ("train.seeds=2", "train.ensemble=2"),
}


@pytest.mark.parametrize(
    "kind", [kind if kind in ("tables",) else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]
)
def test_a_killed_training_goes_on(
    kind: str, project: Path, prepared: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = KINDS[kind]
    run(prepared, *changes)
    expected, whole = left(), runs()[0]
    assert not list((project / ".wellfit/resume").iterdir()), "the training has ended"

    killed(prepared, *changes, stops=after_epoch(4))
    assert left() == expected, "those of the last training that has ended"
    assert training_run(Path("models")) == whole.info.run_id
    (folder,) = (project / ".wellfit/resume").iterdir()
    (begun,) = [each for each in runs() if each.info.run_id != whole.info.run_id]
    assert begun.info.status == "RUNNING"
    MlflowClient(tracking.store_uri()).log_batch(  # sent before the process was killed: of an epoch after the snapshot
        begun.info.run_id, [Metric("val/loss", 1.5, 0, 1), Metric("val/loss", 0.25, 1, 2)]
    )
    for path in left():
        Path(path).unlink()
    tracking.store.open_client.cache_clear()
    capsys.readouterr()
    run(prepared, *changes)
    said = capsys.readouterr().out
    assert f"goes on after epoch 4 of 6 (.wellfit/resume/{folder.name})" in said
    assert "KILLED" not in said
    assert left() == expected
    assert {each.info.run_id for each in runs()} == {whole.info.run_id, begun.info.run_id}, "the same run"
    assert training_run(Path("models")) == begun.info.run_id
    again = MlflowClient(tracking.store_uri()).get_run(begun.info.run_id)
    assert again.info.status == "FINISHED"
    once, resumed = history(whole.info.run_id), history(begun.info.run_id)
    assert {name: [m.step for m in each] for name, each in resumed.items()} == {
        name: [m.step for m in each] for name, each in once.items()
    }, "nothing twice, nothing lost"
    assert [m.value for m in resumed.pop("val/loss")[:2]] == [1.5, 0.25], "what the store has is left as it is"
    for name, metrics in resumed.items():
        if name not in ("seconds", "samples_per_second"):
            assert [m.value for m in metrics] == [m.value for m in once[name]], name
    lines = (Path(again.info.artifact_uri.removeprefix("file://")) / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, 7))
    assert not list((project / ".wellfit/resume").iterdir())


SEARCH = (
    *("data.n_samples=240", "tune.enabled=true", "tune.n_trials=8", "tune.pack=3", "tune.leaders=2", "tune.repeats=2"),
    *("tune.pruner_startup_trials=3", "tune.pruner_warmup_epochs=2", "train.epochs=8"),
    "tune.space={optim: {lr: {low: 0.001, high: 0.3, log: true}}}",
)


def search(prepared: Path) -> None:
    params = load_params(PARAMS_FILE, [*PLAIN, *BASE, *SEARCH])
    tune(params, prepared / params.data.name, Path("reports/tune"), Path("models"))


def searched_until(prepared: Path, signum: signal.Signals, calls: int, where: tuple[type | ModuleType, str]) -> int:
    """Tunes in another process, until a function is called so often; gives the exit status."""

    def body() -> None:
        owner, name = where
        real, count = getattr(owner, name), itertools.count(1)

        def counted(*args: Any) -> Any:
            if next(count) == calls:
                os.kill(os.getpid(), signum)
            return real(*args)

        setattr(owner, name, counted)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if signum == signal.SIGKILL:
            snapshot.Snapshots = OFTEN  # type: ignore[misc,assignment]
        os._exit(guarded("tune", lambda: search(prepared), debug=False))

    process = multiprocessing.get_context("fork").Process(target=body)
    process.start()
    process.join()
    assert process.exitcode is not None
    deadline = time.monotonic() + 120  # until its publisher has copied what it was told of
    while any(map(tracking.is_held, Path(".wellfit").glob("records/*/*/publisher-*.lock"))):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return process.exitcode


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signum", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_a_killed_study_goes_on(
    signum: signal.Signals, status: int, project: Path, prepared: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    search(prepared)
    expected = left()
    assert not list((project / ".wellfit/resume").iterdir()), "the study has ended"
    names = sorted(each.info.run_name for each in runs())
    for folder in ("models", "reports", ".wellfit"):
        shutil.rmtree(folder)
    for each in runs():
        MlflowClient(tracking.store_uri()).delete_run(each.info.run_id)

    assert searched_until(prepared, signum, 4, (Pack, "observe")) == status
    assert searched_until(prepared, signum, 4, (Pack, "observe")) == status
    assert "trials under way (.wellfit/resume/" in capfd.readouterr().out
    assert searched_until(prepared, signum, 2, (finish, "_train")) == status
    assert "trials under way (.wellfit/resume/" in capfd.readouterr().out
    tracking.store.open_client.cache_clear()
    trained, packs, real = [], [], finish._train
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pack, "observe", lambda *_: trained.append(_))
        patch.setattr(finish, "_train", lambda *args: packs.append(args) or real(*args))
        search(prepared)
    assert not trained, "the trials had ended"
    assert len(packs) == 1, "as had the first of two packs of repeats"
    assert left() == expected
    assert sorted(each.info.run_name for each in runs()) == names, "no trial twice, and none lost"
    assert {each.info.status for each in runs()} <= {"FINISHED", "KILLED", "FAILED"}
    assert not list((project / ".wellfit/resume").iterdir())


@pytest.mark.parametrize("where", ["before its first epoch", "in another configuration", "damaged"])
def test_what_there_is_nothing_to_go_on_from_begins_anew(
    where: str, project: Path, prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    epoch = {"before its first epoch": 1}.get(where, 3)

    def stops(patch: pytest.MonkeyPatch, stop: Stop) -> None:
        after_epoch(epoch)(patch, stop)
        if where == "before its first epoch":
            patch.setattr(stage, "Snapshots", Snapshots)  # ten seconds have not passed

    killed(prepared, stops=stops)
    if where == "damaged":
        (path,) = (project / ".wellfit/resume").glob("*/*.safetensors")
        path.write_bytes(path.read_bytes()[:-1])
    changes = ["optim.lr=0.02"] if where == "in another configuration" else []
    tracking.store.open_client.cache_clear()
    run(prepared, *changes)
    said = capsys.readouterr()
    assert "goes on" not in said.out
    assert ("is damaged" in said.err) == (where == "damaged")
    assert sorted(each.info.status for each in runs()) == ["FINISHED", "KILLED"]


def test_a_deleted_run_has_a_new_one_with_all_epochs(project: Path, prepared: Path) -> None:
    killed(prepared, stops=after_epoch(3))
    (begun,) = runs()
    MlflowClient(tracking.store_uri()).delete_run(begun.info.run_id)
    run(prepared)
    (new,) = runs()
    assert [m.step for m in history(new.info.run_id)["train/loss"]] == list(range(1, 7))


def test_a_training_that_blows_up_is_not_gone_on_with(project: Path, prepared: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "Snapshots", OFTEN)
        with pytest.raises(WellfitError, match="training blew up"):
            run(prepared, "optim.name=sgd", "optim.lr=1e30", "model.norm=none", "schedule.warmup_epochs=0")
    assert not list((project / ".wellfit/resume").iterdir())


def test_other_seeds_that_have_ended_are_not_trained_again(
    project: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seeds = ["train.seeds=3", "train.ensemble=3", "model.name=linear", "train.precision=bf16"]  # no pack of them
    run(prepared, *seeds)
    expected = left()

    def stops(patch: pytest.MonkeyPatch, stop: Stop) -> None:
        begin, begun = LocalShard.begin, []

        def second(self: LocalShard, *args: object) -> None:
            begun.append(args)
            if len(begun) == 2:
                stop()
            begin(self, *args)

        patch.setattr(LocalShard, "begin", second)
        patch.setattr(ensemble, "processes_for", lambda *_: 1)

    killed(prepared, *seeds, stops=stops)
    (folder,) = (project / ".wellfit/resume").iterdir()
    assert len(list(folder.glob("pack-*"))) == 1
    trained = []
    real = finish._train
    monkeypatch.setattr(finish, "_train", lambda members, *rest: trained.extend(members) or real(members, *rest))
    monkeypatch.setattr(ensemble, "processes_for", lambda *_: 1)
    run(prepared, *seeds)
    assert "goes on after epoch 6 of 6" in capsys.readouterr().out
    assert [member.train.seed for member in trained] == [2]
    assert left() == expected
