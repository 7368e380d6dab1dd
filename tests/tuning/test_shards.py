"""Packs in several processes. They are forks, which must not have trained before, so each trial of them is a script."""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wellfit.params import Params, load_params
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
import os, pickle, signal, sys, time
from pathlib import Path
import torch
from wellfit.tuning.shards import Shard, Shards, all_of
from wellfit.tuning.size import Size
from tests.tuning.test_shards import *
data = load_training_data(params_with(), Path(sys.argv[1]) / "moons")
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


@pytest.fixture
def script(prepared: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a script in a new process."""

    def run(text: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "PYTEST_"))}
        return subprocess.run(
            [sys.executable, "-c", BEGINNING + text, str(prepared), str(tmp_path)],
            cwd=ROOT,
            env=kept | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def data(prepared: Path) -> TrainingData:
    return load_training_data(params_with(), prepared / "moons")


def test_members_do_not_depend_on_who_trains_them(
    script: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = script("""
plain = of_rates(RATES, *BLOWS_UP[:2])
groups = [of_rates(RATES), [*plain[:3], params_with(*BLOWS_UP), *plain[4:]]]
with Shards(data, 2) as two, Shards(data, 3) as three:
    assert (len(two), len(three)) == (2, 3)
    assert two.rate(params_with(), 4) > 0 and three.rate(params_with(), 2) > 0
    found = [[trained(shards, members) for members in groups] for shards in (Shards(data), two, three)]
    Path(sys.argv[2], "found").write_bytes(pickle.dumps(found))
""")
    assert (done.returncode, done.stderr) == (0, "")
    alone, two, three = pickle.loads((tmp_path / "found").read_bytes())
    for expected, *others in zip(alone, two, three, strict=True):
        for other in others:
            for member, record in expected.items():
                assert record.keys() == other[member].keys()
                np.testing.assert_equal(other[member]["history"], record["history"])  # to the last bit
                assert str(other[member]["failure"]) == str(record["failure"])
                assert (other[member]["best"], other[member]["best_epoch"]) == (record["best"], record["best_epoch"])
                for name, weights in (record["weights"] or {}).items():
                    assert torch.equal(other[member]["weights"][name], weights)
    assert [len(alone[0][k]["history"]) for k in range(7)] == [2, 2, 3, 5, 5, 5, 5]
    assert alone[1][3]["failure"]
    assert alone[1][3]["weights"] is None
    assert not alone[1][0]["failure"]


def test_where_a_fork_cannot_train_there_is_one_process(
    script: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = script("""
def refuse(shard):
    raise RuntimeError("Unable to handle autograd's threading in combination with fork-based multiprocessing")

Shard.check = refuse
with Shards(data, 3) as shards:
    assert len(shards) == 1
    assert trained(shards, of_rates(RATES))[3]["best"] > 0
""")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_end_of_a_process_is_an_error(script: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = script("""
with Shards(data, 2) as shards:
    training = shards.begin(of_rates(RATES), Size(8, 1, 0.0, 2))
    os.kill(shards._all[1]._process.pid, signal.SIGKILL)
    try:
        next(training.epochs)
    except ChildProcessError as error:
        print(error)
""")
    assert done.stdout == "a process that trained trials beside this one ended: -9\n"
    assert (done.returncode, done.stderr) == (0, "")


def test_an_error_in_a_process_is_told_here(script: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = script("""
with Shards(data, 3) as shards:
    training = shards.begin(of_rates(RATES), Size(8, 1, 0.0, 3))
    try:
        all_of(training._shards, "weights", [(0,), (99,), (0,)])
    except ChildProcessError as error:
        print(error)
    print(len(all_of(training._shards, "epoch", [()] * 3)))  # nobody is left with an answer of before
""")
    assert done.stdout == "in a process beside this one, IndexError: list index out of range\n3\n"
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_process_is_left_behind(prepared: Path, tmp_path: Path, how: signal.Signals) -> None:
    text = """
signal.signal(signal.SIGINT, signal.default_int_handler)
with Shards(data, 3) as shards:
    training = shards.begin(of_rates(RATES, "train.epochs=1000000"), Size(8, 1, 0.0, 3))
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


def test_a_single_model_trains_here(data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Params] = []
    begin = SharedTraining.__init__.__globals__["begin"]
    monkeypatch.setattr("wellfit.tuning.shards.begin", lambda params, data: begun.append(params) or begin(params, data))
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
