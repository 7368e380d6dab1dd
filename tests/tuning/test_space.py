"""The space as Optuna knows it, and values on their way there and back."""

from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from ruamel.yaml import YAML

from wellfit.settings.params import load_params
from wellfit.tuning.space import Space, TuneConfig, drawn, unread

PARAMS_FILE = Path(__file__).parents[2] / "params.yaml"


def space_of(text: str, *overrides: str) -> Space:
    return Space(load_params(PARAMS_FILE, [f"tune.space={text}", *overrides]))


@pytest.mark.parametrize(
    ("text", "distribution"),
    [
        ("{optim: {lr: {low: 0.001, high: 0.1, log: true}}}", FloatDistribution(0.001, 0.1, log=True)),
        ("{model: {dropout: {low: 0, high: 1.0e-1}}}", FloatDistribution(0.0, 0.1)),
        ("{model: {dropout: {low: 0, high: 0.5, step: 0.25}}}", FloatDistribution(0.0, 0.5, step=0.25)),
        ("{train: {batch_size: {low: 16, high: 256, log: true}}}", IntDistribution(16, 256, log=True)),
        ("{train: {patience: {low: 5, high: 25, step: 5}}}", IntDistribution(5, 25, step=5)),
        ("{optim: {clip_norm: {low: 1, high: 2}}}", FloatDistribution(1.0, 2.0)),
        ("{optim: {clip_norm: [null, 1.0]}}", CategoricalDistribution([None, 1.0])),
        ("{model: {norm_first: [true, false]}}", CategoricalDistribution([True, False])),
        ("{model: {hidden: [[64], [128, 64]]}}", CategoricalDistribution(["[64]", "[128, 64]"])),
    ],
)
def test_an_entry_as_a_distribution(text: str, distribution: Any) -> None:
    (found,) = space_of(text).distributions.values()
    assert found == distribution
    assert type(found) is type(distribution)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{model: {hidden: [[64], [128, 64], []]}}", [128, 64]),
        ("{model: {hidden: [[64], [128, 64], []]}}", []),
        ("{optim: {clip_norm: [null, 1.0]}}", None),
        ("{optim: {name: [adamw, sgd]}}", "sgd"),
        ("{model: {dropout: {low: 0.0, high: 0.5}}}", 0.25),
    ],
)
def test_a_value_there_and_back(text: str, value: Any) -> None:
    space = space_of(text)
    (key,) = space.distributions
    scalars = drawn({key: value}, space.distributions)
    assert isinstance(scalars[key], str | int | float | None)
    assert space.values(scalars) == {key: value}


def test_what_could_not_be_drawn_is_left_out() -> None:
    space = space_of(
        "{model: {hidden: [[64], [32]], dropout: {low: 0.3, high: 0.5}}, optim: {lr: {low: 0.001, high: 1}}}"
    )
    assert space.current == {"model.hidden": [128, 64], "model.dropout": 0.2, "optim.lr": 0.003}
    assert drawn(space.current, space.distributions) == {"optim.lr": 0.003}


def test_a_current_value_of_nothing_is_outside_an_interval() -> None:
    space = space_of("{optim: {clip_norm: {low: 1, high: 2}}}")
    assert drawn({"optim.clip_norm": None}, space.distributions) == {}


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("{model: {dropout: {low: 0.1, high: 0.4, step: 0.1}}}", [0.1, 0.2, 0.3, 0.4], [0.0, 0.25, 0.5]),
        ("{train: {patience: {low: 5, high: 25, step: 5}}}", [5, 20, 25], [0, 6, 30]),
        ("{train: {batch_size: {low: 16, high: 256, log: true}}}", [16, 17, 256], [15, 257]),
    ],
)
def test_what_a_distribution_contains_is_what_optuna_says(text: str, inside: list[Any], outside: list[Any]) -> None:
    ((key, distribution),) = space_of(text).distributions.items()
    for value in [*inside, *outside]:
        assert distribution._contains(distribution.to_internal_repr(value)) is (value in inside)
        assert bool(drawn({key: value}, {key: distribution})) is (value in inside)


def test_all_that_a_grid_holds() -> None:
    text = "{model: {hidden: [[64], []], dropout: {low: 0, high: 0.3, step: 0.1}, groups: {low: 1, high: 3}}}"
    grid = space_of(text).grid()
    assert grid == {"model.hidden": ["[64]", "[]"], "model.dropout": [0.0, 0.1, 0.2, 0.3], "model.groups": [1, 2, 3]}
    assert grid["model.dropout"][-1] == 0.3


@pytest.mark.parametrize(
    ("space", "overrides", "kind", "keys"),
    [
        ("{model: {dropout: [0.1, 0.2], embedding_scale: [0.1, 1.0]}}", [], "table", []),
        ("{model: {dropout: [0.1, 0.2], embedding_scale: [0.1, 1.0]}}", [], "images", ["model.embedding_scale"]),
        ("{model: {numeric: [standard, quantile]}}", [], "table", []),
        ("{model: {numeric: [standard, quantile]}}", [], "images", ["model.numeric"]),
        ("{model: {embedding_size: [8, 16]}}", ["model.embedding=none"], "table", ["model.embedding_size"]),
        ("{model: {embedding_scale: [0.1, 1.0]}}", ["model.embedding=ple"], "table", ["model.embedding_scale"]),
        ("{model: {embedding: [none, cosine], embedding_scale: [0.1, 1.0]}}", [], "table", []),
        ("{model: {category: [one_hot, embedding], category_width: [2, 4]}}", [], "table", []),
        ("{model: {category_width: [2, 4]}}", ["model.category=one_hot"], "table", ["model.category_width"]),
        ("{optim: {lr: [0.1, 0.2]}, model: {dropout: [0.1, 0.2]}}", ["model.name=linear"], "table", ["model.dropout"]),
        ("{model: {name: [linear, mlp], dropout: [0.1, 0.2]}}", [], "table", []),
        ("{model: {channels: [[8], [16]]}}", [], "images", ["model.channels"]),
        ("{model: {init_std: [0.1, 0.2]}}", [], "images", []),
    ],
)
def test_what_makes_no_difference_to_the_network(space: str, overrides: list[str], kind: Any, keys: list[str]) -> None:
    params = load_params(PARAMS_FILE, ["model.embedding=periodic", f"tune.space={space}", *overrides])
    assert unread(params, kind) == keys


def test_dvc_tracks_all_of_tune_but_the_address() -> None:
    """Which may hold a password, and decides no result."""
    stages = YAML(typ="safe", pure=True).load(PARAMS_FILE.with_name("dvc.yaml"))["stages"]
    keys = [f"tune.{key}" for key in TuneConfig.model_fields if key != "storage"]
    for stage in ("tune", "evaluate"):
        assert [key for key in stages[stage]["params"] if key.split(".")[0] == "tune"] == keys
    assert not [name for name, stage in stages.items() if {"tune", "tune.storage"} & set(stage.get("params", []))]
