"""Proposals, on objectives whose best point is known."""

import itertools
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial

from wellfit.settings.params import load_params
from wellfit.tuning.covariance import GENERATION, CovarianceSampler
from wellfit.tuning.grid import GridExhaustedError
from wellfit.tuning.samplers import SAMPLERS, drawn_at_random
from wellfit.tuning.space import Space, TuneConfig

PARAMS_FILE = Path(__file__).parents[2] / "params.yaml"
NUMBERS = (
    "{optim: {lr: {low: 0.0001, high: 0.1, log: true}, beta1: {low: 0, high: 0.9}}, model: {groups: {low: 1, high: 9}}}"
)
MIXED = "{model: {hidden: [[8], [16], [32]], dropout: {low: 0.0, high: 0.5}}, optim: {beta1: {low: 0.1, high: 0.9}}}"
GRID = "{model: {hidden: [[8], [16], [32]], dropout: {low: 0, high: 0.4, step: 0.2}}}"


def setting(sampler: str, space: str) -> tuple[TuneConfig, Space]:
    params = load_params(PARAMS_FILE, [f"tune.sampler={sampler}", f"tune.space={space}"])
    return params.tune, Space(params)


def new_study(direction: str = "minimize") -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(direction=direction)


def go_on(
    study: optuna.Study,
    sampler: str,
    space: str,
    count: int,
    objective: Callable[[dict[str, Any]], float],
    at_once: int = 1,
) -> list[dict[str, Any]]:
    """Trials that are asked for together, as a pack does, and told in the other order."""
    config, known = setting(sampler, space)
    drawn = []
    while len(drawn) < count:
        pack = []
        for _ in range(min(at_once, count - len(drawn))):
            study.sampler = SAMPLERS[config.sampler].build(known, len(study.trials))
            pack.append(study.ask(known.distributions))
            if isinstance(study.sampler, CovarianceSampler):
                pack[-1].set_user_attr(GENERATION, study.sampler.generation)
            drawn.append(dict(pack[-1].params))
        for trial in reversed(pack):
            study.tell(trial, objective(trial.params))
    return drawn


def bowl(params: dict[str, Any]) -> float:
    return (
        (math.log10(params["optim.lr"]) + 2) ** 2
        + (params["optim.beta1"] - 0.6) ** 2
        + (params["model.groups"] - 7) ** 2
    )


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "cmaes", "grid"])
@pytest.mark.parametrize("at_once", [1, 5])
def test_proposals_lie_in_the_space_and_depend_on_the_seed_alone(sampler: str, at_once: int) -> None:
    if sampler == "cmaes":
        pytest.importorskip("cmaes")
    space = GRID if sampler == "grid" else MIXED
    count = 9 if sampler == "grid" else 14
    _, known = setting(sampler, space)

    def objective(params: dict[str, Any]) -> float:
        return params["model.dropout"] + len(params["model.hidden"])

    first, second = (go_on(new_study(), sampler, space, count, objective, at_once) for _ in range(2))
    assert first == second
    for drawn in first:
        assert set(drawn) == set(known.distributions)
        assert all(
            known.distributions[key]._contains(known.distributions[key].to_internal_repr(v)) for key, v in drawn.items()
        )
    assert len({tuple(drawn.values()) for drawn in first}) == count


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes"])
def test_proposals_get_better_than_those_at_random(sampler: str) -> None:
    if sampler == "cmaes":
        pytest.importorskip("cmaes")
    count = 30 if sampler == "gp" else 60
    by_chance = go_on(new_study(), "random", NUMBERS, count, bowl)
    chosen = go_on(new_study(), sampler, NUMBERS, count, bowl)
    last = count // 3
    assert statistics.median(map(bowl, chosen[-last:])) < statistics.median(map(bowl, by_chance[-last:])) / 2


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_cmaes_goes_to_the_better_side(direction: str) -> None:
    pytest.importorskip("cmaes")
    drawn = go_on(new_study(direction), "cmaes", NUMBERS, 70, lambda params: params["optim.beta1"])
    mean = statistics.mean(params["optim.beta1"] for params in drawn[-10:])
    assert mean < 0.2 if direction == "minimize" else mean > 0.7


def test_cmaes_has_the_distribution_that_optunas_has(monkeypatch: pytest.MonkeyPatch) -> None:
    cmaes = pytest.importorskip("cmaes")
    ours = new_study()
    go_on(ours, "cmaes", NUMBERS, 40, bowl)
    theirs = new_study()
    theirs.sampler = optuna.samplers.CmaEsSampler(n_startup_trials=0, seed=0)
    for trial in ours.trials:
        again = create_trial(
            value=trial.value,
            params=trial.params,
            distributions=trial.distributions,
            system_attrs={"cma:generation": trial.user_attrs[GENERATION]},
        )
        theirs.add_trial(again)
    asked = []

    def ask(optimizer: Any) -> Any:
        asked.append((optimizer.generation, optimizer.mean, optimizer._sigma, optimizer._C))
        return sample(optimizer)

    sample = cmaes.CMA.ask
    monkeypatch.setattr(cmaes.CMA, "ask", ask)
    go_on(ours, "cmaes", NUMBERS, 1, bowl)
    (found,) = asked
    assert found[0] == 5
    for _ in range(5):  # theirs moves on by one generation with each trial that ends
        theirs.tell(theirs.ask(setting("cmaes", NUMBERS)[1].distributions), 1e9)
    for mine, other in zip(found, asked[-1], strict=True):
        np.testing.assert_allclose(mine, other)


def test_cmaes_without_a_number_draws_at_random() -> None:
    space = "{model: {hidden: [[8], [16]]}}"
    config, known = setting("cmaes", space)
    assert drawn_at_random(config, known) == ["model.hidden"]
    assert len({params["model.hidden"] for params in go_on(new_study(), "cmaes", space, 12, lambda _: 0.0)}) == 2


def test_a_grid_tries_each_combination_once_and_then_ends() -> None:
    study = new_study()
    drawn = go_on(study, "grid", GRID, 9, lambda _: 0.0)
    combinations = set(itertools.product(["[8]", "[16]", "[32]"], [0.0, 0.2, 0.4]))
    assert {(params["model.hidden"], params["model.dropout"]) for params in drawn} == combinations
    with pytest.raises(GridExhaustedError):
        go_on(study, "grid", GRID, 1, lambda _: 0.0)


def test_a_grid_does_not_try_again_what_failed() -> None:
    study = new_study()
    config, known = setting("grid", GRID)
    study.sampler = SAMPLERS[config.sampler].build(known, 0)
    trial = study.ask(known.distributions)
    study.tell(trial, state=TrialState.FAIL)
    assert trial.params not in go_on(study, "grid", GRID, 8, lambda _: 0.0)


def test_a_grid_may_be_huge() -> None:
    entries = ", ".join(
        f"{key}: {{low: 0, high: 0.9, step: 0.0001}}" for key in ("momentum", "beta1", "beta2", "alpha")
    )
    assert len(go_on(new_study(), "grid", f"{{optim: {{{entries}}}}}", 3, lambda _: 0.0)) == 3
