"""Initial weights, by the name in ``model.init``."""

from typing import Literal

import torch
from torch import nn

from wellfit.models.config import ModelConfig

Kind = Literal["relu", "leaky_relu", "tanh", "sigmoid"]
KINDS: dict[str, Kind] = {
    "relu": "relu",
    "leaky_relu": "leaky_relu",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "gelu": "relu",
    "silu": "relu",
    "hardswish": "relu",
}


@torch.no_grad()
def initialize(model: nn.Module, config: ModelConfig) -> None:
    """Draws the weights of linear layers and convolutions anew, and sets their biases to zero.

    ``default`` leaves everything as torch makes it. Gains are those of the activation, as
    ``torch.nn.init.calculate_gain`` has them; gelu, silu and hardswish count as relu.

    Args:
        model: any network.
        config: the section ``model``.
    """
    if config.init == "default":
        return
    kind = KINDS[config.activation]
    gain = nn.init.calculate_gain(kind)
    for layer in model.modules():
        if not isinstance(layer, nn.Linear | nn.Conv2d):
            continue
        weight = layer.weight
        match config.init:
            case "xavier_uniform":  # Glorot and Bengio 2010
                nn.init.xavier_uniform_(weight, gain)
            case "xavier_normal":
                nn.init.xavier_normal_(weight, gain)
            case "kaiming_uniform":  # He et al. 2015
                nn.init.kaiming_uniform_(weight, nonlinearity=kind, a=0.01)
            case "kaiming_normal":
                nn.init.kaiming_normal_(weight, nonlinearity=kind, a=0.01)
            case "lecun":  # LeCun et al. 1998: variance 1 / inputs of a unit
                nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
            case "orthogonal":  # Saxe et al. 2014
                weight.copy_(nn.init.orthogonal_(torch.empty(weight.shape), gain))  # it takes no channels_last
            case "normal":
                nn.init.normal_(weight, std=config.init_std)
            case "zeros":
                nn.init.zeros_(weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
