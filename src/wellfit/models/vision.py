"""Networks of torchvision, with random initial weights, adapted to small and to grey images.

Made for images of 224 pixels, they quarter height and width before they look for anything. Images below `SMALL` pixels
keep them: ResNets begin with a 3 x 3 convolution of stride 1 and no pooling, as their authors' own for CIFAR-10 (He et
al. 2016), and the first two convolutions of stride 2 of MobileNet and EfficientNet get stride 1; VGG begins at full
resolution as it is.

``model.dropout`` stands in front of the head. All functions take the section ``model``, the shape (channels, height,
width) of an image with any number of channels, and the width of the head, and return a module from (B, *input_shape) to
(B, outputs).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from wellfit.models import ModelConfig
from wellfit.models.layers import activation_layer, norm_layer

SMALL = 64  # pixels of the shorter side below which an image cannot spare its resolution


def resnet(config: ModelConfig, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """The residual network of ``model.name``."""
    from torchvision.models import resnet

    channels = input_shape[0]
    model: Any = getattr(resnet, config.name)(num_classes=outputs)
    if _is_small(input_shape):
        model.conv1 = nn.Conv2d(channels, 64, kernel_size=3, padding=1, bias=False)
        model.maxpool = nn.Identity()
    else:
        model.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
    _draw(model.conv1)
    if config.dropout > 0:
        model.fc = nn.Sequential(nn.Dropout(config.dropout), model.fc)
    _replace(model, nn.ReLU, lambda _: activation_layer(config.activation))
    return _finished(model, config)


def vgg(config: ModelConfig, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Configuration A of Simonyan and Zisserman (2015), with a linear head over the average of all positions in place
    of 120 million weights between 7 x 7 positions and three layers."""
    from torchvision.models import vgg

    features = vgg.make_layers(vgg.cfgs["A"], batch_norm=True)
    features[0] = nn.Conv2d(input_shape[0], 64, kernel_size=3, padding=1)
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            _draw(layer)
        elif isinstance(layer, nn.MaxPool2d):
            layer.ceil_mode = _is_small(input_shape)  # an image of one pixel stays one pixel
    _replace(features, nn.ReLU, lambda _: activation_layer(config.activation))
    dropout = [nn.Dropout(config.dropout)] if config.dropout > 0 else []
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), *dropout, nn.Linear(512, outputs)]
    return _finished(nn.Sequential(features, *head), config)


def mobilenet(config: ModelConfig, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """The small MobileNetV3 (Howard et al. 2019)."""
    from torchvision.models import mobilenet_v3_small

    return _finished(_of_depthwise(mobilenet_v3_small(dropout=config.dropout), input_shape, outputs), config)


def efficientnet(config: ModelConfig, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """EfficientNet-B0 (Tan and Le 2019).

    It drops whole residual branches with ``model.dropout`` as well, up to that probability in the deepest, for its
    authors gave both one value.
    """
    from torchvision.models import efficientnet_b0

    model = efficientnet_b0(dropout=config.dropout, stochastic_depth_prob=config.dropout)
    return _finished(_of_depthwise(model, input_shape, outputs), config)


def _of_depthwise(model: Any, input_shape: tuple[int, ...], outputs: int) -> Any:
    """Adapts a network of depthwise convolutions, whose activation is its own."""
    # A new head, for theirs begin at a size that suits a thousand classes.
    model.classifier[-1] = nn.Linear(model.classifier[-1].in_features, outputs)
    stem = model.features[0]
    stem[0] = nn.Conv2d(input_shape[0], stem[0].out_channels, kernel_size=3, stride=2, padding=1, bias=False)
    _draw(stem[0])
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 0.1  # torch's own: with MobileNet's 0.01, statistics take hundreds of steps to be of use
    if _is_small(input_shape):
        halving = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d) and layer.stride == (2, 2)]
        for layer in halving[:2]:
            layer.stride = (1, 1)
    return model


def _is_small(input_shape: tuple[int, ...]) -> bool:
    return min(input_shape[1:]) < SMALL


def _finished(model: nn.Module, config: ModelConfig) -> nn.Module:
    """With the norms of ``model.norm``, dropout of inputs, and the order in memory that convolutions compute in."""
    if config.norm != "batch":
        _replace(model, nn.BatchNorm2d, lambda norm: norm_layer(config, norm.num_features, images=True))
    if config.input_dropout > 0:
        model = nn.Sequential(nn.Dropout(config.input_dropout), model)
    return model.to(memory_format=torch.channels_last)


def _draw(convolution: nn.Conv2d) -> None:
    """Initial weights as torchvision draws those of all these networks (He et al. 2015)."""
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)


def _replace(model: nn.Module, kind: type[nn.Module], make: Callable[[Any], nn.Module]) -> None:
    """Puts another layer in the place of each one of a kind."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, kind):
                setattr(parent, name, make(child))
