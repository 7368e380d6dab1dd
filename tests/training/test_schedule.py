import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import SGD
from torch.optim import lr_scheduler as torchs
from torch.optim.lr_scheduler import LinearLR, LRScheduler, ReduceLROnPlateau

from wellfit.training.schedule import SCHEDULES, Plan, Schedule, ScheduleConfig, lr_table

VALUES = {
    "name": "constant",
    "warmup_epochs": 0,
    "step_epochs": 2,
    "milestones": [1, 3],
    "gamma": 0.5,
    "decay": 0.8,
    "power": 2.0,
    "restart_epochs": 2,
    "restart_factor": 1,
    "cycle_epochs": 2,
    "cycle_mode": "triangular",
    "rise": 0.3,
    "start_factor": 0.04,
    "end_factor": 0.01,
    "patience": 1,
    "threshold": 0.01,
    "min_lr": 0.0,
}
few = settings(derandomize=True, deadline=None, max_examples=40)


def config(**changes: Any) -> ScheduleConfig:
    return ScheduleConfig.model_validate(VALUES | changes)


def schedule_of(
    schedule: ScheduleConfig, lrs: list[float], epochs: int, steps: int, *, higher_is_better: bool = False
) -> Schedule:
    """Of members that differ in their peak alone."""
    return Schedule([Plan(schedule, lr, epochs) for lr in lrs], steps, higher_is_better=higher_is_better)


def stepped(scheduler: Callable[[SGD], LRScheduler], lr: float, steps: int) -> list[float]:
    """Learning rates of a real loop with torch's scheduler."""
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = SGD([weight], lr=lr)
    stepper = scheduler(optimizer)
    lrs = []
    for _ in range(steps):
        lrs.append(optimizer.param_groups[0]["lr"])
        weight.square().sum().backward()
        optimizer.step()
        if len(lrs) < steps:  # OneCycleLR refuses a step past its end
            stepper.step()
    return lrs


ONE_CYCLE = [0.04 / 3, 0.08 / 3, 0.04, 1, 0.855018, 0.505, 0.154982, 0.01]  # the top at the second of six steps
NAMES = [name for name in SCHEDULES if name != "plateau"]


@st.composite
def schedules(draw: st.DrawFn) -> tuple[ScheduleConfig, float, int, int]:
    """A configuration with its lr, epochs and steps an epoch."""
    epochs, steps = draw(st.integers(1, 9)), draw(st.integers(1, 5))
    lr = draw(st.floats(1e-4, 1))
    return (
        config(
            name=draw(st.sampled_from(NAMES)),
            warmup_epochs=draw(st.integers(0, epochs - 1)),
            step_epochs=draw(st.integers(1, 3)),
            milestones=draw(st.sampled_from([[1], [1, 3], [2, 3, 5]])),
            gamma=draw(st.floats(0.1, 0.99)),
            decay=draw(st.floats(0.1, 1.0)),
            power=draw(st.floats(0.5, 3.0)),
            restart_epochs=draw(st.integers(1, 3)),
            restart_factor=draw(st.integers(1, 3)),
            cycle_epochs=draw(st.integers(1, 4)),
            cycle_mode=draw(st.sampled_from(["triangular", "triangular2", "exp_range"])),
            rise=draw(st.floats(0.1, 0.9)),
            start_factor=draw(st.floats(0.01, 1.0)),
            end_factor=draw(st.floats(1e-4, 1.0)),
            min_lr=draw(st.floats(0, lr)),
        ),
        lr,
        epochs,
        steps,
    )


@settings(few, max_examples=300)
@given(schedules())
def test_the_table_is_what_torchs_schedulers_do_one_after_the_other(
    drawn: tuple[ScheduleConfig, float, int, int],
) -> None:
    c, lr, epochs, steps = drawn
    warmup = c.warmup_epochs * steps
    rest = epochs * steps - warmup
    if c.name == "one_cycle" and rest == 1:
        return  # torch divides by zero: written out below
    then: dict[str, Callable[[SGD], LRScheduler]] = {
        "constant": lambda o: torchs.StepLR(o, step_size=10**9),
        "step": lambda o: torchs.StepLR(o, c.step_epochs * steps, c.gamma),
        "multi_step": lambda o: torchs.MultiStepLR(o, [m * steps for m in c.milestones], c.gamma),
        "exponential": lambda o: torchs.ExponentialLR(o, c.decay ** (1 / steps)),
        "linear": lambda o: torchs.LinearLR(o, 1.0, c.end_factor, rest),
        "polynomial": lambda o: torchs.PolynomialLR(o, rest, c.power),
        "cosine": lambda o: torchs.CosineAnnealingLR(o, rest, c.min_lr),
        "cosine_restarts": lambda o: torchs.CosineAnnealingWarmRestarts(
            o, c.restart_epochs * steps, c.restart_factor, c.min_lr
        ),
        "one_cycle": lambda o: torchs.OneCycleLR(
            o,
            lr,
            rest,
            pct_start=c.rise,
            div_factor=1 / c.start_factor,
            final_div_factor=c.start_factor / c.end_factor,
            cycle_momentum=False,
        ),
        "cyclic": lambda o: torchs.CyclicLR(
            o,
            c.start_factor * lr,
            lr,
            c.cycle_epochs * steps / 2,
            mode=c.cycle_mode,
            gamma=c.decay ** (1 / steps),
            cycle_momentum=False,
        ),
    }
    after = stepped(then[c.name], lr, rest)
    first = (
        stepped(lambda o: LinearLR(o, start_factor=1 / (warmup + 1), total_iters=warmup), after[0], warmup)
        if warmup
        else []
    )
    np.testing.assert_allclose(lr_table(c, lr, epochs, steps), first + after, rtol=1e-9, atol=1e-15)


@settings(few, max_examples=300)
@given(schedules())
def test_the_table_is_the_closed_form(drawn: tuple[ScheduleConfig, float, int, int]) -> None:
    c, lr, epochs, steps = drawn
    warmup, total = c.warmup_epochs * steps, epochs * steps
    span = total - warmup
    if c.name == "one_cycle" and span < 3:
        return  # too short for a rise and a fall

    def after(t: int) -> float:
        match c.name:
            case "step":
                return lr * c.gamma ** (t // (c.step_epochs * steps))
            case "multi_step":
                return lr * c.gamma ** sum(t >= milestone * steps for milestone in c.milestones)
            case "exponential":
                return lr * c.decay ** (t / steps)
            case "linear":
                return lr * (1 + (c.end_factor - 1) * t / span)
            case "polynomial":
                return lr * (1 - t / span) ** c.power
            case "cosine":
                return between(lr, c.min_lr, t / span)
            case "cosine_restarts":
                period = c.restart_epochs * steps
                while t >= period:
                    t, period = t - period, period * c.restart_factor
                return between(lr, c.min_lr, t / period)
            case "one_cycle":
                top = c.rise * span - 1
                if t <= top:
                    return between(c.start_factor * lr, lr, t / top)
                return between(lr, c.end_factor * lr, (t - top) / (span - 1 - top))
            case "cyclic":
                half = c.cycle_epochs * steps / 2
                cycle, place = divmod(t / (2 * half), 1)
                height = 1 - abs(2 * place - 1)
                scale = {"triangular": 1.0, "triangular2": 0.5**cycle, "exp_range": c.decay ** (t / steps)}
                return lr * (c.start_factor + (1 - c.start_factor) * height * scale[c.cycle_mode])
        return lr

    expected = [after(0) * (t + 1) / (warmup + 1) if t < warmup else after(t - warmup) for t in range(total)]
    np.testing.assert_allclose(lr_table(c, lr, epochs, steps), expected, rtol=1e-6, atol=1e-9 * lr)


def between(start: float, end: float, share: float) -> float:
    """Half a cosine wave from start to end."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


@pytest.mark.parametrize(
    ("changes", "table"),
    [
        ({}, [1, 1, 1, 1, 1, 1, 1, 1]),
        ({"warmup_epochs": 2}, [0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1]),
        ({"name": "step"}, [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5]),
        ({"name": "step", "step_epochs": 1, "warmup_epochs": 1}, [1 / 3, 2 / 3, 1, 1, 0.5, 0.5, 0.25, 0.25]),
        ({"name": "cosine", "min_lr": 0.2, "warmup_epochs": 2}, [0.2, 0.4, 0.6, 0.8, 1, 0.882843, 0.6, 0.317157]),
        ({"name": "plateau", "warmup_epochs": 1}, [1 / 3, 2 / 3, 1, 1, 1, 1, 1, 1]),
        ({"name": "multi_step"}, [1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]),
        ({"name": "exponential", "decay": 0.25}, [1, 0.5, 0.25, 0.125, 0.0625, 1 / 32, 1 / 64, 1 / 128]),
        ({"name": "linear", "end_factor": 0.2}, [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]),
        ({"name": "polynomial", "warmup_epochs": 2}, [0.2, 0.4, 0.6, 0.8, 1, 0.5625, 0.25, 0.0625]),
        ({"name": "cosine_restarts", "restart_epochs": 1}, [1, 0.5] * 4),
        ({"name": "cyclic", "start_factor": 0.2}, [0.2, 0.6, 1, 0.6, 0.2, 0.6, 1, 0.6]),
        ({"name": "cyclic", "start_factor": 0.2, "cycle_mode": "triangular2"}, [0.2, 0.6, 1, 0.6, 0.2, 0.4, 0.6, 0.4]),
        ({"name": "one_cycle", "rise": 1 / 3, "warmup_epochs": 1}, ONE_CYCLE),
    ],
)
def test_tables_written_out(changes: dict[str, Any], table: list[float]) -> None:
    assert lr_table(config(**changes), 1.0, epochs=4, steps=2) == pytest.approx(table, abs=1e-6)


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_run_that_ends_within_the_warm_up_only_rises(epochs: int) -> None:
    table = lr_table(config(name="cosine", warmup_epochs=2), 1.0, epochs, steps=2)
    assert table == pytest.approx([(t + 1) / 5 for t in range(2 * epochs)])


def test_each_member_has_its_own_rate() -> None:
    lrs = [0.1, 0.01, 3.0]
    cosine = config(name="cosine", min_lr=0.005, warmup_epochs=1)
    schedule = schedule_of(cosine, lrs, epochs=4, steps=3)
    for step in range(12):
        alone = [lr_table(cosine, lr, 4, 3)[step] for lr in lrs]
        assert schedule.epoch(np.full(3, 1 + step // 3))[step % 3].tolist() == alone
    assert schedule.steps == 3


def test_only_plateau_looks_at_the_metric() -> None:
    for name in NAMES:
        schedule = schedule_of(config(name=name), [0.1], epochs=6, steps=1)
        for epoch in range(1, 7):
            schedule.observe(np.array([epoch]), np.array([float(epoch)]))
            assert schedule.epoch(np.array([epoch]))[0][0] == lr_table(config(name=name), 0.1, 6, 1)[epoch - 1]


def torchs_plateau(schedule: ScheduleConfig, lr: float, metric: list[float], *, higher_is_better: bool) -> list[float]:
    """The learning rate of each epoch after the warm-up."""
    optimizer = SGD([torch.zeros(1)], lr=lr)
    plateau = ReduceLROnPlateau(
        optimizer,
        mode="max" if higher_is_better else "min",
        factor=schedule.gamma,
        patience=schedule.patience,
        threshold=schedule.threshold,
        min_lr=schedule.min_lr,
    )
    lrs = []
    for value in metric[schedule.warmup_epochs :]:
        lrs.append(optimizer.param_groups[0]["lr"])
        plateau.step(value)
    return lrs


@few
@given(
    metrics=st.lists(st.tuples(*[st.integers(1, 20)] * 3), min_size=3, max_size=12),
    warmup=st.integers(0, 2),
    patience=st.integers(0, 3),
    gamma=st.sampled_from([0.1, 0.5, 0.9]),
    threshold=st.sampled_from([0.0, 0.1]),
    higher=st.booleans(),
)
def test_plateau_is_torchs_for_each_member(
    metrics: list[tuple[float, ...]], warmup: int, patience: int, gamma: float, threshold: float, higher: bool
) -> None:
    lrs, steps = [1.0, 0.3, 0.05], 2
    plateau = config(
        name="plateau", warmup_epochs=warmup, patience=patience, gamma=gamma, threshold=threshold, min_lr=0.02
    )
    schedule = schedule_of(plateau, lrs, len(metrics), steps, higher_is_better=higher)
    seen = []
    for epoch, values in enumerate(metrics, start=1):
        epochs = np.full(3, epoch)
        seen.append([schedule.epoch(epochs)[step] for step in range(steps)])
        schedule.observe(epochs, np.array(values, float))
    for k, lr in enumerate(lrs):
        risen = [lr * (t + 1) / (warmup * steps + 1) for t in range(warmup * steps)]
        reduced = torchs_plateau(plateau, lr, [float(row[k]) for row in metrics], higher_is_better=higher)
        expected = risen + [value for value in reduced for _ in range(steps)]
        assert [rates[k] for epoch in seen for rates in epoch] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("higher", "metric", "lrs"),
    [
        # patience 1: the second epoch in a row without a better value reduces, from the next epoch on
        (False, [5, 4, 4, 4, 4, 4, 1, 1], [1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25]),
        (True, [1, 2, 2, 2, 3, 2, 2, 2], [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25]),
        (False, [1, 2, 3, 4, 5, 6, 7, 8], [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.125]),
        (True, [1, 2, 3, 4, 5, 6, 7, 8], [1, 1, 1, 1, 1, 1, 1, 1]),
    ],
)
def test_plateaus_written_out(higher: bool, metric: list[float], lrs: list[float]) -> None:
    schedule = schedule_of(config(name="plateau"), [1.0], epochs=8, steps=1, higher_is_better=higher)
    seen = []
    for epoch, value in enumerate(metric, start=1):
        seen.append(schedule.epoch(np.array([epoch]))[0][0])
        schedule.observe(np.array([epoch]), np.array([value], float))
    assert seen == pytest.approx(lrs)


def test_epochs_of_the_warm_up_do_not_use_up_the_plateaus_patience() -> None:
    schedule = schedule_of(config(name="plateau", warmup_epochs=4), [1.0], epochs=8, steps=1)
    for epoch in range(1, 7):
        schedule.observe(np.array([epoch]), np.array([float(epoch)]))
    assert schedule.epoch(np.array([7]))[0][0] == 1.0
    schedule.observe(np.array([7]), np.array([7.0]))
    assert schedule.epoch(np.array([8]))[0][0] == 0.5


# Members of a pack


MIXED = [
    Plan(config(name="cosine", warmup_epochs=1), 0.1, 4),
    Plan(config(name="step", step_epochs=1), 0.01, 2),
    Plan(config(name="plateau", patience=0, threshold=0.0), 1.0, 6),
    Plan(config(name="one_cycle", min_lr=0.001), 3.0, 3),
]


def test_each_member_has_its_own_schedule_and_clock() -> None:
    schedule = Schedule(MIXED, 3, higher_is_better=False)
    epochs = np.array([4, 1, 3, 2])
    for step in range(3):
        tables = [lr_table(*plan, 3) for plan in MIXED]
        expected = [table[3 * (epoch - 1) + step] for table, epoch in zip(tables, epochs, strict=True)]
        assert schedule.epoch(epochs)[step].tolist() == expected


def test_past_its_last_epoch_a_rate_stays() -> None:
    schedule = Schedule(MIXED[:2], 3, higher_is_better=False)
    for epoch in (2, 3, 9):
        assert schedule.epoch(np.array([4, epoch]))[2][1] == lr_table(*MIXED[1], 3)[-1]
    assert schedule.epoch(np.array([5, 1]))[0][0] == lr_table(*MIXED[0], 3)[-1]


@pytest.mark.parametrize("min_lr", [0.0, 0.001])
@pytest.mark.parametrize("name", NAMES)
def test_a_table_rises_and_falls_with_its_peak(name: str, min_lr: float) -> None:
    """Without a lowest rate trials share one; with it they do not, and the table is torch's all the same."""
    changes = config(name=name, min_lr=min_lr, warmup_epochs=1)
    lowest = min_lr if name.startswith("cosine") else 0.0
    one, other = (lr_table(changes, lr, 4, 3) for lr in (1.0, 0.02))
    if lowest == 0:
        np.testing.assert_allclose(other, 0.02 * one, rtol=1e-12)
    else:
        assert other.min() >= lowest
        assert not np.allclose(other, 0.02 * one)


def test_plateaus_stay_with_their_members_and_new_ones_begin_anew() -> None:
    plans = [Plan(config(name="plateau", patience=0, threshold=0.0), lr, 9) for lr in (1.0, 0.1, 0.01)]
    schedule = Schedule(plans, 2, higher_is_better=False)
    for epoch, losses in enumerate([[5, 5, 5], [5, 4, 6], [4, 4, 7]], start=1):
        schedule.observe(np.full(3, epoch), np.array(losses, float))
    assert schedule.epoch(np.full(3, 4))[0] == pytest.approx([0.5, 0.05, 0.0025])
    schedule.change([2, 0], [MIXED[0], plans[1]])
    epochs = np.array([4, 4, 1, 1])
    warm = lr_table(*MIXED[0], 2)
    assert schedule.epoch(epochs)[0] == pytest.approx([0.0025, 0.5, warm[0], 0.1])
    schedule.observe(epochs, np.array([8.0, 3.0, 1.0, 5.0]))
    assert schedule.epoch(epochs + 1)[1] == pytest.approx([0.00125, 0.5, warm[3], 0.1])
    schedule.change([1], [])
    assert schedule.epoch(np.array([6]))[0] == pytest.approx([0.5])


def test_epochs_of_warm_up_are_each_members_own() -> None:
    plateau = config(name="plateau", warmup_epochs=2, patience=0, threshold=0.0)
    schedule = Schedule([Plan(plateau, 1.0, 9)] * 2, 1, higher_is_better=False)
    schedule.observe(np.array([3, 1]), np.array([5.0, 5.0]))
    schedule.observe(np.array([4, 2]), np.array([6.0, 6.0]))  # the second is still warming up
    assert schedule.epoch(np.array([5, 5]))[0].tolist() == [0.5, 1.0]
