import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, ReduceLROnPlateau, StepLR

from wellfit.training.config import ScheduleConfig
from wellfit.training.schedule import Schedule, lr_table

VALUES = {
    "name": "constant",
    "warmup_epochs": 0,
    "step_epochs": 2,
    "gamma": 0.5,
    "patience": 1,
    "threshold": 0.01,
    "min_lr": 0.0,
}
few = settings(derandomize=True, deadline=None, max_examples=40)


def config(**changes: Any) -> ScheduleConfig:
    return ScheduleConfig.model_validate(VALUES | changes)


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
        stepper.step()
    return lrs


@st.composite
def schedules(draw: st.DrawFn) -> tuple[ScheduleConfig, float, int, int]:
    """A configuration with its lr, epochs and steps an epoch."""
    epochs, steps = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    lr = draw(st.floats(1e-4, 1))
    return (
        config(
            name=draw(st.sampled_from(["constant", "step", "cosine"])),
            warmup_epochs=draw(st.integers(0, epochs - 1)),
            step_epochs=draw(st.integers(1, 3)),
            gamma=draw(st.floats(0.1, 0.99)),
            min_lr=draw(st.floats(0, lr)),
        ),
        lr,
        epochs,
        steps,
    )


@few
@given(schedules())
def test_the_table_is_what_torchs_schedulers_do_one_after_the_other(
    drawn: tuple[ScheduleConfig, float, int, int],
) -> None:
    schedule, lr, epochs, steps = drawn
    warmup = schedule.warmup_epochs * steps
    rest = epochs * steps - warmup
    first = (
        stepped(lambda o: LinearLR(o, start_factor=1 / (warmup + 1), total_iters=warmup), lr, warmup) if warmup else []
    )
    then: dict[str, Callable[[SGD], LRScheduler]] = {
        "constant": lambda o: StepLR(o, step_size=10**9),
        "step": lambda o: StepLR(o, step_size=schedule.step_epochs * steps, gamma=schedule.gamma),
        "cosine": lambda o: CosineAnnealingLR(o, T_max=rest, eta_min=schedule.min_lr),
    }
    expected = first + stepped(then[schedule.name], lr, rest)
    np.testing.assert_allclose(lr_table(schedule, lr, epochs, steps), expected, rtol=1e-9, atol=1e-15)


@few
@given(schedules())
def test_the_table_is_the_closed_form(drawn: tuple[ScheduleConfig, float, int, int]) -> None:
    schedule, lr, epochs, steps = drawn
    warmup, total = schedule.warmup_epochs * steps, epochs * steps
    expected = []
    for t in range(total):
        if t < warmup:
            expected.append(lr * (t + 1) / (warmup + 1))
        elif schedule.name == "step":
            expected.append(lr * schedule.gamma ** ((t - warmup) // (schedule.step_epochs * steps)))
        elif schedule.name == "cosine":
            turn = math.pi * (t - warmup) / (total - warmup)
            expected.append(schedule.min_lr + (lr - schedule.min_lr) * (1 + math.cos(turn)) / 2)
        else:
            expected.append(lr)
    np.testing.assert_allclose(lr_table(schedule, lr, epochs, steps), expected, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "table"),
    [
        ({}, [1, 1, 1, 1, 1, 1, 1, 1]),
        ({"warmup_epochs": 2}, [0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1]),
        ({"name": "step"}, [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5]),
        ({"name": "step", "step_epochs": 1, "warmup_epochs": 1}, [1 / 3, 2 / 3, 1, 1, 0.5, 0.5, 0.25, 0.25]),
        ({"name": "cosine", "min_lr": 0.2, "warmup_epochs": 2}, [0.2, 0.4, 0.6, 0.8, 1, 0.882843, 0.6, 0.317157]),
        ({"name": "plateau", "warmup_epochs": 1}, [1 / 3, 2 / 3, 1, 1, 1, 1, 1, 1]),
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
    schedule = Schedule(config(name="cosine", min_lr=0.005, warmup_epochs=1), lrs, 4, 3, higher_is_better=False)
    for step in range(12):
        alone = [lr_table(config(name="cosine", min_lr=0.005, warmup_epochs=1), lr, 4, 3)[step] for lr in lrs]
        assert schedule.lr(step).tolist() == alone
    assert (schedule.epochs, schedule.steps) == (4, 3)


def test_only_plateau_looks_at_the_metric() -> None:
    for name in ("constant", "step", "cosine"):
        schedule = Schedule(config(name=name), [0.1], 6, 1, higher_is_better=False)
        for epoch in range(1, 7):
            schedule.observe(epoch, np.array([float(epoch)]))
            assert schedule.lr(epoch - 1)[0] == lr_table(config(name=name), 0.1, 6, 1)[epoch - 1]


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
    schedule = Schedule(plateau, lrs, len(metrics), steps, higher_is_better=higher)
    seen = []
    for epoch, values in enumerate(metrics, start=1):
        seen.append([schedule.lr((epoch - 1) * steps + step) for step in range(steps)])
        schedule.observe(epoch, np.array(values, float))
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
    schedule = Schedule(config(name="plateau"), [1.0], 8, 1, higher_is_better=higher)
    seen = []
    for epoch, value in enumerate(metric, start=1):
        seen.append(schedule.lr(epoch - 1)[0])
        schedule.observe(epoch, np.array([value], float))
    assert seen == pytest.approx(lrs)


def test_epochs_of_the_warm_up_do_not_use_up_the_plateaus_patience() -> None:
    schedule = Schedule(config(name="plateau", warmup_epochs=4), [1.0], 8, 1, higher_is_better=False)
    for epoch in range(1, 7):
        schedule.observe(epoch, np.array([float(epoch)]))
    assert schedule.lr(6)[0] == 1.0
    schedule.observe(7, np.array([7.0]))
    assert schedule.lr(7)[0] == 0.5
