"""How many trials train as one pack: measured by rates that are known, and once by real ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch

from wellfit.manifest import sealed, unsealed
from wellfit.settings.params import Params, load_params
from wellfit.training import size as module
from wellfit.training.cores import Cores
from wellfit.training.setup import TrainingData, load_training_data
from wellfit.training.size import CoreUse, Size, choose_size, fastest, fastest_seconds, processes_for
from wellfit.tuning.trials import most_processes, sizes_of_study

from ..damage import DAMAGES, Damage

PARAMS_FILE = Path(__file__).resolve().parents[2] / "params.yaml"
BASE = ["data.name=moons", "model.hidden=[8]", "tune.n_trials=64"]
SIZES = [1, 4, 8, 16, 32]
REMEMBERED = Path(".wellfit", "packs.json")


class Rates:
    """Rates of packs, by members and cores, of a step that takes so many seconds.

    Args:
        seconds: of a step, by members and cores.
    """

    def __init__(self, seconds: Mapping[tuple[int, int], float]) -> None:
        self._seconds = seconds
        self.measured: list[tuple[int, int]] = []

    def __call__(self, members: int, use: CoreUse) -> float:
        self.measured.append((members, use.cores))
        return max(members, use.processes) / self._seconds[members, use.cores]


def measured(
    seconds: Mapping[tuple[int, int], float], sizes: list[int] = SIZES, uses: Sequence[CoreUse] = (CoreUse(1, 1),)
) -> tuple[Size, list[tuple[int, int]]]:
    rates = Rates(seconds)
    return fastest(rates, sizes, uses), rates.measured


@pytest.fixture(autouse=True)
def _threads() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def data(prepared: Path) -> TrainingData:
    return load_training_data(params_with(), prepared / "moons")


@pytest.fixture
def measurements(project: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The sizes of each measurement, all of which find four members and two threads to be fastest."""
    done: list[list[int]] = []

    def found(measure: object, sizes: list[int], uses: Sequence[CoreUse]) -> Size:
        done.append(sizes)
        return Size(4, 2, 10.5)

    monkeypatch.setattr(module, "fastest", found)
    monkeypatch.setattr("wellfit.training.size.core_count", lambda: 2)
    return done


def params_with(*changes: str) -> Params:
    return load_params(PARAMS_FILE, [*BASE, *changes])


def chosen(params: Params, data: TrainingData) -> Size:
    return choose_size(params, data, sizes_of_study(params), Cores(data))


def test_the_pack_of_most_steps_a_second_is_chosen() -> None:
    size, tried = measured({(1, 1): 1.0, (4, 1): 1.2, (8, 1): 1.4, (16, 1): 2.0, (32, 1): 6.0})
    assert size == Size(16, 1, 16 / 2.0)
    assert [members for members, _ in tried] == SIZES


def test_doubling_ends_where_it_does_not_pay() -> None:
    size, tried = measured({(1, 1): 1.0, (4, 1): 1.2, (8, 1): 2.4 / 1.04, (16, 1): 1.0, (32, 1): 1.0})
    assert size.members == 4  # eight are four percent faster: not worth that fewer trials learn from others
    assert [members for members, _ in tried] == [1, 4, 8]


def test_a_network_that_does_not_pack_trains_alone() -> None:
    size, _ = measured({(1, 1): 1.0, (4, 1): 4.0, (8, 1): 8.0})
    assert size[:2] == (1, 1)


def test_a_pack_that_pays_only_when_large_is_found() -> None:
    size, _ = measured({(1, 1): 1.0, (4, 1): 4.4, (8, 1): 4.6, (16, 1): 5.0, (32, 1): 20.0})
    assert size.members == 16


@pytest.mark.parametrize("more", [CoreUse(2, 1), CoreUse(1, 2)])
@pytest.mark.parametrize("pays", [True, False])
def test_cores_are_used_where_they_pay(more: CoreUse, pays: bool) -> None:
    one = {(1, 1): 1.0, (4, 1): 1.0, (8, 1): 1.0}
    two = {(members, 2): seconds * (0.6 if pays else 0.97) for (members, _), seconds in one.items()}
    size, tried = measured(one | two, [1, 4, 8], [CoreUse(1, 1), more])
    assert (size.members, size.threads, size.processes) == (8, *(more if pays else (1, 1)))
    assert tried == [(1, 1), (4, 1), (8, 1), (8, 2)]  # what pays on one core pays on two


def test_more_cores_may_want_a_larger_pack() -> None:
    one = {(1, 1): 1.0, (4, 1): 1.0, (8, 1): 2.0, (16, 1): 4.0}
    two = {(4, 2): 0.8, (8, 2): 1.0, (16, 2): 2.0}
    size, tried = measured(one | two, [1, 4, 8, 16], [CoreUse(1, 1), CoreUse(1, 2)])
    assert size == Size(8, 1, 8.0, 2)
    assert tried[-3:] == [(4, 2), (8, 2), (16, 2)]


def test_networks_that_are_not_packed_train_in_more_processes_where_it_pays() -> None:
    size, tried = measured({(1, 1): 1.0, (1, 2): 1.2}, [1], [CoreUse(1, 1), CoreUse(1, 2)])
    assert (size.members, size.processes, size.at_once, tried) == (1, 2, 2, [(1, 1), (1, 2)])
    assert size.describe() == "trials one by one, in 2 processes"
    size, _ = measured({(1, 1): 1.0, (1, 2): 1.8}, [1], [CoreUse(1, 1), CoreUse(1, 2)])
    assert (size.members, size.processes, size.at_once) == (1, 1, 1)
    # The threads of such a network are its own: there is nothing to measure.
    size, tried = measured({(1, 1): 1.0, (4, 1): 5.0, (4, 2): 5.0}, [1, 4], [CoreUse(1, 1), CoreUse(2, 1)])
    assert (size.members, tried) == (1, [(1, 1), (4, 1), (4, 2)])


@pytest.mark.parametrize(
    ("changes", "sizes"),
    [
        ([], [1, 4, 8, 16, 32]),
        (["tune.n_trials=20"], [1, 4, 8]),
        (["tune.n_trials=10000"], [1, 4, 8, 16, 32, 64, 128]),
        (["tune.pack=24"], [24]),
    ],
)
def test_a_pack_holds_at_most_half_of_the_trials(
    measurements: list[list[int]], data: TrainingData, changes: list[str], sizes: list[int]
) -> None:
    chosen(params_with(*changes), data)
    assert measurements == [sizes]


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        (["tune.n_trials=7"], 1),  # four would be more than half
        (["tune.pack=1"], 1),
        (["train.compile=true"], 1),
        (["tune.pack=5", "train.threads=3"], 5),
    ],
)
def test_what_is_settled_is_not_measured(
    measurements: list[list[int]], data: TrainingData, changes: list[str], size: int
) -> None:
    found = chosen(params_with(*changes), data)
    assert found.members == size
    assert found.threads == (3 if "train.threads=3" in changes else 1)
    assert measurements == []
    assert not REMEMBERED.exists()


def test_convolutions_train_one_by_one(measurements: list[list[int]], prepared: Path) -> None:
    params = params_with("data.name=digits", "model.name=cnn")
    assert chosen(params, load_training_data(params, prepared / "digits")).describe() == "trials one by one"
    assert measurements == []


def test_a_measurement_is_remembered(measurements: list[list[int]], data: TrainingData) -> None:
    first = chosen(params_with(), data)
    assert first == Size(4, 2, 10.5)
    assert first.describe() == "up to 4 trials as one pack, with 2 CPU threads"
    assert chosen(params_with("optim.lr=0.1", "model.dropout=0.5", "train.seed=3"), data) == first
    assert len(measurements) == 1
    for changes in (["model.hidden=[9]"], ["train.batch_size=16"], ["tune.n_trials=20"], ["train.threads=1"]):
        before = len(measurements)
        chosen(params_with(*changes), data)
        assert len(measurements) == before + 1, changes
    assert len(unsealed(REMEMBERED.read_text())) == 5


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_memory_is_made_anew(measurements: list[list[int]], data: TrainingData, damage: Damage) -> None:
    first = chosen(params_with(), data)
    damage(REMEMBERED)
    assert [chosen(params_with(), data) for _ in range(2)] == [first, first]
    assert len(measurements) == 2


def test_a_memory_of_another_version_is_made_anew(measurements: list[list[int]], data: TrainingData) -> None:
    REMEMBERED.parent.mkdir(exist_ok=True)
    REMEMBERED.write_text(sealed({"a": [4, 1, 2]}))
    assert chosen(params_with(), data) == chosen(params_with(), data)
    assert len(measurements) == 1


class Many:
    """Processes that share a pack at once."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return 2

    def rate(self, params: Params, members: int, size: Size, *, packed: bool) -> float:
        assert packed == (size.members > 1)
        self.asked.append((members, size.processes))
        return 1e9 if size.processes == 2 else float(members)


def test_processes_that_can_share_a_pack_are_measured(project: Path, data: TrainingData) -> None:
    params, cores = params_with("tune.n_trials=8"), Many()
    size = choose_size(params, data, sizes_of_study(params), cores)  # type: ignore[arg-type]
    assert size == Size(4, 1, 1e9, 2)
    assert size.describe() == "up to 4 trials as one pack, in 2 processes"
    assert choose_size(params, data, sizes_of_study(params), cores) == size  # type: ignore[arg-type]
    assert cores.asked == [(1, 1), (4, 1), (4, 2)]  # it was remembered
    assert chosen(params, data).processes == 1  # without them it is another question
    threads = params.replace({"train.threads": 1})
    assert choose_size(threads, data, [4], cores).processes == 1  # type: ignore[arg-type]


def test_convolutions_in_processes_are_measured(project: Path, prepared: Path) -> None:
    params, cores = params_with("data.name=digits", "model.name=cnn"), Many()
    data = load_training_data(params, prepared / "digits")
    assert choose_size(params, data, [1, 4, 8], cores) == Size(1, 1, 1e9, 2)  # type: ignore[arg-type]
    assert cores.asked == [(1, 1), (2, 2)]


@pytest.mark.parametrize(
    ("changes", "processes"),
    [
        ([], 16),  # each has two members of a pack of 32
        (["tune.n_trials=9"], 2),
        (["tune.pack=6"], 3),
        (["tune.pack=1"], 32),  # of 64 trials
        (["model.name=cnn", "data.name=digits", "tune.n_trials=5"], 2),
    ],
)
def test_a_study_has_work_for_so_many_processes(changes: list[str], processes: int) -> None:
    assert most_processes(params_with(*changes)) == processes


def test_a_real_network_is_measured(project: Path, data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wellfit.training.size.SECONDS", 0.0)
    torch.set_num_threads(3)
    size = chosen(params_with("tune.n_trials=8"), data)
    assert size.members in (1, 4)
    assert size.rate > 0
    assert torch.get_num_threads() == 3


def test_a_slow_moment_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds, now = iter([0.05, 0.5, 0.1, 0.3]), [0.0]  # the first step does not count, either way
    monkeypatch.setattr(module, "perf_counter", lambda: now[0])

    def step() -> None:
        now[0] += next(seconds)

    assert fastest_seconds(step) == pytest.approx(0.1)


def test_a_step_of_seconds_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds, now = iter([9.0, 4.0]), [0.0]
    monkeypatch.setattr(module, "perf_counter", lambda: now[0])

    def step() -> None:
        now[0] += next(seconds)

    assert fastest_seconds(step) == 4.0


@pytest.mark.parametrize(
    ("changes", "members", "expected"),
    [
        ([], 32, 6),
        ([], 4, 4),
        ([], 0, 1),
        (["train.threads=2"], 32, 1),
        (["train.compile=true"], 32, 1),
    ],
)
def test_there_is_a_process_for_each_core(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch, changes: list[str], members: int, expected: int
) -> None:
    monkeypatch.setattr("wellfit.training.size.core_count", lambda: 6)
    assert processes_for(params_with(*changes), data, members) == expected
    with monkeypatch.context() as patch:
        patch.setattr("sys.platform", "darwin")
        assert processes_for(params_with(*changes), data, members) == 1
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert processes_for(params_with(*changes), data, members) == 1
