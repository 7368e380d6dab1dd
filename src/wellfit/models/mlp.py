"""The multilayer perceptron."""

import math

from torch import Tensor, nn

from wellfit.models import ModelConfig
from wellfit.models.dropout import Dropout
from wellfit.models.layers import has_bias, normed_activation


class Residual(nn.Sequential):
    """Layers whose input is added to their output (He et al. 2016); both have the same shape."""

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return x + outputs


def mlp(config: ModelConfig, input_shape: tuple[int, ...], outputs: int) -> nn.Sequential:
    """Linear, norm, activation and dropout for each width of ``model.hidden``, then a linear head.

    Args:
        config: the section ``model``. With ``model.residual``, a hidden layer as
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


def linear(config: ModelConfig, input_shape: tuple[int, ...], outputs: int) -> nn.Sequential:
    """The multilayer perceptron without hidden layers; arguments and result as of `mlp`."""
    return mlp(config.model_copy(update={"hidden": ()}), input_shape, outputs)
