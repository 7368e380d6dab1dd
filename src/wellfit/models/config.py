"""The section ``model`` of ``params.yaml``."""

from typing import Annotated, Literal

from pydantic import Field

from wellfit.config import Config, Widths

Init = Literal[
    "default",
    "xavier_uniform",
    "xavier_normal",
    "kaiming_uniform",
    "kaiming_normal",
    "lecun",
    "orthogonal",
    "normal",
    "zeros",
]

# Torchvision's, and the greatest number that divides all their widths, for group norms.
TORCHVISION = {
    "resnet18": 64,
    "resnet34": 64,
    "resnet50": 64,
    "vgg11": 64,
    "mobilenet_v3_small": 8,
    "efficientnet_b0": 8,
}
# Those with an activation that is theirs.
BUILT_WITH = {"mobilenet_v3_small": "hardswish", "efficientnet_b0": "silu"}


class ModelConfig(Config):
    name: Literal[
        "mlp", "cnn", "linear", "resnet18", "resnet34", "resnet50", "vgg11", "mobilenet_v3_small", "efficientnet_b0"
    ]
    hidden: Annotated[Widths, Field(min_length=0, max_length=64)]
    residual: bool
    channels: Annotated[Widths, Field(min_length=1, max_length=16)]
    convolutions: int = Field(ge=1, le=16)
    dropout: float = Field(ge=0, lt=1)
    input_dropout: float = Field(ge=0, lt=1)
    channel_dropout: float = Field(ge=0, lt=1)
    norm: Literal["batch", "layer", "instance", "group", "none"]
    groups: int = Field(ge=1)
    norm_first: bool
    activation: Literal["relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "hardswish"]
    init: Init
    init_std: float = Field(gt=0)
