"""Batch norm over the rows of all processes: that of a share would be another network's."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.modules.batchnorm import _BatchNorm

from wellfit.training.distributed import Ranks


def synchronize(model: nn.Module, ranks: Ranks) -> None:
    """Makes each batch norm of a network see the rows of all processes while it trains.

    ``torch.nn.SyncBatchNorm`` does so on GPUs only.

    Args:
        model: the network.
        ranks: the processes.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.forward = partial(_normed, module, ranks)  # type: ignore[method-assign]


def _normed(norm: _BatchNorm, ranks: Ranks, x: Tensor) -> Tensor:
    """What torch's batch norm makes of (B, C) or (B, C, H, W), of which x is this process's share, be it empty."""
    mean, variance, batches = norm.running_mean, norm.running_var, norm.num_batches_tracked
    assert mean is not None
    assert variance is not None
    assert batches is not None
    if not norm.training:
        plain: Tensor = type(norm).forward(norm, x)
        return plain
    others = [dim for dim in range(x.ndim) if dim != 1]
    column = (1, -1, *[1] * (x.ndim - 2))
    values = x.float()
    count = values.new_full((1,), values.numel() // values.shape[1])
    sums = _sum(torch.cat([values.sum(others), count]), ranks)
    mean_now, count = sums[:-1] / sums[-1].detach(), sums[-1].detach()
    # From the mean of all rows, not as a difference of squares, in which large means would leave nothing.
    centred = values - mean_now.view(column)
    variance_now = _sum(centred.square().sum(others), ranks) / count
    with torch.no_grad():
        momentum = norm.momentum or 0.0
        mean.lerp_(mean_now, momentum)
        variance.lerp_(variance_now * count / (count - 1), momentum)
        batches.add_(1)
    scale = norm.weight * torch.rsqrt(variance_now + norm.eps)
    outputs = torch.addcmul(norm.bias.view(column), centred, scale.view(column)).to(x.dtype)
    for name in ("drop", "act"):  # which those of timm have in them
        outputs = getattr(norm, name, _unchanged)(outputs)
    return outputs


def _unchanged(outputs: Tensor) -> Tensor:
    return outputs


class _Sum(Function):
    """A sum over all processes. All their losses depend on it, so its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return ranks.sum(part.clone())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.ranks.sum(gradients[0].clone()), None


def _sum(part: Tensor, ranks: Ranks) -> Tensor:
    total: Tensor = _Sum.apply(part, ranks)
    return total
