import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from wellfit.models import MODELS, ModelConfig, build_model
from wellfit.models.vision import SMALL, resnet
from wellfit.settings.params import load_params

SHIPPED = load_params(Path(__file__).parents[2] / "params.yaml").model
HEAVY = [pytest.param(name, marks=pytest.mark.slow) for name in ("resnet34", "resnet50")]
LIGHT = ["resnet18", "vgg11", "mobilenet_v3_small", "efficientnet_b0"]


def config(name: str, **changes: Any) -> ModelConfig:
    activation = MODELS[name].activation or "relu"
    return ModelConfig.model_validate(
        SHIPPED.model_dump() | {"name": name, "dropout": 0.0, "activation": activation} | changes
    )


def made(name: str, *shape: int, outputs: int = 3, **changes: Any) -> Any:
    return build_model(config(name, **changes), shape, outputs)


def all_of(model: nn.Module, kind: type[nn.Module]) -> list[Any]:
    return [layer for layer in model.modules() if isinstance(layer, kind)]


def features_of(model: Any, x: Tensor) -> tuple[int, ...]:
    """Height and width of what the average is taken over."""
    seen: list[tuple[int, ...]] = []
    pool = all_of(model, nn.AdaptiveAvgPool2d)[-1]
    pool.register_forward_hook(lambda layer, inputs, output: seen.append(tuple(inputs[0].shape[2:])))
    model.eval()
    model(x)
    return seen[-1]


def test_each_name_is_here() -> None:
    named = set(LIGHT) | {str(mark.values[0]) for mark in HEAVY}
    assert named == {name for name, model in MODELS.items() if model.builder.startswith("vision:")}


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 6), (3, 28, 28)])
@pytest.mark.parametrize("name", [*LIGHT, *HEAVY])
def test_small_images_of_any_channels_become_outputs(name: str, shape: tuple[int, ...]) -> None:
    model = made(name, *shape, outputs=4)
    result = model(torch.randn(4, *shape))
    assert result.shape == (4, 4)
    assert result.dtype == torch.float32
    assert result.isfinite().all()
    assert all_of(model, nn.Conv2d)[0].in_channels == shape[0]


@pytest.mark.parametrize("name", [*LIGHT, *HEAVY])
def test_from_a_size_on_it_is_torchvisions_own_network(name: str) -> None:
    from torchvision import models

    x = torch.randn(2, 3, SMALL, SMALL + 8)
    original = getattr(models, f"{name}_bn" if name == "vgg11" else name)(num_classes=5).eval()
    model = made(name, 3, SMALL, SMALL + 8, outputs=5).eval()
    if name == "vgg11":  # whose head is another
        model, original = model[0], original.features
    model.load_state_dict(original.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(model(x), original(x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "small", "large"), [("resnet18", 8, 32), ("vgg11", 32, 32), ("efficientnet_b0", 8, 32)]
)
def test_small_images_keep_their_resolution_at_the_start(name: str, small: int, large: int) -> None:
    assert features_of(made(name, 1, 32, 64), torch.randn(1, 1, 32, 64)) == (32 // small, 64 // small)
    assert features_of(made(name, 1, 64, 96), torch.randn(1, 1, 64, 96)) == (64 // large, 96 // large)


def test_mobilenet_keeps_its_resolution_at_the_start() -> None:
    model = made("mobilenet_v3_small", 1, 32, 32).eval()
    assert model.features(torch.randn(1, 1, 32, 32)).shape[2:] == (4, 4)


@pytest.mark.parametrize("name", LIGHT)
def test_the_stem_is_drawn_as_the_rest(name: str) -> None:
    stem = all_of(made(name, 1, 28, 28), nn.Conv2d)[0]
    expected = math.sqrt(2 / (stem.out_channels * stem.weight[0, 0].numel()))
    assert stem.weight.std().item() == pytest.approx(expected, rel=0.15)
    assert stem.bias is None or not stem.bias.any()


@pytest.mark.parametrize("name", [*LIGHT, "resnet34", "resnet50"])
def test_the_divisor_is_that_of_all_widths(name: str) -> None:
    widths = [layer.num_features for layer in all_of(made(name, 1, 8, 8), nn.BatchNorm2d)]
    assert math.gcd(*widths) == MODELS[name].widths


@pytest.mark.parametrize(("norm", "groups"), [("layer", 1), ("group", 8)])
@pytest.mark.parametrize("name", LIGHT)
def test_every_norm_is_the_one_asked_for(name: str, norm: str, groups: int) -> None:
    n_norms = len(all_of(made(name, 1, 8, 8), nn.BatchNorm2d))
    model = made(name, 1, 8, 8, norm=norm, groups=8)
    assert not all_of(model, nn.BatchNorm2d)
    assert [layer.num_groups for layer in all_of(model, nn.GroupNorm)] == [groups] * n_norms
    model.eval()
    x = torch.randn(5, 1, 8, 8)
    torch.testing.assert_close(model(x)[2:3], model(x[2:3]), rtol=1e-3, atol=1e-4)  # an image is normed by itself


@pytest.mark.parametrize("name", LIGHT)
def test_running_statistics_are_of_use_after_a_few_steps(name: str) -> None:
    model, x = made(name, 1, 8, 8), 5 + torch.randn(64, 1, 8, 8)
    first = all_of(model, nn.BatchNorm2d)[0]
    seen: list[Tensor] = []
    first.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0].mean((0, 2, 3))))
    with torch.no_grad():
        for _ in range(60):
            model(x)
    torch.testing.assert_close(first.running_mean, seen[-1], rtol=0.01, atol=0.01)
    assert {layer.momentum for layer in all_of(model, nn.BatchNorm2d)} == {0.1}


def test_vgg_goes_without_norms() -> None:
    model = made("vgg11", 1, 8, 8, norm="none")
    assert not all_of(model, nn.BatchNorm2d)
    assert not all_of(model, nn.GroupNorm)


@pytest.mark.parametrize("name", ["resnet18", "vgg11"])
def test_every_activation_is_the_one_asked_for(name: str) -> None:
    n_activations = len(all_of(made(name, 1, 8, 8), nn.ReLU))
    model = made(name, 1, 8, 8, activation="gelu")
    assert not all_of(model, nn.ReLU)
    assert len(all_of(model, nn.GELU)) == n_activations


@pytest.mark.parametrize(("name", "own"), [("efficientnet_b0", [nn.SiLU]), ("mobilenet_v3_small", [nn.Hardswish])])
def test_others_keep_their_own(name: str, own: list[type[nn.Module]]) -> None:
    model = made(name, 1, 8, 8)
    assert all(all_of(model, kind) for kind in own)
    assert bool(all_of(model, nn.ReLU)) == (name == "mobilenet_v3_small")  # which begins with some


@pytest.mark.parametrize("name", LIGHT)
def test_dropout_stands_before_the_head(name: str) -> None:
    model = made(name, 1, 8, 8, dropout=0.75)
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Dropout | nn.Linear)]
    assert isinstance(layers[-2], nn.Dropout)
    assert {layer.p for layer in all_of(model, nn.Dropout)} == {0.75}
    x = torch.randn(8, 1, 8, 8)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


@pytest.mark.parametrize("name", LIGHT)
def test_without_dropout_nothing_is_drawn(name: str) -> None:
    model, x = made(name, 1, 8, 8), torch.randn(8, 1, 8, 8)
    assert torch.equal(model(x), model(x))  # in training mode


def test_efficientnet_skips_branches_up_to_the_dropout() -> None:
    from torchvision.ops import StochasticDepth

    skipped = [layer.p for layer in all_of(made("efficientnet_b0", 1, 8, 8, dropout=0.4), StochasticDepth)]
    assert skipped == pytest.approx([0.4 * i / len(skipped) for i in range(len(skipped))])


def test_inputs_are_dropped() -> None:
    model = made("resnet18", 1, 8, 8, input_dropout=0.5)
    x = torch.ones(64, 1, 8, 8)
    assert 0.4 < (model[0](x) == 0).float().mean() < 0.6


@pytest.mark.parametrize("name", LIGHT)
def test_every_parameter_learns(name: str) -> None:
    model = made(name, 1, 12, 12)
    model(torch.randn(16, 1, 12, 12)).square().sum().backward()
    still = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not still


@pytest.mark.parametrize("name", LIGHT)
def test_the_global_seed_decides_the_initial_weights(name: str) -> None:
    def weights(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return torch.cat([parameter.flatten() for parameter in made(name, 1, 8, 8).parameters()])

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


@pytest.mark.parametrize("name", LIGHT)
def test_initial_weights_can_be_chosen(name: str) -> None:
    stds = [layer.weight.std().item() for layer in all_of(made(name, 1, 8, 8, init="normal"), nn.Conv2d)]
    assert stds == pytest.approx([SHIPPED.init_std] * len(stds), rel=0.4)


def test_networks_of_others_are_imported_only_for_them() -> None:
    code = (
        "import sys; from wellfit.settings.params import load_params; from wellfit.models import build_model\n"
        "build_model(load_params().model, (1, 8, 8), 2); print('torchvision' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=60)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_it_computes_in_the_order_of_convolutions() -> None:
    model = resnet(config("resnet18"), (1, 8, 8), 2)
    assert model.layer1[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[union-attr,index]
