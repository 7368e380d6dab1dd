"""A network of timm and a head that are trained together: all of it, or the last stages."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Self

import torch
from torch import Tensor, nn

from wellfit.models import ModelConfig
from wellfit.models.mlp import mlp
from wellfit.models.pooled import PooledOutputs
from wellfit.models.pretrained import Body, network_of_timm
from wellfit.models.stages import before_the_last, cut


class FineTuned(nn.Sequential):
    """A body and a head that are trained together.

    Where parameters of the body are fixed, the running statistics of their norms stay as they are, too.

    Args:
        body: from pixels, or maps, to features.
        head: from features to outputs.
        fixed: parameters of the body that are not trained.
    """

    def __init__(self, body: Body | LastStages, head: nn.Module, fixed: Iterable[nn.Parameter] = ()) -> None:
        super().__init__(OrderedDict(body=body, head=head))
        for parameter in fixed:
            parameter.requires_grad_(False)
        self._fixed = [module for module in body.net.modules() if _is_fixed(module)]

    @property
    def seen(self) -> int:
        """Numbers of an image as the network sees it; 0 where it sees maps as they are stored."""
        return getattr(self.body, "seen", 0)

    def train(self, mode: bool = True) -> Self:
        """Sets the mode of what is trained; the stages that are not stay in evaluation mode."""
        super().train(mode)
        for module in self._fixed:
            module.eval()
        return self


class LastStages(nn.Module):
    """The last stages of a network of timm, from maps of the stages before to features.

    Args:
        config: the section ``model``.
        shape: of the maps of an image.

    Attributes:
        width: number of features.
        fixed: parameters that are not trained, some of which may be behind the cut.

    Raises:
        WellfitError: timm is not installed, has no such network, or it cannot be cut.
    """

    def __init__(self, config: ModelConfig, shape: tuple[int, ...]) -> None:
        super().__init__()
        net = network_of_timm(config.name).to(memory_format=torch.channels_last)
        self.fixed = before_the_last(net, config.partial)
        self.net = cut(net, config).last
        self._pooled = PooledOutputs(net, config)
        with torch.no_grad():
            self.width = self.eval()(torch.zeros(1, *shape)).shape[1]
        self.train()

    def forward(self, maps: Tensor) -> Tensor:
        """From maps (B, *shape) float32 to (B, width) features."""
        x = maps.contiguous(memory_format=torch.channels_last) if maps.ndim == 4 else maps
        return self._pooled.features(self.net(x))


def fine_tuned(config: ModelConfig, input_shape: tuple[int, ...], outputs: int) -> FineTuned:
    """A network of timm with the head of ``model.hidden``, with random weights.

    Args:
        config: the section ``model``.
        input_shape: (1 or 3, height, width) of an image.
        outputs: width of the head.

    Returns:
        A module from pixels, (B, *input_shape), to (B, outputs).
    """
    body = Body(config, input_shape)
    fixed = before_the_last(body.net, config.partial) if config.freeze == "partial" else ()
    return FineTuned(body, mlp(config, (body.width,), outputs), fixed)


def last_stages(config: ModelConfig, input_shape: tuple[int, ...], outputs: int) -> FineTuned:
    """The last stages of a network of timm with the head of ``model.hidden``, with random weights.

    Args:
        config: the section ``model``.
        input_shape: of the maps that the stages before make of an image.
        outputs: width of the head.

    Returns:
        A module from maps, (B, *input_shape), to (B, outputs).
    """
    body = LastStages(config, input_shape)
    return FineTuned(body, mlp(config, (body.width,), outputs), body.fixed)


def _is_fixed(module: nn.Module) -> bool:
    parameters = list(module.parameters())
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)
