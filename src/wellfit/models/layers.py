"""Layers that networks share."""

from torch import Tensor, nn

from wellfit.models.config import ModelConfig

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "hardswish": nn.Hardswish,
}


def normed_activation(config: ModelConfig, width: int, *, images: bool) -> list[nn.Module]:
    """The activation and the norm, in the order of ``model.norm_first``.

    Args:
        config: the section ``model``.
        width: units, or channels of an image.
        images: whether what is normed has a height and a width.
    """
    activation = ACTIVATIONS[config.activation]()
    if config.norm == "none":
        return [activation]
    norm = norm_layer(config, width, images=images)
    return [norm, activation] if config.norm_first else [activation, norm]


def has_bias(config: ModelConfig) -> bool:
    """Whether a layer needs a bias of its own: a norm right after it subtracts the mean and has a shift itself."""
    return config.norm == "none" or not config.norm_first


def norm_layer(config: ModelConfig, width: int, *, images: bool) -> nn.Module:
    """The norm of ``model.norm``.

    Args:
        config: the section ``model``.
        width: units, or channels of an image.
        images: whether what is normed has a height and a width.
    """
    match config.norm:
        case "none":
            return nn.Identity()
        case "batch":
            return nn.BatchNorm2d(width) if images else nn.BatchNorm1d(width)
        case "layer":  # of an image over channels, height and width, which is a group norm of one group
            return nn.GroupNorm(1, width) if images else nn.LayerNorm(width)
        case "instance":
            return nn.InstanceNorm2d(width, affine=True)
    return nn.GroupNorm(config.groups, width)


class Residual(nn.Sequential):
    """Layers whose input is added to their output (He et al. 2016); both have the same shape."""

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return x + outputs
