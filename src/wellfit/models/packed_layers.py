"""The layers of K networks side by side: those of ``mlp``, with a first dimension K."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional

from wellfit.models.chain import ChainLayer
from wellfit.models.dropout import Dropout, DropoutStream


def stacked(parameters: Sequence[Tensor]) -> nn.Parameter:
    """One parameter for those of K members, with a first dimension K."""
    return nn.Parameter(torch.stack([parameter.detach() for parameter in parameters]))


class PackedLinear(ChainLayer):
    """``torch.nn.Linear`` for K members."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = stacked([layer.weight for layer in layers])  # (K, out, in)
        self.bias = None if layers[0].bias is None else stacked([layer.bias for layer in layers])  # (K, out)

    def run(self, x: Tensor, *, is_own: bool) -> tuple[Tensor, Any]:
        # The backward pass is outside of autocast: it multiplies what is multiplied here, in the same precision.
        dtype, bias = _product_dtype(x), self.bias
        x, weights = kept = x.to(dtype), self.weight.to(dtype)
        return torch.bmm(weights, x) if bias is None else torch.baddbmm(bias[:, :, None].to(dtype), weights, x), kept

    def back(self, slope: Tensor, kept: Any, *, is_own: bool, needed: bool) -> Tensor:
        x, weights = kept
        # Not baddbmm_: where members are rows apart, it copies, and with one thread alone.
        cast(Tensor, self.weight.grad).add_(torch.bmm(slope, x.transpose(1, 2)))
        if self.bias is not None:
            cast(Tensor, self.bias.grad).add_(slope.sum(2))
        return torch.bmm(weights.transpose(1, 2), slope) if needed else slope


class PackedBatchNorm(ChainLayer):
    """``torch.nn.BatchNorm1d`` for K members."""

    def __init__(self, layers: Sequence[nn.BatchNorm1d]) -> None:
        super().__init__()
        self.eps, self.momentum = layers[0].eps, cast(float, layers[0].momentum)
        self.weight, self.bias = (stacked([getattr(layer, n) for layer in layers]) for n in ("weight", "bias"))
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, torch.stack([getattr(layer, name) for layer in layers]))

    def run(self, x: Tensor, *, is_own: bool) -> tuple[Tensor, Any]:
        if self.training:
            cast(Tensor, self.num_batches_tracked).add_(1)
        members, units, rows = x.shape
        columns = x.reshape(1, members * units, rows)  # as if one network had K times the units
        weight, bias, mean, var = self._flat()
        outputs, *saved = torch.native_batch_norm(
            columns, weight, bias, mean, var, self.training, self.momentum, self.eps
        )
        return outputs.view(x.shape), (columns, saved, self.training)

    def back(self, slope: Tensor, kept: Any, *, is_own: bool, needed: bool) -> Tensor:
        columns, saved, training = kept
        weight, _, mean, var = self._flat()
        x_slope, weight_slope, bias_slope = torch.ops.aten.native_batch_norm_backward(
            slope.reshape(columns.shape), columns, weight, mean, var, *saved, training, self.eps, [True, True, True]
        )
        cast(Tensor, self.weight.grad).add_(weight_slope.view(self.weight.shape))
        cast(Tensor, self.bias.grad).add_(bias_slope.view(self.bias.shape))
        return cast(Tensor, x_slope.view(slope.shape))

    def _flat(self) -> tuple[Tensor, ...]:
        """Weight, bias, mean and variance of all units."""
        mean, var = cast(Tensor, self.running_mean), cast(Tensor, self.running_var)
        return self.weight.reshape(-1), self.bias.reshape(-1), mean.view(-1), var.view(-1)


class PackedReLU(ChainLayer):
    """``torch.nn.ReLU``. Its slope is zero where its output is, also where a dropout after it has made that zero."""

    def run(self, x: Tensor, *, is_own: bool) -> tuple[Tensor, Any]:
        outputs = x.relu_() if is_own else x.relu()
        return outputs, outputs.detach()

    def back(self, slope: Tensor, kept: Any, *, is_own: bool, needed: bool) -> Tensor:
        return cast(Tensor, torch.ops.aten.threshold_backward(slope, kept, 0))


class PackedDropout(ChainLayer):
    """`wellfit.models.dropout.Dropout` for K members."""

    def __init__(self, layers: Sequence[Dropout]) -> None:
        super().__init__()
        stream = DropoutStream([], 0, [])
        for layer in layers:
            stream = stream.extended(range(len(stream)), layer.stream)
        self.stream = stream

    def run(self, x: Tensor, *, is_own: bool) -> tuple[Tensor, Any]:
        if not self.training or self.stream.drops_nothing:
            return x, None
        factors = self.stream.factors(x[0].numel(), x.device).view(x.shape)
        return x.mul_(factors) if is_own else (x * factors).to(x.dtype), factors

    def back(self, slope: Tensor, kept: Any, *, is_own: bool, needed: bool) -> Tensor:
        if kept is None:
            return slope
        return slope.mul_(kept) if is_own else (slope * kept).to(slope.dtype)


class PackedNorm(nn.Module):
    """``torch.nn.LayerNorm`` and ``torch.nn.GroupNorm`` of rows of units, for K members."""

    def __init__(self, layers: Sequence[nn.LayerNorm] | Sequence[nn.GroupNorm]) -> None:
        super().__init__()
        first = layers[0]
        self.eps, self.groups = first.eps, first.num_groups if isinstance(first, nn.GroupNorm) else 1
        self.weight, self.bias = (stacked([getattr(layer, n) for layer in layers]) for n in ("weight", "bias"))

    def forward(self, x: Tensor) -> Tensor:
        """From (K, C, B) to the same."""
        members, units, rows = x.shape
        groups = x.transpose(1, 2).reshape(members, rows, self.groups, units // self.groups)
        normed = functional.layer_norm(groups, groups.shape[-1:], eps=self.eps)
        normed = normed.reshape(members, rows, units).transpose(1, 2)
        outputs: Tensor = _Affine.apply(normed, self.weight, self.bias)
        return outputs


class _Affine(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.x, ctx.weight, ctx.bias = x, weight, bias
        return torch.addcmul(bias[:, :, None], x, weight[:, :, None])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        ctx.weight.grad.add_((gradient * ctx.x).sum(2))
        ctx.bias.grad.add_(gradient.sum(2))
        return gradient * ctx.weight[:, :, None], None, None


def _product_dtype(x: Tensor) -> torch.dtype:
    """In which matrices are multiplied: that of autocast, where it is on."""
    kind = x.device.type
    is_on = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return torch.get_autocast_dtype(kind) if is_on else x.dtype
