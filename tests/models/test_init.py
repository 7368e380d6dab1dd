import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from wellfit.models import ModelConfig, build_model
from wellfit.models.init import INITS, initialize
from wellfit.settings.params import load_params

SHIPPED = load_params(Path(__file__).parents[2] / "params.yaml").model
FAN_IN, FAN_OUT = 300, 200


def config(**changes: Any) -> ModelConfig:
    return ModelConfig.model_validate(SHIPPED.model_dump() | {"init_std": 0.3} | changes)


def drawn(init: str, activation: str = "relu") -> Tensor:
    """The weights of a layer of 300 inputs and 200 units."""
    layer = nn.Linear(FAN_IN, FAN_OUT)
    initialize(layer, config(init=init, activation=activation))
    assert init == "default" or not layer.bias.any()
    return layer.weight.detach()


STD: dict[str, Callable[[float], float]] = {
    "xavier_uniform": lambda gain: gain * math.sqrt(2 / (FAN_IN + FAN_OUT)),
    "xavier_normal": lambda gain: gain * math.sqrt(2 / (FAN_IN + FAN_OUT)),
    "kaiming_uniform": lambda gain: gain / math.sqrt(FAN_IN),
    "kaiming_normal": lambda gain: gain / math.sqrt(FAN_IN),
    "lecun": lambda gain: 1 / math.sqrt(FAN_IN),
    "normal": lambda gain: 0.3,
    "zeros": lambda gain: 0.0,
}
GAINS = {"relu": math.sqrt(2), "gelu": math.sqrt(2), "tanh": 5 / 3, "sigmoid": 1.0}


@pytest.mark.parametrize(("activation", "gain"), list(GAINS.items()))
@pytest.mark.parametrize("init", list(STD))
def test_the_deviation_is_that_of_the_paper(init: str, activation: str, gain: float) -> None:
    weights = drawn(init, activation)
    assert weights.std().item() == pytest.approx(STD[init](gain), rel=0.02)
    assert weights.mean().abs() < 0.01
    if init.endswith("uniform"):
        assert weights.abs().max().item() == pytest.approx(math.sqrt(3) * STD[init](gain), rel=0.01)


def test_orthogonal_units_are_orthogonal() -> None:
    weights = drawn("orthogonal")
    torch.testing.assert_close(weights @ weights.T, 2 * torch.eye(FAN_OUT), atol=1e-4, rtol=0)


def test_default_is_torchs_own() -> None:
    torch.manual_seed(3)
    plain = nn.Linear(FAN_IN, FAN_OUT)
    torch.manual_seed(3)
    assert torch.equal(drawn("default"), plain.weight)


@pytest.mark.parametrize("init", list(INITS))
@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_every_layer_of_a_network_is_drawn(name: str, init: str) -> None:
    before = {}
    for chosen in ("default", init):
        torch.manual_seed(0)
        model = build_model(config(name=name, init=chosen, hidden=(6, 4), channels=(4, 6)), (1, 8, 8), 3)
        layers = {key: m for key, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
        if chosen == init != "default":
            assert not any(torch.equal(layer.weight, before[key]) for key, layer in layers.items())
        before = {key: layer.weight.detach().clone() for key, layer in layers.items()}
    assert model(torch.randn(4, 1, 8, 8)).isfinite().all()
