"""The multilayer perceptron."""

import math

from torch import nn

from wellfit.models.config import ModelConfig
from wellfit.models.layers import ACTIVATIONS


def mlp(config: ModelConfig, input_shape: tuple[int, ...], outputs: int) -> nn.Sequential:
    """Linear, batch norm, activation and dropout for each width of ``model.hidden``, then a linear head.

    Args:
        config: the section ``model``; no hidden layer gives a linear model.
        input_shape: shape of one sample; it is flattened.
        outputs: width of the head.

    Returns:
        A module from (B, *input_shape) to (B, outputs).
    """
    layers: list[nn.Module] = [nn.Flatten()]
    width = math.prod(input_shape)
    for hidden in config.hidden:
        # The norm subtracts the mean, so a bias before it would do nothing.
        layers.append(nn.Linear(width, hidden, bias=config.norm == "none"))
        if config.norm == "batch":
            layers.append(nn.BatchNorm1d(hidden))
        layers.append(ACTIVATIONS[config.activation]())
        if config.dropout > 0:
            layers.append(nn.Dropout(config.dropout))
        width = hidden
    layers.append(nn.Linear(width, outputs))
    return nn.Sequential(*layers)
