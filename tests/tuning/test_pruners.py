"""Which trials are stopped: against Optuna's rule, a hand-written one, and objectives whose best trial is known."""

import math
import statistics
from pathlib import Path

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.pruners import PercentilePruner
from optuna.trial import TrialState, create_trial

from wellfit.settings.params import load_params
from wellfit.tuning.pruners import PRUNERS, Percentile, Pruner

PARAMS_FILE = Path(__file__).parents[2] / "params.yaml"


def pruner_of(*overrides: str, epochs: int = 40, higher_is_better: bool = False) -> Pruner:
    config = load_params(PARAMS_FILE, overrides).tune
    return PRUNERS[config.pruner](config, epochs, "study", higher_is_better)


def lockstep(pruner: Pruner, curves: dict[int, list[float]]) -> dict[int, int]:
    """Trains all side by side; gives the epoch at which each trial that is stopped is."""
    stopped: dict[int, int] = {}
    epochs = len(next(iter(curves.values())))
    for epoch in range(1, epochs + 1):
        active = [trial for trial in curves if trial not in stopped]
        for trial in active:
            pruner.report(trial, epoch, curves[trial][epoch - 1])
        for trial in active:
            if epoch < epochs and pruner.should_prune(trial):
                stopped[trial] = epoch
                pruner.stop(trial)
    return stopped


def falling(count: int, epochs: int) -> dict[int, list[float]]:
    """Losses that fall to levels of their own, the best trial neither first nor last."""
    levels = np.random.default_rng(0).permutation(count)
    return {trial: [float(level) + 1 / epoch for epoch in range(1, epochs + 1)] for trial, level in enumerate(levels)}


def test_the_median_of_a_pack_by_hand() -> None:
    pruner = pruner_of("tune.pruner_startup_trials=3", "tune.pruner_warmup_epochs=2")
    curves = {0: [9.0, 4.0, 1.0], 1: [1.0, 2.0, 2.5], 2: [1.0, 3.0, 3.0], 3: [1.0, 9.0, 3.0], 4: [9.0, 9.0, 9.0]}
    for trial, (first, *_) in curves.items():
        pruner.report(trial, 1, first)
    assert not any(pruner.should_prune(trial) for trial in curves)  # warm-up
    for trial, (_, second, _) in curves.items():
        pruner.report(trial, 2, second)
    for trial, curve in curves.items():
        others = [other[1] for name, other in curves.items() if name != trial]
        assert pruner.should_prune(trial) is (min(curve[:2]) > statistics.median(others))
    assert [trial for trial in curves if pruner.should_prune(trial)] == [4]


@pytest.mark.filterwarnings("ignore:All-NaN slice encountered:RuntimeWarning")  # of Optuna's rule
@settings(deadline=None)
@given(
    values=st.lists(
        st.lists(st.one_of(st.integers(-3, 3).map(float), st.just(math.nan)), min_size=1, max_size=4),
        min_size=1,
        max_size=8,
    ),
    percentile=st.sampled_from([10.0, 25.0, 50.0, 80.0]),
    startup=st.integers(0, 4),
    warmup=st.integers(0, 3),
    higher_is_better=st.booleans(),
    stopped=st.sets(st.integers(1, 7)),
)
def test_the_rule_is_optunas_with_those_that_came_as_far_or_were_stopped_as_its_complete_trials(
    values: list[list[float]],
    percentile: float,
    startup: int,
    warmup: int,
    higher_is_better: bool,
    stopped: set[int],
) -> None:
    ours = Percentile(percentile, startup, warmup, higher_is_better)
    for trial, curve in enumerate(values):
        for epoch, value in enumerate(curve, start=1):
            ours.report(trial, epoch, value)
    theirs = PercentilePruner(percentile, n_startup_trials=startup, n_warmup_steps=warmup)
    epoch = len(values[0])
    study = optuna.create_study(direction="maximize" if higher_is_better else "minimize")
    for trial, curve in enumerate(values[1:], start=1):
        if trial in stopped:
            ours.stop(trial)
            curve = curve + [curve[-1]] * (epoch - len(curve))
        if len(curve) >= epoch:
            study.add_trial(create_trial(value=0.0, intermediate_values=dict(enumerate(curve, start=1))))
    study.add_trial(create_trial(state=TrialState.RUNNING, intermediate_values=dict(enumerate(values[0], start=1))))
    assert ours.should_prune(0) is bool(theirs.prune(study, study.trials[-1]))


def test_a_trial_that_has_reported_nothing_is_not_stopped() -> None:
    for name in ("median", "percentile", "halving", "hyperband", "none"):
        assert not pruner_of(f"tune.pruner={name}").should_prune(3)


def test_none_stops_no_trial() -> None:
    assert lockstep(pruner_of("tune.pruner=none"), falling(16, 40)) == {}


@pytest.mark.parametrize("pruner", ["median", "percentile", "halving", "hyperband"])
@pytest.mark.parametrize("higher_is_better", [False, True])
def test_a_pack_loses_trials_but_never_the_best(pruner: str, higher_is_better: bool) -> None:
    curves = falling(32, 40)
    best = min(curves, key=lambda trial: curves[trial][-1])
    if higher_is_better:
        curves = {trial: [-value for value in curve] for trial, curve in curves.items()}
    stopped = lockstep(pruner_of(f"tune.pruner={pruner}", higher_is_better=higher_is_better), curves)
    assert len(stopped) >= 10
    assert best not in stopped
    assert min(stopped.values()) >= 5  # warm-up


@pytest.mark.parametrize("pruner", ["median", "percentile", "halving", "hyperband"])
def test_trials_one_after_the_other_are_stopped_too(pruner: str) -> None:
    rule, stopped = pruner_of(f"tune.pruner={pruner}"), []
    curves = falling(32, 40)
    for trial, curve in curves.items():
        for epoch, value in enumerate(curve[:-1], start=1):
            rule.report(trial, epoch, value)
            if rule.should_prune(trial):
                stopped.append(trial)
                rule.stop(trial)
                break
    assert len(stopped) >= 10
    assert min(curves, key=lambda trial: curves[trial][-1]) not in stopped


def test_a_pack_is_not_halved_anew_at_each_epoch() -> None:
    stopped = lockstep(pruner_of(), falling(64, 40))
    assert 24 <= len(stopped) <= 40


def test_a_smaller_percentile_stops_more() -> None:
    few, many = (
        lockstep(pruner_of("tune.pruner=percentile", f"tune.pruner_percentile={p}"), falling(32, 40)) for p in (75, 25)
    )
    assert len(many) > len(few) > 0


def test_a_trial_that_began_later_is_compared_with_the_epoch_that_it_has_reached() -> None:
    pruner = pruner_of("tune.pruner_startup_trials=2", "tune.pruner_warmup_epochs=1")
    for trial, value in ((0, 1.0), (1, 1.0)):
        for epoch in range(1, 11):
            pruner.report(trial, epoch, value / epoch)
    pruner.report(2, 1, 0.9)
    assert not pruner.should_prune(2)
    pruner.report(2, 2, 0.9)
    assert pruner.should_prune(2)


@pytest.mark.parametrize("pruner", ["median", "percentile", "halving", "hyperband"])
@pytest.mark.parametrize("epochs", [1, 4])
def test_trials_that_are_shorter_than_the_warm_up_all_run_to_their_end(pruner: str, epochs: int) -> None:
    rule = pruner_of(f"tune.pruner={pruner}", epochs=epochs)
    assert lockstep(rule, falling(16, epochs)) == {}
    assert not any(rule.should_prune(trial) for trial in range(16))
