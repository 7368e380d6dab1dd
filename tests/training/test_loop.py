import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from wellfit.interruptions import deferred, is_pending
from wellfit.settings.params import load_params
from wellfit.training import loop
from wellfit.training.loop import BatchOrder, fit
from wellfit.training.members import Epoch, Members, TrainConfig
from wellfit.training.schedule import Plan, Schedule, lr_table

CPU = torch.device("cpu")
SHIPPED = load_params(Path(__file__).parents[2] / "params.yaml")
WARMED = SHIPPED.replace({"schedule.name": "cosine", "schedule.warmup_epochs": 1}).schedule
few = settings(derandomize=True, deadline=None, max_examples=60)


class Scripted:
    """A learner whose metrics were written beforehand: name to (epochs, K)."""

    def __init__(self, val: Any, monitor: str = "val/loss", **train: Any) -> None:
        self.val, self.monitor = np.array(val, float), monitor
        self.train = {"train/loss": np.zeros_like(self.val)} | {k: np.array(v, float) for k, v in train.items()}
        self.size = self.val.shape[1]
        self.epoch = 0
        self.calls: list[str] = []
        self.numbers: list[list[int]] = []
        self.rows: list[Tensor] = []
        self.lrs: list[list[float]] = []

    def begin_epoch(self, sizes: list[int], lrs: np.ndarray) -> None:
        self.calls.append("begin")
        self.begun = sizes, lrs.tolist()

    def step(self, rows: Tensor, lr: np.ndarray) -> None:
        self.calls.append("step")
        self.rows.append(rows)
        self.lrs.append(lr.tolist())

    def finish_epoch(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        self.calls.append("finish")
        self.numbers.append(numbers.tolist())
        return {name: values[self.epoch] for name, values in self.train.items()}

    def validate(self) -> dict[str, np.ndarray]:
        self.calls.append("validate")
        self.epoch += 1
        return {self.monitor: self.val[self.epoch - 1]}

    def weights(self, member: int) -> dict[str, Tensor]:
        return {}


def config(monitor: str, patience: int | None = None, min_delta: float = 0.0, epochs: int = 8) -> TrainConfig:
    values = {"monitor": monitor, "patience": patience, "min_delta": min_delta, "epochs": epochs}
    return TrainConfig.model_validate(SHIPPED.train.model_dump() | values)


def begin(
    learner: Scripted, patience: int | None = None, min_delta: float = 0.0, rows: int = 10, batch_size: int = 4
) -> tuple[Members, Iterator[Epoch]]:
    size, epochs = learner.size, len(learner.val)
    order = BatchOrder(rows, batch_size, list(range(size)), CPU)
    members = Members([config(learner.monitor, patience, min_delta, epochs)] * size)
    schedule = Schedule([Plan(WARMED, 0.1, epochs)] * size, order.steps, higher_is_better=False)
    return members, fit(learner, order, schedule, members)


def run(val: Any, monitor: str = "val/loss", patience: int | None = None, min_delta: float = 0.0, **train: Any) -> Any:
    """Members and epochs of a whole training."""
    members, epochs = begin(Scripted(val, monitor, **train), patience, min_delta)
    return members, list(epochs)


def column(*values: float) -> np.ndarray:
    return np.array(values, float)[:, None]


# The loop


def test_an_epoch_is_steps_then_scores_then_validation() -> None:
    learner = Scripted(column(3, 2))
    _, epochs = begin(learner)
    assert learner.calls == []  # nothing happens before someone asks
    next(epochs)
    assert learner.calls == ["begin", "step", "step", "step", "finish", "validate"]
    next(epochs)
    assert len(learner.calls) == 12
    assert list(epochs) == []


@pytest.mark.parametrize(
    ("seconds", "calls"), [(0.0, ["begin", "step"]), (60.0, ["begin", "step", "step", "step", "finish", "validate"])]
)
def test_an_interruption_waits_for_the_end_of_an_epoch_that_is_short(
    seconds: float, calls: list[str], ctrl_c: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "WHOLE_SECONDS", seconds)

    class Interrupted(Scripted):
        def step(self, rows: Tensor, lr: np.ndarray) -> None:
            super().step(rows, lr)
            if self.calls.count("step") == 1:
                ctrl_c()

    learner, ended = Interrupted(column(3, 2)), []

    def train() -> None:
        with deferred():
            for epoch in begin(learner)[1]:
                ended.append(epoch)
                assert is_pending()

    with pytest.raises(KeyboardInterrupt):
        train()
    assert learner.calls == calls
    assert len(ended) == ("finish" in calls)


def test_each_step_gets_the_rate_of_the_table() -> None:
    learner = Scripted(column(*[1.0] * 4))
    _, epochs = begin(learner)
    table = lr_table(WARMED, 0.1, epochs=4, steps=3)
    for number, epoch in enumerate(epochs, start=1):
        assert epoch.metrics["lr"].tolist() == [table[3 * number - 1]]
        assert learner.begun == ([4, 4, 2], learner.lrs[-3:])
    assert learner.lrs == [[lr] for lr in table]


def test_each_step_gets_the_rows_of_the_order() -> None:
    learner = Scripted(np.ones((3, 2)))
    _, epochs = begin(learner, rows=10, batch_size=4)
    list(epochs)
    order = BatchOrder(10, 4, [0, 1], CPU)
    expected = [rows for number in (1, 2, 3) for rows in order.epoch(np.full(2, number))]
    assert [rows.shape for rows in learner.rows] == [(2, 4), (2, 4), (2, 2)] * 3
    assert all(torch.equal(one, two) for one, two in zip(learner.rows, expected, strict=True))


def test_an_epoch_hands_over_its_metrics() -> None:
    _, epochs = run([[3, 4], [2, 5]], grad_norm=[[0.5, 0.25], [0.1, 0.2]])
    assert [epoch.number.tolist() for epoch in epochs] == [[1, 1], [2, 2]]
    assert list(epochs[0].metrics) == [
        "train/loss",
        "grad_norm",
        "val/loss",
        "lr",
        "seconds",
        "samples_per_second",
    ]
    assert epochs[1].metrics["val/loss"].tolist() == [2, 5]
    assert epochs[1].metrics["grad_norm"].tolist() == [0.1, 0.2]
    for epoch in epochs:
        assert all(values.shape == (2,) for values in epoch.metrics.values())
        assert (epoch.metrics["seconds"] > 0).all()
        np.testing.assert_allclose(epoch.metrics["samples_per_second"] * epoch.metrics["seconds"], 10)


# Early stopping


@pytest.mark.parametrize(
    ("monitor", "values", "patience", "min_delta", "best_epochs", "last"),
    [
        ("val/loss", [5, 4, 3, 2, 1], 2, 0, [1, 2, 3, 4, 5], 5),
        ("val/loss", [5, 4, 4, 4, 1], 2, 0, [1, 2], 4),
        ("val/loss", [5, 4, 4, 3, 3, 3, 1], 2, 0, [1, 2, 4], 6),
        ("val/loss", [1, 2, 2, 2], 1, 0, [1], 2),
        ("val/loss", [5, 6, 6, 6, 6, 1], None, 0, [1, 6], 6),
        ("val/loss", [5, 4.5, 4.1, 3.9, 3.9], 3, 1.0, [1, 4], 5),
        ("val/loss", [5, 4, 4, 1], 2, 1.0, [1], 3),  # by exactly min_delta is not enough
        ("val/loss", [-1, -2, -2], 1, 0, [1, 2], 3),
        ("val/accuracy", [0.1, 0.2, 0.3, 0.2, 0.2, 0.9], 2, 0, [1, 2, 3], 5),
        ("val/accuracy", [0.5, 0.4, 0.6, 0.64], 2, 0.1, [1], 3),
        ("val/r2", [-3, -2, -2.5, -2.5], 2, 0, [1, 2], 4),
        ("val/rmse", [2, 3, 1], 1, 0, [1], 2),
    ],
)
def test_early_stopping_written_out(
    monitor: str, values: list[float], patience: int | None, min_delta: float, best_epochs: list[int], last: int
) -> None:
    members, epochs = run(column(*values), monitor, patience, min_delta)
    assert [epoch.number[0] for epoch in epochs if epoch.improved[0]] == best_epochs
    assert epochs[-1].number.tolist() == [last]
    assert members.best_epoch.tolist() == [best_epochs[-1]]
    assert members.best.tolist() == [values[best_epochs[-1] - 1]]
    assert members.failure.tolist() == [None]


def by_hand(
    values: Sequence[float], patience: int | None, min_delta: float, *, higher: bool
) -> tuple[list[int], int, bool]:
    """Epochs that improved, the last epoch, and whether it blew up, the plain way."""
    best, best_epoch, improved = None, 0, []
    for epoch, value in enumerate(values, start=1):
        if not math.isfinite(value):
            return improved, epoch, True
        if best is None or (value > best + min_delta if higher else value < best - min_delta):
            best, best_epoch = value, epoch
            improved.append(epoch)
        if patience is not None and epoch - best_epoch >= patience:
            return improved, epoch, False
    return improved, len(values), False


VALUES = st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.5, 2.0, math.nan, math.inf, -math.inf]) | st.integers(0, 4).map(float)


@few
@given(
    values=st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=8),
    patience=st.none() | st.integers(1, 4),
    min_delta=st.sampled_from([0.0, 0.5]),
    monitor=st.sampled_from(["val/loss", "val/macro_f1"]),
)
def test_each_member_of_a_pack_fares_as_it_would_alone(
    values: list[tuple[float, ...]], patience: int | None, min_delta: float, monitor: str
) -> None:
    members, epochs = run(values, monitor, patience, min_delta)
    lasts = []
    for k in range(3):
        improved, last, blown = by_hand(
            [row[k] for row in values], patience, min_delta, higher=monitor == "val/macro_f1"
        )
        assert [epoch.number[k] for epoch in epochs if epoch.improved[k]] == improved
        assert members.best_epoch[k] == (improved[-1] if improved else 0)
        assert (members.failure[k] is not None) == blown
        assert not improved or members.best[k] == values[improved[-1] - 1][k]
        lasts.append(last)
    assert epochs[-1].number.tolist() == [max(lasts)] * 3  # the pack runs on until its last member stops


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["val/loss", "train/loss", "grad_norm"])
def test_a_member_that_blows_up_stops_alone_and_says_why(name: str, bad: float) -> None:
    series = {"val/loss": np.array([[3.0, 3, 3]] * 5), "train/loss": np.ones((5, 3)), "grad_norm": np.ones((5, 3))}
    series["val/loss"][:, 0] = [5, 4, 3, 2, 1]
    series["val/loss"][:, 1] = [5, 4, 3, 2, 1]
    series[name][2, 1] = bad
    members, epochs = run(series.pop("val/loss"), **series)
    assert members.failure.tolist() == [None, f"{name} is {bad} in epoch 3", None]
    assert members.active.tolist() == [False, False, False]  # the others have reached their last epoch
    assert members.best_epoch.tolist() == [5, 2, 1]
    assert members.best.tolist() == [1, 4, 3]
    assert len(epochs) == 5


def test_only_the_first_failure_is_told() -> None:
    members, _ = run([[1, 1], [math.nan, 1], [math.inf, 1]])
    assert members.failure.tolist() == ["val/loss is nan in epoch 2", None]


def test_a_training_that_blows_up_at_once_ends_at_once() -> None:
    members, epochs = run(column(math.nan, 1, 1))
    assert len(epochs) == 1
    assert not epochs[0].improved[0]
    assert members.best_epoch.tolist() == [0]


def test_whoever_iterates_can_stop_a_member_and_at_last_the_run() -> None:
    learner = Scripted(np.tile(np.arange(9.0, 0, -1)[:, None], (1, 2)))
    members, epochs = begin(learner)
    seen = []
    for epoch in epochs:
        seen.append((epoch.number.tolist(), epoch.improved.tolist()))
        if epoch.number[0] == 2:
            members.active[0] = False
        if epoch.number[0] == 4:
            members.active[1] = False
    improved = [[True, True], [True, True], [False, True], [False, True]]
    assert seen == [([number] * 2, each) for number, each in enumerate(improved, start=1)]
    assert members.best_epoch.tolist() == [2, 4]
    assert members.failure.tolist() == [None, None]
    assert learner.epoch == 4


# Members of a pack


def test_members_have_their_own_patience_least_change_and_epochs() -> None:
    settings = [(1, 0.0, 9), (3, 0.0, 9), (2, 1.5, 9), (None, 0.0, 4)]
    learner = Scripted(np.tile([[5.0], [6], [4], [5], [5], [5], [5], [5], [5]], (1, 4)))
    members = Members([config("val/loss", *each) for each in settings])
    order = BatchOrder(10, 4, [0] * 4, CPU)
    schedule = Schedule([Plan(WARMED, 0.1, 9)] * 4, order.steps, higher_is_better=False)
    was_active = [members.active.copy() for _ in fit(learner, order, schedule, members)]
    assert [1 + sum(active[k] for active in was_active) for k in range(4)] == [2, 6, 3, 4]
    assert members.best_epoch.tolist() == [1, 3, 1, 3]
    assert members.best.tolist() == [5, 4, 5, 4]
    assert learner.epoch == 6


def test_members_that_stay_go_on_and_those_that_join_begin() -> None:
    """Changed between two epochs, each goes by its own clock."""
    learner = Scripted([[5, 5, 5], [4, 6, 4], [3, 9, 9], [2, 8, 9], [1, 7, 9]])
    order = BatchOrder(10, 4, [0, 1, 2], CPU)
    members = Members([config("val/loss", patience=3, epochs=5)] * 3)
    schedule = Schedule([Plan(WARMED, 0.1, 5)] * 3, order.steps, higher_is_better=False)
    numbers, improved, bests = [], [], []
    for number, epoch in enumerate(fit(learner, order, schedule, members), start=1):
        numbers.append(epoch.number.tolist())
        improved.append(epoch.improved.tolist())
        if number == 2:
            members.active[1] = False
            members.change([0, 2], [config("val/loss", patience=2, epochs=3)])
            order.change([0, 2], [7])
            schedule.change([0, 2], [Plan(WARMED, 0.5, 3)])
            assert members.best.tolist() == [4, 4, np.inf]
            assert members.best_epoch.tolist() == [2, 2, 0]
            assert members.active.tolist() == [True, True, True]
            assert members.failure.tolist() == [None, None, None]
        bests.append(members.best.tolist())
    assert numbers == learner.numbers == [[1, 1, 1], [2, 2, 2], [3, 3, 1], [4, 4, 2], [5, 5, 3]]
    assert improved == [
        [True] * 3,
        [True, False, True],
        [True, False, True],
        [True, False, False],
        [True, False, False],
    ]
    assert bests[-1] == [1, 4, 9]
    assert members.best_epoch.tolist() == [5, 2, 1]
    assert not members.active.any()
    for epoch, numbers_of in enumerate(numbers, start=1):
        seeds = [0, 1, 2] if epoch <= 2 else [0, 2, 7]
        expected = torch.cat([orders(10, 4, [seed], n) for seed, n in zip(seeds, numbers_of, strict=True)])
        assert torch.equal(torch.cat(learner.rows[3 * (epoch - 1) : 3 * epoch], dim=1), expected)
    tables = [lr_table(WARMED, lr, epochs, 3) for lr, epochs in ((0.1, 5), (0.1, 5), (0.5, 3))]
    for step in range(9):
        assert learner.lrs[6 + step] == [tables[0][6 + step], tables[1][6 + step], tables[2][step]]


# The order of the rows


def orders(rows: int, batch_size: int, seeds: Sequence[int], epoch: int) -> Tensor:
    return torch.cat(list(BatchOrder(rows, batch_size, seeds, CPU).epoch(np.full(len(seeds), epoch))), dim=1)


@few
@given(
    rows=st.integers(1, 40),
    batch_size=st.integers(1, 45),
    seeds=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=3),
    epoch=st.integers(1, 5),
)
def test_an_epoch_is_a_permutation_in_batches(rows: int, batch_size: int, seeds: list[int], epoch: int) -> None:
    order = BatchOrder(rows, batch_size, seeds, CPU)
    batches = list(order.epoch(np.full(len(seeds), epoch)))
    sizes = [batch.shape[1] for batch in batches]
    assert len(batches) == order.steps
    assert all(batch.dtype == torch.int64 and batch.shape[0] == len(seeds) for batch in batches)
    assert all(sorted(line) == list(range(rows)) for line in torch.cat(batches, dim=1).tolist())
    assert all(size == batch_size for size in sizes[:-1])
    assert sizes[-1] <= batch_size + 1
    assert sizes[-1] > 1 or batch_size == 1 or rows == 1


@pytest.mark.parametrize(
    ("rows", "batch_size", "sizes"),
    [
        (10, 4, [4, 4, 2]),
        (9, 4, [4, 5]),
        (5, 4, [5]),
        (8, 4, [4, 4]),
        (3, 4, [3]),
        (4, 4, [4]),
        (1, 4, [1]),
        (3, 1, [1, 1, 1]),
        (3, 2, [3]),
    ],
)
def test_a_last_batch_of_one_row_joins_the_one_before(rows: int, batch_size: int, sizes: list[int]) -> None:
    order = BatchOrder(rows, batch_size, [0], CPU)
    assert [batch.shape[1] for batch in order.epoch(np.array([1]))] == sizes
    assert order.steps == len(sizes)


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    alone = orders(50, 8, [7], epoch=3)
    assert torch.equal(orders(50, 8, [7], epoch=3), alone)
    torch.manual_seed(99)
    torch.rand(5)
    order = BatchOrder(50, 8, [1, 7, 2], CPU)
    list(order.epoch(np.ones(3, int)))  # what was asked before does not matter
    assert torch.equal(torch.cat(list(order.epoch(np.full(3, 3))), dim=1)[1:2], alone)
    assert torch.equal(orders(50, 13, [7], epoch=3), alone)  # nor does the batch size


@few
@given(
    seeds=st.lists(st.integers(0, 3), min_size=1, max_size=4),
    epochs=st.lists(st.integers(1, 5), min_size=4, max_size=4),
    data=st.data(),
)
def test_each_member_goes_by_its_own_clock(seeds: list[int], epochs: list[int], data: st.DataObject) -> None:
    order = BatchOrder(17, 4, seeds, CPU)
    kept = [k for k in range(len(seeds)) if data.draw(st.booleans())]
    order.change(kept, [9])
    present = [*((seeds[k], epoch) for k, epoch in zip(kept, epochs, strict=False)), (9, 3)]
    numbers = np.array([epoch for _, epoch in present])
    expected = torch.cat([orders(17, 4, [seed], epoch) for seed, epoch in present])
    assert torch.equal(torch.cat(list(order.epoch(numbers)), dim=1), expected)


def test_the_order_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    orders(50, 8, [7], epoch=3)
    assert torch.equal(torch.rand(3), expected)


def test_no_two_seeds_or_epochs_share_an_order() -> None:
    seen = {tuple(orders(30, 8, [seed], epoch)[0].tolist()) for seed in range(15) for epoch in range(15)}
    assert len(seen) == 15 * 15
