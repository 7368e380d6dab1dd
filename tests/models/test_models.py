import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from wellfit.errors import WellfitError
from wellfit.models import ModelConfig, build_model
from wellfit.models.dropout import Dropout
from wellfit.models.layers import ACTIVATIONS, activation_layer
from wellfit.settings.params import load_params

VALUES = load_params(Path(__file__).parents[2] / "params.yaml").model.model_dump() | {
    "name": "mlp",
    "hidden": [5, 3],
    "channels": [4, 6],
    "convolutions": 1,
    "residual": False,
    "dropout": 0.25,
    "input_dropout": 0.0,
    "channel_dropout": 0.0,
    "norm": "batch",
    "groups": 2,
    "norm_first": True,
    "activation": "relu",
    "numeric": "standard",
    "embedding": "none",
    "embedding_size": "auto",
    "embedding_scale": 0.1,
    "embedding_width": None,
    "embedding_input": True,
    "category": "one_hot",
    "category_width": "auto",
    "init": "default",
    "init_std": 0.05,
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
        ({}, "Flatten Dropout Linear BatchNorm1d ReLU Dropout Linear BatchNorm1d ReLU Dropout Linear"),
        # Without a probability too, so that it does not change the names of the weights.
        ({"dropout": 0}, "Flatten Dropout Linear BatchNorm1d ReLU Dropout Linear BatchNorm1d ReLU Dropout Linear"),
        ({"norm": "none"}, "Flatten Dropout Linear ReLU Dropout Linear ReLU Dropout Linear"),
        ({"hidden": [4], "norm": "none", "activation": "tanh"}, "Flatten Dropout Linear Tanh Dropout Linear"),
        ({"hidden": []}, "Flatten Dropout Linear"),
        ({"name": "linear"}, "Flatten Dropout Linear"),
        ({"name": "linear", "input_dropout": 0.1}, "Flatten Dropout Linear"),
        ({"hidden": [4], "norm_first": False}, "Flatten Dropout Linear ReLU BatchNorm1d Dropout Linear"),
        ({"hidden": [4], "norm": "layer"}, "Flatten Dropout Linear LayerNorm ReLU Dropout Linear"),
        ({"hidden": [4], "norm": "group"}, "Flatten Dropout Linear GroupNorm ReLU Dropout Linear"),
        ({"hidden": [4], "input_dropout": 0.1}, "Flatten Dropout Linear BatchNorm1d ReLU Dropout Linear"),
        (
            {"hidden": [4, 4, 3, 3], "norm": "none", "dropout": 0, "residual": True},
            "Flatten Dropout Linear ReLU Dropout Residual Linear ReLU Dropout Residual Linear",
        ),
    ],
)
def test_layers_of_an_mlp(changes: dict[str, Any], layers: str) -> None:
    assert kinds(build_model(config(**changes), (6,), 2)) == layers.split()


@pytest.mark.parametrize(
    ("changes", "layers"),
    [
        (
            {"channels": [4]},
            "Conv2d BatchNorm2d MaxPool2d ReLU Dropout AdaptiveAvgPool2d Flatten Linear",
        ),
        (
            {"channels": [4, 6], "norm": "none", "dropout": 0, "activation": "silu"},
            "Conv2d SiLU MaxPool2d Conv2d SiLU MaxPool2d AdaptiveAvgPool2d Flatten Linear",
        ),
        (
            {"channels": [4], "channel_dropout": 0.1, "input_dropout": 0.1, "norm": "instance", "norm_first": False},
            "Dropout Conv2d ReLU InstanceNorm2d MaxPool2d Dropout2d Dropout AdaptiveAvgPool2d Flatten Linear",
        ),
        (
            {"channels": [4, 6], "convolutions": 2, "dropout": 0},
            "Conv2d BatchNorm2d ReLU Conv2d BatchNorm2d MaxPool2d ReLU Conv2d BatchNorm2d ReLU Conv2d BatchNorm2d "
            "MaxPool2d ReLU AdaptiveAvgPool2d Flatten Linear",
        ),
        (
            {"channels": [4], "norm": "layer", "dropout": 0},
            "Conv2d GroupNorm MaxPool2d ReLU AdaptiveAvgPool2d Flatten Linear",
        ),
    ],
)
def test_layers_of_a_cnn(changes: dict[str, Any], layers: str) -> None:
    assert kinds(build_model(config(name="cnn", **changes), (1, 8, 8), 2)) == layers.split()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_an_activation_behind_a_pooling_gives_what_one_before_it_gives(activation: str, norm: str) -> None:
    torch.manual_seed(0)
    settings = {"name": "cnn", "channels": [4, 6], "convolutions": 2, "dropout": 0, "activation": activation}
    model = build_model(config(norm=norm, **settings), (3, 9, 9), 2)
    layers = list(model.children())
    for k, layer in enumerate(layers[1:], start=1):
        if type(layer).__name__ == ACTIVATIONS[activation].layer and isinstance(layers[k - 1], nn.MaxPool2d):
            layers[k - 1], layers[k] = layers[k], layers[k - 1]
    as_in_the_papers = nn.Sequential(*layers)
    assert (kinds(as_in_the_papers) != kinds(model)) != ACTIVATIONS[activation].falls
    x = torch.randn(5, 3, 9, 9)
    outputs = []
    for net in (model, as_in_the_papers):
        net.zero_grad()
        result = net(x)
        result.square().sum().backward()
        outputs.append([result.detach(), *(p.grad.clone() for p in model.parameters())])
    for ours, others in zip(*outputs, strict=True):
        torch.testing.assert_close(ours, others)


def test_a_cnn_of_four_blocks_from_32_to_256_channels() -> None:
    model = build_model(config(name="cnn", channels=[32, 64, 128, 256], dropout=0.3), (3, 32, 32), 10)
    block = "Conv2d BatchNorm2d MaxPool2d ReLU Dropout "
    assert kinds(model) == (4 * block + "AdaptiveAvgPool2d Flatten Linear").split()
    convolutions = [layer for layer in model.children() if isinstance(layer, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels) for c in convolutions] == [(3, 32), (32, 64), (64, 128), (128, 256)]
    assert {c.kernel_size for c in convolutions} == {(3, 3)}
    head = list(model.children())[-1]
    assert (head.in_features, head.out_features) == (256, 10)
    assert model[:-3](torch.randn(2, 3, 32, 32)).shape == (2, 256, 2, 2)  # what the average is taken over


def test_convolutions_of_a_block_follow_each_other_at_its_width() -> None:
    model = build_model(config(name="cnn", channels=[4, 6], convolutions=3), (2, 8, 8), 5)
    convolutions = [layer for layer in model.children() if isinstance(layer, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels) for c in convolutions] == [(2, 4), (4, 4), (4, 4), (4, 6), (6, 6), (6, 6)]


@pytest.mark.parametrize(("shape", "blocks"), [((1, 8, 8), 4), ((1, 2, 1), 2)])
def test_instance_norm_of_one_pixel_is_one_line(shape: tuple[int, ...], blocks: int) -> None:
    settings = {"name": "cnn", "norm": "instance", "dropout": 0}
    message = f"model.channels has {blocks} blocks, which leave an image of {shape[1]} x {shape[2]} pixels one pixel"
    with pytest.raises(WellfitError, match=message):
        build_model(config(channels=[4] * blocks, **settings), shape, 2)
    model = build_model(config(channels=[4] * (blocks - 1), **settings), shape, 2)
    assert model(torch.randn(3, *shape)).isfinite().all()


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
@pytest.mark.parametrize(
    ("norm", "norm_first", "has_bias"),
    [("none", True, True), ("none", False, True), ("batch", True, False), ("batch", False, True)],
)
def test_a_bias_stands_where_no_norm_would_take_it_away(name: str, norm: str, norm_first: bool, has_bias: bool) -> None:
    model = build_model(config(name=name, norm=norm, norm_first=norm_first), (1, 8, 8), 2)
    *inner, head = [layer for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    assert [layer.bias is not None for layer in inner] == [has_bias] * len(inner)
    assert head.bias is not None


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_dropout_has_the_probability_asked_for_and_is_off_in_evaluation(name: str) -> None:
    model = build_model(config(name=name, dropout=0.75, input_dropout=0.75), (1, 8, 8), 2)
    dropouts = [layer for layer in model.modules() if isinstance(layer, nn.Dropout | Dropout)]
    assert [layer.p for layer in dropouts] == [0.75] * 3
    x = torch.randn(16, 1, 8, 8)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


@pytest.mark.parametrize("norm", ["batch", "layer", "instance", "group"])
def test_norms_of_a_cnn_make_mean_0_and_variance_1_over_their_axes(norm: str) -> None:
    settings = {"name": "cnn", "channels": [6], "norm": norm, "groups": 3, "norm_first": False, "activation": "tanh"}
    model = build_model(config(**settings), (1, 8, 8), 2)
    kept: list[Tensor] = []
    model[2].register_forward_hook(lambda layer, inputs, output: kept.append(output))
    model(5 + 3 * torch.randn(16, 1, 8, 8))
    axes = {"batch": (0, 3, 4), "layer": (1, 2, 3, 4), "instance": (3, 4), "group": (2, 3, 4)}[norm]
    grouped = kept[0].view(16, 3, 2, 8, 8)  # images, groups, channels of a group, height, width
    if norm == "batch":
        axes = (0, 3, 4)
    torch.testing.assert_close(grouped.mean(axes), torch.zeros_like(grouped.mean(axes)), atol=1e-5, rtol=0)
    assert grouped.var(axes, unbiased=False).mean().item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_norms_of_an_mlp_look_at_one_row_alone(norm: str) -> None:
    model = build_model(config(hidden=[6, 4], norm=norm, dropout=0), (5,), 2)
    x = torch.randn(9, 5)
    torch.testing.assert_close(model(x)[3:4], model(x[3:4]))


def test_a_residual_adds_the_input() -> None:
    model = build_model(config(hidden=[4, 4], residual=True, norm="none", dropout=0), (4,), 4)
    with torch.no_grad():
        for parameter in model[5].parameters():
            parameter.zero_()  # a block that gives nothing leaves its input as it is
    hidden = torch.randn(3, 4)
    assert torch.equal(model[5](hidden), hidden)
    assert not torch.equal(model[2](hidden), hidden)


def test_channels_are_dropped_as_a_whole_and_inputs_one_by_one() -> None:
    settings = {
        "name": "cnn",
        "channels": [8],
        "channel_dropout": 0.5,
        "input_dropout": 0.5,
        "norm": "none",
        "dropout": 0,
    }
    model = build_model(config(**settings), (1, 8, 8), 2)
    kept: dict[str, Tensor] = {}
    for layer in model:
        layer.register_forward_hook(lambda layer, inputs, output: kept.update({type(layer).__name__: output}))
    model[1].bias.data.fill_(9.0)  # above zero everywhere, so that only dropout makes zeros
    model(torch.ones(32, 1, 8, 8))
    is_zero = kept["Dropout2d"] == 0
    assert 0.3 < is_zero.all(dim=(2, 3)).float().mean() < 0.7
    assert torch.equal(is_zero.all(dim=(2, 3)), is_zero.any(dim=(2, 3)))


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("relu", lambda x: max(x, 0)),
        ("leaky_relu", lambda x: x if x > 0 else 0.01 * x),
        ("tanh", math.tanh),
        ("sigmoid", lambda x: 1 / (1 + math.exp(-x))),
        ("gelu", lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2),
        ("silu", lambda x: x / (1 + math.exp(-x))),
        ("hardswish", lambda x: x * min(max(x + 3, 0), 6) / 6),
    ],
)
def test_activations_are_what_their_names_say(name: str, formula: Callable[[float], float]) -> None:
    values = [-2.0, -0.5, 0.0, 0.3, 4.0]
    expected = [formula(value) for value in values]
    assert activation_layer(name)(torch.tensor(values)).tolist() == pytest.approx(expected, abs=1e-6)
    model = build_model(config(activation=name), (2,), 1)
    assert sum(type(layer) is type(activation_layer(name)) for layer in model.modules()) == 2


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
    code = "import sys, wellfit.models; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"
