"""Networks, by the name in ``model.name``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from wellfit.models.config import ModelConfig


def build_model(config: ModelConfig, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Builds the network with freshly initialized weights, drawn from torch's global generator.

    Args:
        config: the section ``model``.
        input_shape: shape of one sample: (features,) for tables, (channels, height, width) for images.
        outputs: number of classes, or 1 for a regression.

    Returns:
        A module from (B, *input_shape) float32 to (B, outputs) float32.
    """
    from wellfit.models.cnn import cnn
    from wellfit.models.config import TORCHVISION
    from wellfit.models.init import initialize
    from wellfit.models.mlp import mlp
    from wellfit.models.vision import vision_model

    if config.name == "cnn":
        model: nn.Module = cnn(config, input_shape, outputs)
    elif config.name in TORCHVISION:
        model = vision_model(config, input_shape, outputs)
    else:
        hidden = () if config.name == "linear" else config.hidden
        model = mlp(config.model_copy(update={"hidden": hidden}), input_shape, outputs)
    initialize(model, config)
    return model
