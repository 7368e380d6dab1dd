import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from wellfit.models import build_model
from wellfit.models.summary import SHOWN, Summary, summarize
from wellfit.settings.params import load_params

SHIPPED = Path(__file__).parents[2] / "params.yaml"


def network(*overrides: str) -> Any:
    torch.manual_seed(0)
    return build_model(load_params(SHIPPED, overrides).model, (1, 8, 8), 10)


def summary_of(*overrides: str) -> Summary:
    return summarize("net", network(*overrides), torch.zeros(1, 1, 8, 8))


def test_a_short_network_is_told_layer_by_layer() -> None:
    summary = summary_of("model.hidden=[5]")
    assert summary.headline == "net: 390 parameters, 390 multiply-adds a row"
    heading, *layers = [line.split() for line in summary.layers]
    assert heading == ["layer", "output", "parameters"]
    assert layers == [["Linear", "5", "320"], ["BatchNorm1d", "5", "10"], ["Linear", "10", "60"]]


def test_the_table_has_every_layer_with_its_shape() -> None:
    lines = summary_of("model.name=cnn", "model.channels=[4]").table.splitlines()
    rows = {line.split(":")[0].strip("├─└│ "): line.split()[2:] for line in lines if ": 1-" in line}
    assert list(rows) == [
        "Conv2d",
        "BatchNorm2d",
        "MaxPool2d",
        "ReLU",
        "Dropout",
        "AdaptiveAvgPool2d",
        "Flatten",
        "Linear",
    ]
    assert " ".join(rows["Conv2d"]) == f"[1, 4, 8, 8] 36 {36 * 64:,}"
    assert " ".join(rows["MaxPool2d"]) == "[1, 4, 4, 4] -- --"
    assert not any("MB" in line for line in lines)


@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet18"])
def test_parameters_are_all_that_learn(name: str) -> None:
    summary = summary_of(f"model.name={name}")
    assert summary.n_parameters == sum(p.numel() for p in network(f"model.name={name}").parameters())
    assert f"{summary.n_parameters:,} parameters" in summary.table


def test_a_long_network_is_told_in_one_line() -> None:
    summary = summary_of("model.hidden=[" + "4, " * SHOWN + "4]")
    assert summary.layers == ()
    assert summary.table.count("Linear") == SHOWN + 2


@pytest.mark.parametrize("training", [True, False])
def test_the_network_and_the_random_state_stay_as_they_were(training: bool) -> None:
    model = network("model.name=cnn").train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random = torch.get_rng_state()
    first = summarize("net", model, torch.ones(1, 1, 8, 8))
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.training == training
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in model.modules())
    assert summarize("net", model, torch.ones(1, 1, 8, 8)) == first


def test_the_network_is_not_kept() -> None:

    model: nn.Module | None = network()
    assert model is not None
    kept = weakref.ref(model)
    summarize("net", model, torch.zeros(1, 1, 8, 8))
    model = None
    gc.collect()
    assert kept() is None
