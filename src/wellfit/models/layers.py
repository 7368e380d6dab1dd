"""Activations and norms, by their names in ``params.yaml``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import nn

    from wellfit.models import ModelConfig


class Activation(NamedTuple):
    """An activation.

    Attributes:
        layer: class of ``torch.nn``.
        gain: the name by which ``torch.nn.init.calculate_gain`` knows it, or its like.
        falls: whether a larger number may give a smaller one.
    """

    layer: str
    gain: str
    falls: bool = False


ACTIVATIONS = {
    "relu": Activation("ReLU", "relu"),
    "leaky_relu": Activation("LeakyReLU", "leaky_relu"),
    "tanh": Activation("Tanh", "tanh"),
    "sigmoid": Activation("Sigmoid", "sigmoid"),
    "gelu": Activation("GELU", "relu", falls=True),
    "silu": Activation("SiLU", "relu", falls=True),
    "hardswish": Activation("Hardswish", "relu", falls=True),
}

# From torch.nn, which this file does not import, the section, the width, and whether there are a height and a width.
NORMS: dict[str, Callable[[Any, ModelConfig, int, bool], nn.Module]] = {
    "batch": lambda nn, config, width, images: nn.BatchNorm2d(width) if images else nn.BatchNorm1d(width),
    # Of an image over channels, height and width, which is a group norm of one group.
    "layer": lambda nn, config, width, images: nn.GroupNorm(1, width) if images else nn.LayerNorm(width),
    "instance": lambda nn, config, width, images: nn.InstanceNorm2d(width, affine=True),
    "group": lambda nn, config, width, images: nn.GroupNorm(config.groups, width),
    "none": lambda nn, config, width, images: nn.Identity(),
}


def activation_layer(name: str) -> nn.Module:
    """The activation of a name."""
    from torch import nn

    layer: nn.Module = getattr(nn, ACTIVATIONS[name].layer)()
    return layer


def norm_layer(config: ModelConfig, width: int, *, images: bool) -> nn.Module:
    """The norm of ``model.norm``.

    Args:
        config: the section ``model``.
        width: units, or channels of an image.
        images: whether what is normed has a height and a width.
    """
    from torch import nn

    return NORMS[config.norm](nn, config, width, images)


def normed_activation(config: ModelConfig, width: int, *, images: bool) -> list[nn.Module]:
    """The activation and the norm, in the order of ``model.norm_first``.

    Args:
        config: the section ``model``.
        width: units, or channels of an image.
        images: whether what is normed has a height and a width.
    """
    activation = activation_layer(config.activation)
    if config.norm == "none":
        return [activation]
    norm = norm_layer(config, width, images=images)
    return [norm, activation] if config.norm_first else [activation, norm]


def has_bias(config: ModelConfig) -> bool:
    """Whether a layer needs a bias of its own: a norm right after it subtracts the mean and has a shift itself."""
    return config.norm == "none" or not config.norm_first
