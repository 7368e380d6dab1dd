"""The multilayer perceptron."""

import math

from torch import nn

from wellfit.models.config import ModelConfig
from wellfit.models.layers import Residual, has_bias, normed_activation


def mlp(config: ModelConfig, input_shape: tuple[int, ...], outputs: int) -> nn.Sequential:
    """Linear, norm, activation and dropout for each width of ``model.hidden``, then a linear head.

    Args:
        config: the section ``model``; no hidden layer gives a linear model. With ``model.residual``, a hidden layer as
            wide as the one before it adds its input to its output.
        input_shape: shape of one sample; it is flattened.
        outputs: width of the head.

    Returns:
        A module from (B, *input_shape) to (B, outputs).
    """
    layers: list[nn.Module] = [nn.Flatten()]
    if config.input_dropout > 0:
        layers.append(nn.Dropout(config.input_dropout))
    width = math.prod(input_shape)
    for number, hidden in enumerate(config.hidden):
        block: list[nn.Module] = [nn.Linear(width, hidden, bias=has_bias(config))]
        block += normed_activation(config, hidden, images=False)
        if config.dropout > 0:
            block.append(nn.Dropout(config.dropout))
        layers += [Residual(*block)] if config.residual and number > 0 and width == hidden else block
        width = hidden
    layers.append(nn.Linear(width, outputs))
    return nn.Sequential(*layers)
