"""Initial weights, by their names in ``params.yaml``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from wellfit.models.layers import ACTIVATIONS

if TYPE_CHECKING:
    from torch import Tensor, nn

    from wellfit.models import ModelConfig


class Scale(NamedTuple):
    """What decides how large weights are: the activation, by torch's name and as its gain, and ``model.init_std``."""

    activation: str
    gain: float
    std: float


def _orthogonal(init: Any, weight: Tensor, scale: Scale) -> Tensor:
    contiguous = weight.new_empty(weight.shape)  # torch's function takes no channels_last
    orthogonal: Tensor = init.orthogonal_(contiguous, scale.gain)
    return orthogonal


# From torch.nn.init, which this file does not import, the weight to fill, and its scale; None: as torch makes it.
INITS: dict[str, Callable[[Any, Tensor, Scale], Tensor] | None] = {
    "default": None,
    "xavier_uniform": lambda init, weight, scale: init.xavier_uniform_(weight, scale.gain),  # Glorot and Bengio 2010
    "xavier_normal": lambda init, weight, scale: init.xavier_normal_(weight, scale.gain),
    # He et al. 2015
    "kaiming_uniform": lambda init, weight, scale: init.kaiming_uniform_(weight, 0.01, nonlinearity=scale.activation),
    "kaiming_normal": lambda init, weight, scale: init.kaiming_normal_(weight, 0.01, nonlinearity=scale.activation),
    # LeCun et al. 1998: variance 1 / inputs of a unit
    "lecun": lambda init, weight, scale: init.normal_(weight, std=weight[0].numel() ** -0.5),
    "orthogonal": lambda init, weight, scale: weight.copy_(_orthogonal(init, weight, scale)),  # Saxe et al. 2014
    "normal": lambda init, weight, scale: init.normal_(weight, std=scale.std),
    "zeros": lambda init, weight, scale: init.zeros_(weight),
}


def initialize(model: nn.Module, config: ModelConfig) -> None:
    """Draws the weights of linear layers and convolutions anew, and sets their biases to zero.

    ``default`` leaves everything as torch makes it. Gains are those of the activation, as
    ``torch.nn.init.calculate_gain`` has them; gelu, silu and hardswish count as relu.

    Args:
        model: any network.
        config: the section ``model``.
    """
    import torch
    from torch.nn import Conv2d, Linear, init

    fill = INITS[config.init]
    if fill is None:
        return
    activation = ACTIVATIONS[config.activation].gain
    scale = Scale(activation, init.calculate_gain(activation), config.init_std)  # type: ignore[arg-type]
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, Linear | Conv2d):
                fill(init, layer.weight, scale)
                if layer.bias is not None:
                    init.zeros_(layer.bias)
