"""A worker that was stopped goes on: its study comes, to the byte, to what it would have come to."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wellfit.settings.params import Params
from wellfit.training.cores import Cores
from wellfit.training.resume import Snapshots
from wellfit.training.setup import TrainingData, load_training_data
from wellfit.training.size import Size
from wellfit.tuning import snapshot
from wellfit.tuning.leases import all_leases
from wellfit.tuning.pack import Pack
from wellfit.tuning.record import read_record
from wellfit.tuning.snapshot import worker_snapshots
from wellfit.tuning.storage import ended_trials, store_record
from wellfit.tuning.study import Study
from wellfit.tuning.trials import open_study, record_trials

from .test_trial_folds import in_folds
from .test_trials import params_with

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")

SPACE = "tune.space={optim: {lr: {low: 0.001, high: 0.3, log: true}}, model: {dropout: {low: 0.0, high: 0.5}}}"
BASE = ("train.epochs=6", "tune.n_trials=9", "tune.pruner_startup_trials=2", "tune.pruner_warmup_epochs=1", SPACE)
Outcome = dict[int, tuple[Any, ...]]


class KilledError(Exception):
    pass


class Every(Snapshots):
    """Snapshots after so many epochs, whatever time has passed."""

    epochs = 1

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._offers = 0

    def offer(self, state: Callable[[], dict[str, Any]]) -> None:
        self._offers += 1
        if self._offers % self.epochs == 0:
            self.save(state())


def settings(*changes: str) -> Params:
    return params_with(*BASE, *changes).replace({"train.threads": None})


@pytest.fixture
def data(prepared: Path) -> TrainingData:
    return load_training_data(settings(), prepared / "moons")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Goes to another project."""

    def go(name: str) -> None:
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.setenv("DVC_ROOT", str(tmp_path / name))

    monkeypatch.setattr(snapshot, "Snapshots", Every)
    return go


def die(study: Study) -> None:
    """What SIGKILL does to a worker: its lease stands, and nobody holds its lock."""
    study._lease._closes.set()
    if study._lease._lock:
        study._lease._lock.release()


def work(params: Params, data: TrainingData, size: Size, kill_at: int | None = None, *, close: bool = False) -> int:
    """Works on the study, to its end or until an epoch is over that many have preceded; gives how many there were."""
    epochs = 0
    observe = Pack.observe

    def counted(pack: Pack, *args: Any) -> np.ndarray:
        nonlocal epochs
        epochs += 1
        if epochs == kill_at:
            raise KilledError
        return observe(pack, *args)

    with pytest.MonkeyPatch.context() as patch, Cores(data, size.processes) as cores:
        patch.setattr(Pack, "observe", counted)
        study = open_study(params, data)
        before = ended_trials(study.saved)
        try:
            with worker_snapshots(study, data, size) as snapshots:
                trials = record_trials(study, params, data, size, study.folder / "trials", cores, snapshots)
                for folder, _ in trials:
                    assert int(folder.name) not in before, "handed over once"
                    assert store_record(study.saved, folder)
                snapshots.remove()
        except KilledError:
            if not close:
                die(study)
                return epochs - 1
        study.close()
    return epochs


def outcome(params: Params, data: TrainingData) -> Outcome:
    """All that is kept of the trials but times, in the records and in the storage."""
    with open_study(params, data) as study:
        found: Outcome = {}
        for number, trial in ended_trials(study.saved).items():
            folder = study.folder / "trials" / str(number)
            record = vars(read_record(folder)) | {"started": 0, "ended": 0}
            weights = {path.name: path.read_bytes() for path in sorted(folder.glob("*.safetensors"))}
            said = {key: value for key, value in trial.user_attrs.items() if key not in ("worker", "sha256")}
            found[number] = (record, weights, trial.state, trial.values, trial.params, trial.intermediate_values, said)
        assert len(study.saved.get_trials()) == len(found), "no trial twice"
        assert all_leases(study.saved) == {}
        assert not (study.folder / "set_aside").exists()
        return found


def assert_goes_on(
    root: Callable[[str], None], params: Params, data: TrainingData, size: Size, kills: Sequence[int], *, close: bool
) -> None:
    root("whole")
    whole = work(params, data, size)
    expected = outcome(params, data)
    assert len(expected) == params.tune.n_trials
    root("stopped")
    done = sum(work(params, data, size, kill_at, close=close) for kill_at in kills)
    done += work(params, data, size)
    repeated = len(kills) * Every.epochs
    assert whole <= done <= whole + repeated
    np.testing.assert_equal(outcome(params, data), expected)


KINDS = {
    "tpe, median": ("tune.sampler=tpe", "tune.pruner=median"),
    "random, hyperband": ("tune.sampler=random", "tune.pruner=hyperband"),
    "cmaes, halving": ("tune.sampler=cmaes", "tune.pruner=halving"),
    "grid, percentile": (
        "tune.space={optim: {lr: [0.01, 0.03, 0.1]}, model: {dropout: [0.0, 0.2, 0.4]}}",
        *("tune.sampler=grid", "tune.pruner=percentile", "tune.pruner_percentile=60"),
    ),
    "shapes": ("tune.space={optim: {lr: {low: 0.001, high: 1.0, log: true}}, model: {hidden: [[4], [6]]}}",),
}


QUICK = [("tpe, median", 1), ("random, hyperband", 4), ("cmaes, halving", 4), ("shapes", 4)]


@pytest.mark.parametrize(
    ("kind", "every"),
    [
        pytest.param(kind, every, marks=[] if (kind, every) in QUICK else [pytest.mark.slow])
        for kind in KINDS
        for every in (1, 4)
    ],
)
def test_a_study_goes_on(
    root: Callable[[str], None], data: TrainingData, monkeypatch: pytest.MonkeyPatch, kind: str, every: int
) -> None:
    """After each epoch, and where trials that ended, and others that were asked for, came after the last snapshot."""
    monkeypatch.setattr(Every, "epochs", every)
    assert_goes_on(root, settings(*KINDS[kind]), data, Size(4, 1, 0.0), [6, 8], close=every == 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the fork of a process that has trained cannot train")
@pytest.mark.parametrize("members", [4, 1])
def test_trials_in_processes_go_on(root: Callable[[str], None], data: TrainingData, members: int) -> None:
    params = settings("model.norm=batch", "regularize.average=ema")
    assert_goes_on(root, params, data, Size(members, 1, 0.0, 2), [9], close=False)


def test_trials_with_folds_go_on(root: Callable[[str], None], data: TrainingData) -> None:
    params = settings("data.folds=3", "train.patience=2", "tune.n_trials=5")
    assert_goes_on(root, params, in_folds(data, [1, 2]), Size(6, 1, 0.0), [4, 7], close=False)


def test_what_other_workers_have_taken_meanwhile_is_theirs(
    root: Callable[[str], None], data: TrainingData, capsys: pytest.CaptureFixture[str]
) -> None:
    params, size = settings(), Size(4, 1, 0.0)
    root("shared")
    work(params, data, size, 4, close=True)  # gives its places back
    with open_study(params, data) as other:
        trials = {trial.number: trial for trial in other.ask(2)}
        capsys.readouterr()
        work(params, data, size, 3, close=True)
        assert "goes on with 2 trials under way" in capsys.readouterr().out
        assert not set(trials) & ended_trials(other.saved).keys()
    work(params, data, size)
    found = outcome(params, data)
    assert sorted(found) == list(range(params.tune.n_trials))


def test_a_snapshot_of_a_trial_whose_record_is_lost_is_of_no_use(
    root: Callable[[str], None], data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, size = settings(), Size(4, 1, 0.0)
    root("lost")
    work(params, data, size, 8)
    with open_study(params, data) as study:
        assert ended_trials(study.saved)
    monkeypatch.setattr("wellfit.tuning.study.ended_trials", lambda saved: {})
    with open_study(params, data) as study, worker_snapshots(study, data, size) as snapshots:
        state = snapshots.load()
        assert state
        assert study.go_on(json.loads(state["said"])["study"]) is None


def test_two_workers_of_a_folder_have_snapshots_of_their_own(root: Callable[[str], None], data: TrainingData) -> None:
    root("two")
    params, size = settings(), Size(4, 1, 0.0)
    with open_study(params, data) as study, worker_snapshots(study, data, size) as one:
        with worker_snapshots(study, data, size) as two:
            assert (one.shown[-2:], two.shown[-2:]) == ("-0", "-1")
            two.save({"said": ""})
        with worker_snapshots(study, data, size) as again:
            assert again.load() == {"said": ""}
        with worker_snapshots(study, data, size._replace(members=3)) as other:
            assert other.shown[:-2] != one.shown[:-2], "packs of another size come to other roundings"
