"""The section ``model`` of ``params.yaml``."""

from typing import Annotated, Literal

from pydantic import Field

from wellfit.config import Config, Widths


class ModelConfig(Config):
    name: Literal["mlp", "cnn"]
    hidden: Annotated[Widths, Field(min_length=0, max_length=64)]
    channels: Annotated[Widths, Field(min_length=1, max_length=16)]
    dropout: float = Field(ge=0, lt=1)
    norm: Literal["none", "batch"]
    activation: Literal["relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu"]
