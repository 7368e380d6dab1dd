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


class ModelConfig(Config):
    name: Literal["mlp", "cnn", "linear"]
    hidden: Annotated[Widths, Field(min_length=0, max_length=64)]
    residual: bool
    channels: Annotated[Widths, Field(min_length=1, max_length=16)]
    dropout: float = Field(ge=0, lt=1)
    input_dropout: float = Field(ge=0, lt=1)
    channel_dropout: float = Field(ge=0, lt=1)
    norm: Literal["batch", "layer", "instance", "group", "none"]
    groups: int = Field(ge=1)
    norm_first: bool
    activation: Literal["relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu"]
    init: Init
    init_std: float = Field(gt=0)
