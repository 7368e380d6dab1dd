"""The multilayer perceptron."""

import math

from torch import nn

from wellfit.models.config import ModelConfig
from wellfit.models.dropout import Dropout
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
    # Dropouts are there whatever their probability, so that it does not change the names of the weights.
    layers: list[nn.Module] = [nn.Flatten(), Dropout(config.input_dropout, layer=0)]
    width = math.prod(input_shape)
    for number, hidden in enumerate(config.hidden, start=1):
        block: list[nn.Module] = [nn.Linear(width, hidden, bias=has_bias(config))]
        block += normed_activation(config, hidden, images=False)
        block.append(Dropout(config.dropout, layer=number))
        layers += [Residual(*block)] if config.residual and number > 1 and width == hidden else block
        width = hidden
    layers.append(nn.Linear(width, outputs))
    return nn.Sequential(*layers)
