"""A small convolutional network for small images."""

import torch
from torch import nn

from wellfit.errors import WellfitError
from wellfit.models import ModelConfig
from wellfit.models.dropout import Dropout
from wellfit.models.layers import ACTIVATIONS, has_bias, normed_activation


def cnn(config: ModelConfig, input_shape: tuple[int, ...], outputs: int) -> nn.Sequential:
    """Blocks of 3 x 3 convolutions, each with a 2 x 2 max-pooling and dropout; global average pooling; a linear head.

    Args:
        config: the section ``model``; ``channels`` has one entry a block, in which ``convolutions`` follow each other.
        input_shape: (channels, height, width) of an image, of any size.
        outputs: width of the head.

    Returns:
        A module from (B, *input_shape) to (B, outputs).

    Raises:
        WellfitError: the last block's instance norm would have one pixel to normalize.
    """
    if config.norm == "instance" and max(input_shape[1:]) <= 2 ** (len(config.channels) - 1):
        raise WellfitError(
            f"model.channels has {len(config.channels)} blocks, which leave an image of {input_shape[1]} x "
            f"{input_shape[2]} pixels one pixel, too few for model.norm instance; use fewer, or layer (params.yaml)"
        )
    layers: list[nn.Module] = [Dropout(config.input_dropout, layer=0)] if config.input_dropout > 0 else []
    width = input_shape[0]
    for block, channels in enumerate(config.channels, start=1):
        for _ in range(config.convolutions):
            layers.append(nn.Conv2d(width, channels, kernel_size=3, padding=1, bias=has_bias(config)))
            layers += normed_activation(config, channels, images=True)
            width = channels
        # ceil_mode: an image of one pixel stays one pixel, whatever the number of blocks.
        pooling = nn.MaxPool2d(2, ceil_mode=True)
        # An activation that never falls gives the same after a maximum as before it, and has a quarter to do.
        last_is_activation = config.norm == "none" or config.norm_first
        layers.insert(len(layers) - (last_is_activation and not ACTIVATIONS[config.activation].falls), pooling)
        if config.channel_dropout > 0:
            layers.append(nn.Dropout2d(config.channel_dropout))
        if config.dropout > 0:
            layers.append(Dropout(config.dropout, layer=block))
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, outputs)]
    # The order in memory that convolutions compute in: 1.4 to 1.7 times as fast on a CPU.
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)
