"""Features of images from inside a network: the outputs of modules that ``model.pooled`` names, averaged."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn

from wellfit.errors import WellfitError
from wellfit.models import ModelConfig, pooled_module


class PooledOutputs:
    """The outputs of the modules of ``model.pooled``, which are kept while a network computes.

    Args:
        net: a network of timm.
        config: the section ``model``.

    Raises:
        WellfitError: the network has no such module; or, when it computes, outputs of one are no features of images.
    """

    def __init__(self, net: nn.Module, config: ModelConfig) -> None:
        self._outputs: dict[int, list[Tensor]] = {}  # by thread: a server predicts in several at once
        self._has_channels_last = getattr(net, "output_fmt", "NCHW") == "NHWC"  # as timm says it of Swin and others
        self._entries = ", ".join(config.pooled)
        for entry in config.pooled:
            name, fields = pooled_module(entry)
            _module_of(net, config.name, name).register_forward_hook(partial(self._keep, entry, fields))

    def _keep(self, entry: str, fields: int, module: nn.Module, inputs: Any, output: Any) -> None:
        shape = tuple(output.shape[1:]) if isinstance(output, Tensor) else ()
        outputs = f"but the outputs of the module are {' x '.join(map(str, shape)) or type(output).__name__}"
        axis = channels_of(shape, is_last=self._has_channels_last)
        if axis is None:
            raise WellfitError(f"model.pooled: {entry} needs features, tokens or square maps, {outputs}")
        maps = output.movedim(axis, 1)
        if fields > 1 and (maps.ndim != 4 or fields > min(maps.shape[2:])):
            raise WellfitError(f"model.pooled: {entry} needs maps of {fields} x {fields} positions or more, {outputs}")
        self._outputs.setdefault(get_ident(), []).append(averaged(maps, fields))

    def features(self, output: Tensor) -> Tensor:
        """What was kept; the output of the network itself where nothing was.

        Args:
            output: of the network, which this thread has just computed.
        """
        found, rows = self._outputs.pop(get_ident(), None), output.shape[0]
        if found is None:
            return output
        if isinstance(rows, int) and any(each.shape[0] != rows for each in found):  # a number is none in an export
            raise WellfitError(f"model.pooled: a module has not one output for each image, among {self._entries}")
        return torch.cat(found, 1)


def channels_of(shape: Sequence[int], *, is_last: bool) -> int | None:
    """Where the channels of a module's outputs are, counted with B; None where that cannot be known.

    Within one network, some modules have them second and others last. Maps are square, as the images are.

    Args:
        shape: of the outputs without B: features (C,), tokens (N, C), or maps (C, H, W) or (H, W, C).
        is_last: whether those of maps are last that look alike either way.
    """
    if len(shape) < 3:
        return len(shape) or None
    first, second, *others = shape
    looks_second, looks_last = [second] == others, len(others) == 1 and first == second
    if looks_second and looks_last:
        return 3 if is_last else 1
    return 1 if looks_second else 3 if looks_last else None


def averaged(outputs: Tensor, fields: int) -> Tensor:
    """Means over positions, or over those of each field of a grid; neighbouring fields share a row that is in both.

    Args:
        outputs: of a module, (B, C, H, W), (B, C, N) of tokens, or (B, C).
        fields: of the grid in each direction; 1 for those that are no maps.

    Returns:
        (B, C * fields * fields).
    """
    if outputs.ndim < 4:
        return outputs.flatten(2).mean(2) if outputs.ndim == 3 else outputs
    rows, columns = (_bounds(size, fields) for size in outputs.shape[2:])
    # Not adaptive_avg_pool2d: its gradients on a GPU are not the same twice.
    means = [outputs[:, :, a:b, c:d].flatten(2).mean(2) for a, b in rows for c, d in columns]
    return torch.cat(means, 1)


def _bounds(size: int, fields: int) -> list[tuple[int, int]]:
    """Where fields begin and end, as adaptive pooling has them."""
    return [(i * size // fields, -(-(i + 1) * size // fields)) for i in range(fields)]


def _module_of(net: nn.Module, network: str, name: str) -> nn.Module:
    try:
        return net.get_submodule(name)
    except AttributeError:
        from difflib import get_close_matches

        close = get_close_matches(name, [known for known, _ in net.named_modules() if known], n=3)
        hint = f"near it are {', '.join(close)}" if close else "`named_modules()` of the network lists them"
        raise WellfitError(f"model.pooled: {network} has no module {name}; {hint}") from None
