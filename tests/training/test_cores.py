"""Trainings whose members several processes share."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wellfit.errors import WellfitError
from wellfit.settings.params import Params, load_params
from wellfit.training.cores import Cores, SharedTraining
from wellfit.training.record import TIMING
from wellfit.training.resume import Snapshots
from wellfit.training.setup import TrainingData, begin, load_training_data
from wellfit.training.shards import SCORED, LocalShard, RemoteShard
from wellfit.training.size import Size

ROOT = Path(__file__).resolve().parents[2]
BASE = ["data.name=moons", "model.hidden=[8]", "train.epochs=5", "train.batch_size=32", "schedule.warmup_epochs=0"]
BASE += ["model.dropout=0.3"]
RATES = [0.001, 0.003, 0.01, 0.03, 0.1, 0.02, 0.05]
WILD = ("optim.name=sgd", "model.norm=none")
CNN = ("data.name=digits", "model.name=cnn", "model.channels=[2]", "train.epochs=3", "train.batch_size=48")

pytestmark = [
    pytest.mark.skipif(torch.cuda.is_available(), reason="the fork of a process that has trained cannot train"),
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
]


def params_with(*changes: str) -> Params:
    return load_params(ROOT / "params.yaml", [*BASE, *changes])


def of_rates(rates: list[float], *changes: str) -> list[Params]:
    """Configurations whose seeds differ as well."""
    return [params_with(*changes, f"optim.lr={lr}", f"train.seed={i}") for i, lr in enumerate(rates)]


class LocalCores:
    """Shards that are all in this process."""

    def __init__(self, data: TrainingData, count: int) -> None:
        self.shards = [LocalShard(data) for _ in range(count)]

    def call(self, method: str, arguments: Mapping[int, tuple[Any, ...]]) -> dict[int, Any]:
        return {number: getattr(self.shards[number], method)(*args) for number, args in arguments.items()}


def trained(
    cores: Cores, members: list[Params], first: int, *, packed: bool = True, stop: tuple[int, Path] | None = None
) -> dict[int, dict[str, Any]]:
    """A training in which members leave and others join, and what became of each by its place in ``members``.

    The fifth and the sixth join when the first two leave after two epochs, and the seventh when the third does after
    three: of two processes that share the first four evenly, one is empty for a while.

    Args:
        first: how many it begins with.
        stop: after which epoch another training takes over, and the folder of a snapshot.
    """
    size = Size(8 if packed else 1, 1, 0.0, len(cores))
    training = cores.begin(members[:first], size, packed=packed)
    present = list(range(first))
    found: dict[int, dict[str, Any]] = {k: {"history": [], "weights": None} for k in range(len(members))}
    leaving = {2: ([0, 1], [4, 5]), 3: ([2], [6])} if packed else {2: ([0], [first])}
    for number in itertools.count(1):
        epoch = next(training.epochs, None)
        if epoch is None:
            return found
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
        if stop and number == stop[0]:
            with Snapshots(stop[1]) as snapshots:
                snapshots.save({"training": training.state_dict()})
                state = snapshots.load()
            assert state
            for shard in (cores._local, *cores._remote):
                spoil(shard, packed=packed)
            now = [members[member] for member in present]
            training = cores.begin(now, size, packed=packed, state=state["training"])
    raise AssertionError


def spoil(shard: LocalShard | RemoteShard, *, packed: bool) -> None:
    """Lets a process train something else, as one that has just begun would know nothing of what was before."""
    other = params_with() if packed else params_with(*CNN)
    for method, args in (("begin", ([other], packed, 1)), ("epoch", ())):
        if isinstance(shard, RemoteShard):
            shard.send(method, args)
            shard.receive()
        else:
            getattr(shard, method)(*args)


def assert_same(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """To the last bit."""
    np.testing.assert_equal(found["history"], expected["history"])
    assert str(found["failure"]) == str(expected["failure"])
    assert (found["best"], found["best_epoch"]) == (expected["best"], expected["best_epoch"])
    assert (found["weights"] is None) == (expected["weights"] is None)
    for name, weights in (expected["weights"] or {}).items():
        assert torch.equal(found["weights"][name], weights)


@pytest.fixture
def data(prepared: Path) -> TrainingData:
    return load_training_data(params_with(), prepared / "moons")


def test_what_a_member_of_a_pack_becomes_does_not_depend_on_the_processes(data: TrainingData) -> None:
    members = of_rates(RATES, *WILD)
    members[3] = params_with(*WILD, "optim.lr=1e30")
    alone = trained(Cores(data), members, 4)
    for processes in (2, 3):
        with Cores(data, processes) as cores:
            together = trained(cores, members, 4)
        for member, expected in alone.items():
            assert_same(together[member], expected)
    assert [len(alone[k]["history"]) for k in range(7)] == [2, 2, 3, 1, 5, 5, 5]
    assert [bool(alone[k]["failure"]) for k in range(7)] == [k == 3 for k in range(7)]
    assert alone[3]["weights"] is None


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("epoch", [1, 2, 4])
def test_a_training_that_goes_on_is_to_the_bit_the_one_that_was_not_stopped(
    data: TrainingData, tmp_path: Path, processes: int, epoch: int
) -> None:
    members = of_rates(RATES, *WILD, "model.norm=batch", "regularize.average=ema", "optim.name=adamw")
    with Cores(data, processes) as cores:
        expected = trained(cores, members, 4)
        found = trained(cores, members, 4, stop=(epoch, tmp_path / "snapshot"))
    for member, whole in expected.items():
        assert_same(found[member], whole)
    assert [len(found[k]["history"]) for k in range(7)] == [2, 2, 3, 5, 5, 5, 5]


def test_networks_that_are_not_packed_go_on_likewise(prepared: Path, tmp_path: Path) -> None:
    members = of_rates(RATES[:3], *CNN, "model.channel_dropout=0.1", "data.augment=light")
    data = load_training_data(members[0], prepared / "digits")
    with Cores(data, 2) as cores:
        expected = trained(cores, members, 2, packed=False)
        found = trained(cores, members, 2, packed=False, stop=(2, tmp_path / "snapshot"))
    for member, whole in expected.items():
        assert_same(found[member], whole)


def test_networks_that_are_not_packed_train_one_in_each_process(prepared: Path) -> None:
    """The third takes the place of the first after two epochs; the threads of one process are those of the others."""
    members = of_rates(RATES[:3], *CNN)
    data = load_training_data(members[0], prepared / "digits")
    with Cores(data, 2) as cores:
        found = trained(cores, members, 2, packed=False)
    for member, epochs in ((0, 2), (1, 3), (2, 3)):
        training = begin([members[member]], data, packed=False)
        history, weights = [], {}
        for epoch in training.epochs:
            history.append({name: value for name, value in epoch.of(0).items() if name not in TIMING})
            if epoch.improved[0]:
                weights = training.learner.weights(0)
            if len(history) == epochs:
                break
        best, best_epoch = training.members.best[0], training.members.best_epoch[0]
        expected = {"history": history, "weights": weights, "best": best, "best_epoch": best_epoch, "failure": None}
        assert_same(found[member], expected)


def test_rows_are_scored_in_the_process_of_their_member(data: TrainingData) -> None:
    with Cores(data, 2, scored=data.val, keeps_best=False) as cores:
        training = cores.begin(of_rates(RATES[:3]), Size(3, 1, 0.0, 2), packed=True)
        for epoch in training.epochs:
            assert epoch.metrics[SCORED + "loss"].tolist() == epoch.metrics["val/loss"].tolist()
        last = training.weights(2)
    assert last is not None
    again = begin([of_rates(RATES[:3])[2]], data, packed=False)
    for _ in again.epochs:
        pass
    for name, weights in again.learner.weights(0).items():  # of the last epoch
        torch.testing.assert_close(last[name], weights, rtol=1e-3, atol=1e-4)


def test_the_rate_of_processes_is_the_sum_of_theirs(data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wellfit.training.size.fastest_seconds", lambda step: 0.5)
    with Cores(data, 3) as cores:
        assert cores.rate(params_with(), 8, Size(8, 1, 0.0, 3), packed=True) == 16.0
        assert cores.rate(params_with(), 2, Size(2, 1, 0.0, 3), packed=True) == 4.0  # of two members in three
        assert cores.rate(params_with(), 3, Size(1, 1, 0.0, 3), packed=False) == 6.0


def test_an_error_in_a_process_is_raised_here(data: TrainingData) -> None:
    with Cores(data, 3) as cores:
        training = cores.begin(of_rates(RATES), Size(8, 1, 0.0, 3), packed=True)
        with pytest.raises(ChildProcessError, match="in a process beside this one, IndexError: list index out of"):
            cores.call("weights", {0: (0,), 1: (99,), 2: (0,)})
        answers = cores.call("epoch", dict.fromkeys(training.busy, ()))
        assert [len(epoch.number) for epoch in answers.values()] == [3, 2, 2]  # no answer of before is left


def test_a_configuration_that_does_not_fit_is_an_error_here(data: TrainingData) -> None:
    wrong = params_with("loss.class_weights=[1, 2, 3]")
    with Cores(data, 2) as cores, pytest.raises(WellfitError, match="must have one number for each"):
        cores.begin([wrong, wrong], Size(1, 1, 0.0, 2), packed=False)


def test_the_end_of_a_process_is_an_error(data: TrainingData) -> None:
    with Cores(data, 2) as cores:
        training = cores.begin(of_rates(RATES), Size(8, 1, 0.0, 2), packed=True)
        pid = cores._remote[0]._process.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ChildProcessError, match=r"^a process that trained beside this one ended: -9$"):
            next(training.epochs)


LEAVES = """
import signal, sys
from pathlib import Path
from tests.training.test_cores import *
signal.signal(signal.SIGINT, signal.default_int_handler)
if sys.argv[2] == "busy":
    LocalShard.epoch = lambda shard: time.sleep(60)
data = load_training_data(params_with(), Path(sys.argv[1]) / "moons")
with Cores(data, 3) as cores:
    training = cores.begin(of_rates(RATES, "train.epochs=10000"), Size(8, 1, 0.0, 3), packed=True)
    print(*(shard._process.pid for shard in cores._remote), flush=True)
    for _ in training.epochs:
        pass
"""


@pytest.mark.parametrize(
    ("how", "epoch"),
    [
        (signal.SIGINT, "short"),
        pytest.param(signal.SIGKILL, "short", marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, "busy", marks=pytest.mark.slow),
    ],
)
def test_no_process_is_left_behind(prepared: Path, how: signal.Signals, epoch: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", LEAVES, str(prepared), epoch],
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
    if epoch == "busy":
        time.sleep(0.5)  # until the others have begun theirs
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # as a terminal does
    else:
        process.kill()
    _, err = process.communicate(timeout=30)  # until the last has closed what they share
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
    cores: Any = LocalCores(data, 3)
    training = SharedTraining(cores, of_rates(RATES), Size(8, 1, 0.0, 3), packed=True)
    assert training._shares == [[0, 1, 2], [3, 4], [5, 6]]
    next(training.epochs)
    training.change([0, 1, 4], of_rates(RATES[:2]))
    assert training._shares == [[0, 1], [2, 4], [3]]
    epoch = next(training.epochs)
    assert epoch.number.tolist() == [2, 2, 2, 1, 1]
    assert training.members.epoch.tolist() == [2, 2, 2, 1, 1]
    assert [len(shard._best) for shard in cores.shards] == [2, 2, 1]


def test_a_process_whose_members_have_stopped_waits(data: TrainingData) -> None:
    members = of_rates(RATES[:3])
    members[2] = members[2].replace({"train.epochs": 2})
    cores: Any = LocalCores(data, 2)
    training = SharedTraining(cores, members, Size(8, 1, 0.0, 2), packed=True)
    epochs = list(training.epochs)
    assert len(epochs) == 5
    assert [np.isnan(epoch.metrics["val/loss"]).tolist() for epoch in epochs[1:3]] == [
        [False] * 3,
        [False, False, True],
    ]
    assert training.members.best_epoch[2] in (1, 2)
    assert not any(training.members.failure)
    assert training.weights(2) is not None
