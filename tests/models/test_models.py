import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from wellfit.models import build_model
from wellfit.models.config import ModelConfig
from wellfit.models.layers import ACTIVATIONS

VALUES = {
    "name": "mlp",
    "hidden": [5, 3],
    "channels": [4, 6],
    "dropout": 0.25,
    "norm": "batch",
    "activation": "relu",
}


def config(**changes: Any) -> ModelConfig:
    return ModelConfig.model_validate(VALUES | changes)


def kinds(model: nn.Module) -> list[str]:
    return [type(layer).__name__ for layer in model.children()]


@pytest.mark.parametrize("outputs", [1, 10])
@pytest.mark.parametrize("hidden", [[], [7], [5, 3], [4] * 20])
@pytest.mark.parametrize("shape", [(6,), (2, 3, 4)])
def test_mlp_maps_a_batch_of_any_shape_to_outputs(shape: tuple[int, ...], hidden: list[int], outputs: int) -> None:
    model = build_model(config(hidden=hidden), shape, outputs)
    result = model(torch.randn(8, *shape))
    assert result.shape == (8, outputs)
    assert result.dtype == torch.float32
    linear = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert [layer.in_features for layer in linear] == [math.prod(shape), *hidden]
    assert [layer.out_features for layer in linear] == [*hidden, outputs]


@pytest.mark.parametrize(
    ("changes", "layers"),
    [
        ({}, "Flatten Linear BatchNorm1d ReLU Dropout Linear BatchNorm1d ReLU Dropout Linear"),
        ({"dropout": 0}, "Flatten Linear BatchNorm1d ReLU Linear BatchNorm1d ReLU Linear"),
        ({"norm": "none"}, "Flatten Linear ReLU Dropout Linear ReLU Dropout Linear"),
        ({"norm": "none", "dropout": 0, "activation": "tanh"}, "Flatten Linear Tanh Linear Tanh Linear"),
        ({"hidden": []}, "Flatten Linear"),
    ],
)
def test_layers_of_an_mlp(changes: dict[str, Any], layers: str) -> None:
    assert kinds(build_model(config(**changes), (6,), 2)) == layers.split()


@pytest.mark.parametrize(
    ("changes", "layers"),
    [
        (
            {"channels": [4]},
            "Conv2d BatchNorm2d ReLU MaxPool2d AdaptiveAvgPool2d Flatten Dropout Linear",
        ),
        (
            {"channels": [4, 6], "norm": "none", "dropout": 0, "activation": "silu"},
            "Conv2d SiLU MaxPool2d Conv2d SiLU MaxPool2d AdaptiveAvgPool2d Flatten Linear",
        ),
    ],
)
def test_layers_of_a_cnn(changes: dict[str, Any], layers: str) -> None:
    assert kinds(build_model(config(name="cnn", **changes), (1, 8, 8), 2)) == layers.split()


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 8, 8), (3, 5, 7), (1, 28, 28)])
@pytest.mark.parametrize("channels", [[4], [4, 6, 8, 10, 12]])
def test_cnn_takes_images_of_any_size(shape: tuple[int, ...], channels: list[int]) -> None:
    model = build_model(config(name="cnn", channels=channels), shape, 10)
    result = model(torch.randn(4, *shape))
    assert result.shape == (4, 10)
    assert result.isfinite().all()
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == channels
    assert convolutions[0].in_channels == shape[0]


def test_each_block_of_a_cnn_halves_height_and_width() -> None:
    model = build_model(config(name="cnn", channels=[2, 2, 2]), (1, 13, 8), 2)
    sizes = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        sizes.append(tuple(output.shape[2:]))

    for layer in model.modules():
        if isinstance(layer, nn.MaxPool2d):
            layer.register_forward_hook(note)
    model(torch.randn(2, 1, 13, 8))
    assert sizes == [(7, 4), (4, 2), (2, 1)]


@pytest.mark.parametrize("name", ["mlp", "cnn"])
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_a_bias_stands_where_no_norm_would_take_it_away(name: str, norm: str) -> None:
    model = build_model(config(name=name, norm=norm), (1, 8, 8), 2)
    *inner, head = [layer for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    assert [layer.bias is not None for layer in inner] == [norm == "none"] * len(inner)
    assert head.bias is not None


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_dropout_has_the_probability_asked_for_and_is_off_in_evaluation(name: str) -> None:
    model = build_model(config(name=name, dropout=0.75), (1, 8, 8), 2)
    dropouts = [layer for layer in model.modules() if isinstance(layer, nn.Dropout)]
    assert {layer.p for layer in dropouts} == {0.75}
    x = torch.randn(16, 1, 8, 8)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("relu", lambda x: max(x, 0)),
        ("leaky_relu", lambda x: x if x > 0 else 0.01 * x),
        ("tanh", math.tanh),
        ("sigmoid", lambda x: 1 / (1 + math.exp(-x))),
        ("gelu", lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2),
        ("silu", lambda x: x / (1 + math.exp(-x))),
    ],
)
def test_activations_are_what_their_names_say(name: str, formula: Callable[[float], float]) -> None:
    values = [-2.0, -0.5, 0.0, 0.3, 4.0]
    expected = [formula(value) for value in values]
    assert ACTIVATIONS[name]()(torch.tensor(values)).tolist() == pytest.approx(expected, abs=1e-6)
    model = build_model(config(activation=name), (2,), 1)
    assert sum(isinstance(layer, ACTIVATIONS[name]) for layer in model.modules()) == 2


def test_there_is_an_activation_for_each_choice() -> None:
    assert ModelConfig.model_fields["activation"].annotation.__args__ == tuple(ACTIVATIONS)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_the_global_seed_decides_the_initial_weights(name: str) -> None:
    def weights(seed: int) -> Tensor:
        torch.manual_seed(seed)
        model = build_model(config(name=name), (1, 8, 8), 2)
        return torch.cat([parameter.flatten() for parameter in model.parameters()])

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_every_parameter_learns() -> None:
    for name in ("mlp", "cnn"):
        model = build_model(config(name=name, dropout=0, activation="gelu"), (1, 8, 8), 3)
        model(torch.randn(16, 1, 8, 8)).square().sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters()), name


def test_naming_the_models_does_not_import_torch() -> None:
    code = "import sys, wellfit.models, wellfit.models.config; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"
