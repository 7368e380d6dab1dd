"""Packs in several processes. They are forks, which must not have trained before, so each trial of them is a script."""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wellfit.settings.params import Params, load_params
from wellfit.training.record import TIMING
from wellfit.training.setup import TrainingData, load_training_data
from wellfit.tuning.shards import Here, Shard, Shards, SharedTraining, processes_for
from wellfit.tuning.size import Size

ROOT = Path(__file__).resolve().parents[2]
BASE = ["data.name=moons", "model.hidden=[8]", "train.epochs=5", "train.batch_size=32", "schedule.warmup_epochs=0"]
BASE += ["model.dropout=0.3", "tune.n_trials=64"]
RATES = [0.001, 0.003, 0.01, 0.03, 0.1, 0.02, 0.05]
BLOWS_UP = ("optim.name=sgd", "model.norm=none", "optim.lr=1e30")

BEGINNING = """
import os, pickle, signal, sys
from pathlib import Path
from wellfit.tuning.shards import Shard, Shards, all_of
from wellfit.tuning.size import Size
from tests.tuning.test_shards import *
data = load_training_data(params_with(), Path(sys.argv[1]) / "moons")
"""
SCRIPT = """
told = {}
members = of_rates(RATES, *BLOWS_UP[:2])
members[3] = params_with(*BLOWS_UP)
with Shards(data, 2) as two, Shards(data, 3) as three:
    told["rates"] = [two.rate(params_with(), 4), three.rate(params_with(), 2)]
    told["trained"] = [trained(shards, members) for shards in (Shards(data), two, three)]

    training = three.begin(members, Size(8, 1, 0.0, 3))
    try:
        all_of(training._shards, "weights", [(0,), (99,), (0,)])
    except ChildProcessError as error:
        told["error"] = str(error)
    told["answers after it"] = [type(each).__name__ for each in all_of(training._shards, "epoch", [()] * 3)]

    training = two.begin(members, Size(8, 1, 0.0, 2))
    os.kill(two._all[1]._process.pid, signal.SIGKILL)
    try:
        next(training.epochs)
    except ChildProcessError as error:
        told["killed"] = str(error)

def refuse(shard):
    raise RuntimeError("Unable to handle autograd's threading in combination with fork-based multiprocessing")

Shard.check = refuse
with Shards(data, 3) as shards:
    told["count where a fork cannot train"] = len(shards)
Path(sys.argv[2]).write_bytes(pickle.dumps(told))
"""


def params_with(*changes: str) -> Params:
    return load_params(ROOT / "params.yaml", [*BASE, *changes])


def of_rates(rates: list[float], *changes: str) -> list[Params]:
    """Configurations whose seeds differ as well."""
    return [params_with(f"optim.lr={lr}", f"train.seed={i}", *changes) for i, lr in enumerate(rates)]


def trained(shards: Shards, members: list[Params]) -> dict[str, Any]:
    """A training in which members leave and others join, and what became of each by its place in ``members``.

    The fifth and the sixth join when the first two leave after two epochs, and the seventh when the third does after
    three: of two processes that share the first four evenly, one is empty for a while.
    """
    training = shards.begin(members[:4], Size(8, 1, 0.0, len(shards)))
    present, found = [0, 1, 2, 3], {k: {"history": [], "weights": None} for k in range(len(members))}
    leaving = {2: ([0, 1], [4, 5]), 3: ([2], [6])}
    for number, epoch in enumerate(training.epochs, start=1):
        for k, member in enumerate(present):
            metrics = epoch.of(k)
            found[member]["history"].append({name: metrics[name] for name in metrics if name not in TIMING})
        ended = [k for k, active in enumerate(training.members.active) if not active]
        go, come = leaving.get(number, ([], []))
        for k in {*ended, *(present.index(member) for member in go if member in present)}:
            found[present[k]] |= {
                "weights": training.weights(k),
                "best": training.members.best[k],
                "best_epoch": training.members.best_epoch[k],
                "failure": training.members.failure[k],
            }
        kept = [k for k, member in enumerate(present) if k not in ended and member not in go]
        if kept and (len(kept) < len(present) or come):
            training.change(kept, [members[member] for member in come])
            present = [present[k] for k in kept] + come
    return found


@pytest.fixture(scope="module")
def told(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a new process tells of shards that it makes."""
    file = tmp_path_factory.mktemp("told") / "told"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-c", BEGINNING + SCRIPT, str(prepared), str(file)],
        cwd=ROOT,
        env=kept | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    found: dict[str, Any] = pickle.loads(file.read_bytes())
    return found


@pytest.fixture
def data(prepared: Path) -> TrainingData:
    return load_training_data(params_with(), prepared / "moons")


def test_members_do_not_depend_on_who_trains_them(told: dict[str, Any]) -> None:
    alone, *others = told["trained"]
    for together in others:
        for member, record in alone.items():
            other = together[member]
            np.testing.assert_equal(other["history"], record["history"])  # to the last bit
            assert str(other["failure"]) == str(record["failure"])
            assert (other["best"], other["best_epoch"]) == (record["best"], record["best_epoch"])
            assert (other["weights"] is None) == (record["weights"] is None)
            for name, weights in (record["weights"] or {}).items():
                assert torch.equal(other["weights"][name], weights)
    assert [len(alone[k]["history"]) for k in range(7)] == [2, 2, 3, 1, 5, 5, 5]
    assert [bool(alone[k]["failure"]) for k in range(7)] == [k == 3 for k in range(7)]
    assert alone[3]["weights"] is None


def test_their_rate_is_measured(told: dict[str, Any]) -> None:
    assert told["rates"][0] > 0
    assert told["rates"][1] > 0  # of two members in three processes


def test_where_a_fork_cannot_train_there_is_one_process(told: dict[str, Any]) -> None:
    assert told["count where a fork cannot train"] == 1


def test_the_end_of_a_process_is_an_error(told: dict[str, Any]) -> None:
    assert told["killed"] == "a process that trained trials beside this one ended: -9"


def test_an_error_in_a_process_is_told_here(told: dict[str, Any]) -> None:
    assert told["error"] == "in a process beside this one, IndexError: list index out of range"
    assert told["answers after it"] == ["Epoch"] * 3  # nobody is left with an answer of before


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_process_is_left_behind(prepared: Path, tmp_path: Path, how: signal.Signals) -> None:
    text = """
signal.signal(signal.SIGINT, signal.default_int_handler)
with Shards(data, 3) as shards:
    training = shards.begin(of_rates(RATES, "train.epochs=10000"), Size(8, 1, 0.0, 3))
    print(*(shard._process.pid for shard in shards._all[1:]), flush=True)
    for _ in training.epochs:
        pass
"""
    process = subprocess.Popen(
        [sys.executable, "-c", BEGINNING + text, str(prepared)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    others = [int(pid) for pid in process.stdout.readline().split()]
    assert len(others) == 2
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # as a terminal does
    else:
        process.kill()
    _, err = process.communicate(timeout=60)  # until the last has closed what they share
    assert err.count("KeyboardInterrupt") == (how == signal.SIGINT)  # of this process only
    assert [pid for pid in others if is_running(pid)] == []


def is_running(pid: int) -> bool:
    """Whether a process does more than wait for somebody to read its exit status."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return False
        time.sleep(0.05)
    return True


def test_new_members_go_where_there_are_fewest(data: TrainingData) -> None:
    here = [Here(Shard(data)) for _ in range(3)]
    training = SharedTraining(of_rates(RATES), 1, here)
    assert training._parts == [[0, 1, 2], [3, 4], [5, 6]]
    next(training.epochs)
    training.change([0, 1, 4], of_rates(RATES[:2]))
    assert training._parts == [[0, 1], [2, 4], [3]]
    epoch = next(training.epochs)
    assert epoch.number.tolist() == [2, 2, 2, 1, 1]
    assert training.members.epoch.tolist() == [2, 2, 2, 1, 1]
    assert [len(shard._shard._best) for shard in here] == [2, 2, 1]


def test_a_process_whose_members_have_stopped_waits(data: TrainingData) -> None:
    members = of_rates(RATES[:3])
    members[2] = members[2].replace({"train.epochs": 2})
    training = SharedTraining(members, 1, [Here(Shard(data)) for _ in range(2)])
    epochs = list(training.epochs)
    assert len(epochs) == 5
    assert [np.isnan(epoch.metrics["val/loss"]).tolist() for epoch in epochs[1:3]] == [
        [False] * 3,
        [False, False, True],
    ]
    assert training.members.best_epoch[2] in (1, 2)
    assert not any(training.members.failure)
    assert training.weights(2) is not None


def test_a_single_model_trains_here(data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Params] = []
    begin = SharedTraining.__init__.__globals__["begin"]

    def noted(members: list[Params], data: TrainingData, *, packed: bool) -> Any:
        assert not packed
        begun.extend(members)
        return begin(members, data, packed=packed)

    monkeypatch.setattr("wellfit.tuning.shards.begin", noted)
    (params,) = of_rates(RATES[:1])
    training = Shards(data).begin([params], Size(1, 1, 0.0))
    assert sum(1 for _ in training.epochs) == 5
    assert begun == [params]


@pytest.mark.parametrize(
    ("changes", "members", "expected"),
    [
        ([], 32, 6),
        ([], 8, 4),  # two members at least to each
        ([], 1, 1),
        (["tune.processes=2"], 32, 1),
        (["train.threads=2"], 32, 1),
        (["train.precision=bf16"], 32, 1),
    ],
)
def test_there_is_a_process_for_each_core(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch, changes: list[str], members: int, expected: int
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    assert processes_for(params_with(*changes), data, members) == expected
    monkeypatch.setattr("sys.platform", "darwin")
    assert processes_for(params_with(*changes), data, members) == 1
