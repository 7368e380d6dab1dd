"""K networks of one architecture as one: a matrix product for all of a layer, an activation for all.

Activations are (K, units, rows): a product with (K, units, inputs) weights gives that order, and the rows of a unit,
which batch norm averages, stand beside each other. Packed weights take no detour through autograd's accumulation: the
backward pass adds to their ``grad``, which has to be there (`wellfit.training.flat.FlatParameters`).
"""

import copy
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional

from wellfit.models.dropout import Dropout, DropoutStream
from wellfit.models.embedding import ColumnEmbedding
from wellfit.models.layers import ACTIVATIONS
from wellfit.models.mlp import Residual


class PackedNetwork(nn.Sequential):
    """The layers of K networks, from (K, B, *input_shape) to (K, B, outputs).

    Parameters and buffers have the names that those of a single network have, and a first dimension K.
    """

    @property
    def size(self) -> int:
        """K."""
        return len(next(self.parameters()))

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return outputs.transpose(1, 2)


def packed(models: Sequence[nn.Module]) -> PackedNetwork:
    """Stacks networks that ``mlp`` made, each with its own weights, statistics, and dropout.

    Args:
        models: K of one architecture.
    """
    return PackedNetwork(*map(_packed, _children(models)))


def member_state(model: nn.Module, member: int) -> dict[str, Tensor]:
    """A copy of a member's weights and buffers, by their names in a single network."""
    return {name: tensor[member].detach().clone() for name, tensor in model.state_dict().items()}


def change_members(model: nn.Module, kept: Sequence[int], added: nn.Module | None) -> None:
    """Keeps some members of a packed network, in this order, and puts others behind them, at the start of an epoch.

    Args:
        model: K members; has ``len(kept)`` and those of ``added`` afterwards.
        kept: indices of the members to keep.
        added: packed likewise, or None.
    """
    rows = torch.as_tensor(list(kept), dtype=torch.int64)
    new = dict(added.state_dict()) if added is not None else {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        parts = [tensor.detach()[rows.to(tensor.device)], *([new[name]] if added is not None else [])]
        tensor.data = torch.cat(parts)
    others = added.modules() if added is not None else model.modules()
    for module, other in zip(model.modules(), others, strict=True):
        if isinstance(module, PackedDropout):
            stream = cast(PackedDropout, other).stream if added is not None else DropoutStream([], 0, [])
            module.stream = module.stream.extended(kept, stream)


class PackedLinear(nn.Module):
    """``torch.nn.Linear`` for K members."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = _stacked([layer.weight for layer in layers])  # (K, out, in)
        self.bias = None if layers[0].bias is None else _stacked([layer.bias for layer in layers])  # (K, out)

    def forward(self, x: Tensor) -> Tensor:
        """From (K, in, B) to (K, out, B)."""
        outputs: Tensor = _Linear.apply(x, self.weight, self.bias)
        return outputs


class PackedBatchNorm(nn.Module):
    """``torch.nn.BatchNorm1d`` for K members."""

    def __init__(self, layers: Sequence[nn.BatchNorm1d]) -> None:
        super().__init__()
        self.eps, self.momentum = layers[0].eps, cast(float, layers[0].momentum)
        self.weight, self.bias = (_stacked([getattr(layer, n) for layer in layers]) for n in ("weight", "bias"))
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, torch.stack([getattr(layer, name) for layer in layers]))

    def forward(self, x: Tensor) -> Tensor:
        """From (K, C, B) to the same."""
        if self.training:
            cast(Tensor, self.num_batches_tracked).add_(1)
        outputs: Tensor = _BatchNorm.apply(
            x, self.weight, self.bias, self.running_mean, self.running_var, self.training, self.momentum, self.eps
        )
        return outputs


class PackedNorm(nn.Module):
    """``torch.nn.LayerNorm`` and ``torch.nn.GroupNorm`` of rows of units, for K members."""

    def __init__(self, layers: Sequence[nn.LayerNorm] | Sequence[nn.GroupNorm]) -> None:
        super().__init__()
        first = layers[0]
        self.eps, self.groups = first.eps, first.num_groups if isinstance(first, nn.GroupNorm) else 1
        self.weight, self.bias = (_stacked([getattr(layer, n) for layer in layers]) for n in ("weight", "bias"))

    def forward(self, x: Tensor) -> Tensor:
        """From (K, C, B) to the same."""
        members, units, rows = x.shape
        groups = x.transpose(1, 2).reshape(members, rows, self.groups, units // self.groups)
        normed = functional.layer_norm(groups, groups.shape[-1:], eps=self.eps)
        normed = normed.reshape(members, rows, units).transpose(1, 2)
        outputs: Tensor = _Affine.apply(normed, self.weight, self.bias)
        return outputs


class PackedDropout(nn.Module):
    """`wellfit.models.dropout.Dropout` for K members."""

    def __init__(self, layers: Sequence[Dropout]) -> None:
        super().__init__()
        stream = DropoutStream([], 0, [])
        for layer in layers:
            stream = stream.extended(range(len(stream)), layer.stream)
        self.stream = stream

    def forward(self, x: Tensor) -> Tensor:
        """From (K, units, B) to the same."""
        if not self.training or self.stream.drops_nothing:
            return x
        return x * self.stream.factors(x[0].numel(), x.device).view(x.shape)


class _Linear(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        # The backward pass is outside of autocast: it multiplies what is multiplied here, in the same precision.
        dtype = _product_dtype(x)
        ctx.weight, ctx.bias, ctx.factors = weight, bias, (x.to(dtype), weight.to(dtype))
        x, weights = ctx.factors
        return torch.bmm(weights, x) if bias is None else torch.baddbmm(bias[:, :, None].to(dtype), weights, x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None]:
        x, weights = ctx.factors
        # Not baddbmm_: where members are rows apart, it copies, and with one thread alone.
        ctx.weight.grad.add_(torch.bmm(gradient, x.transpose(1, 2)))
        if ctx.bias is not None:
            ctx.bias.grad.add_(gradient.sum(2))
        needed = ctx.needs_input_grad[0]  # the first layer's is of no use to anybody
        return torch.bmm(weights.transpose(1, 2), gradient) if needed else None, None, None


def _product_dtype(x: Tensor) -> torch.dtype:
    """In which matrices are multiplied: that of autocast, where it is on."""
    kind = x.device.type
    is_on = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return torch.get_autocast_dtype(kind) if is_on else x.dtype


class _BatchNorm(Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        var: Tensor,
        training: bool,
        momentum: float,
        eps: float,
    ) -> Tensor:
        members, units, rows = x.shape
        columns = x.reshape(1, members * units, rows)  # as if one network had K times the units
        outputs, *saved = torch.native_batch_norm(
            columns, weight.reshape(-1), bias.reshape(-1), mean.view(-1), var.view(-1), training, momentum, eps
        )
        ctx.columns, ctx.weight, ctx.bias, ctx.statistics = columns, weight, bias, (mean, var)
        ctx.saved, ctx.training, ctx.eps = saved, training, eps
        return outputs.view(x.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        columns, weight, bias = ctx.columns, ctx.weight, ctx.bias
        x_gradient, weight_gradient, bias_gradient = torch.ops.aten.native_batch_norm_backward(
            gradient.reshape(columns.shape),
            columns,
            weight.reshape(-1),
            *(statistic.view(-1) for statistic in ctx.statistics),
            *ctx.saved,
            ctx.training,
            ctx.eps,
            [True, True, True],
        )
        weight.grad.add_(weight_gradient.view(weight.shape))
        bias.grad.add_(bias_gradient.view(bias.shape))
        return x_gradient.view(gradient.shape), None, None, None, None, None, None, None


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


class _Columns(nn.Module):
    """Stands in the place of ``Flatten``: from (K, B, *input_shape) to (K, inputs, B)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).transpose(1, 2)


def _packed(modules: Sequence[nn.Module]) -> nn.Module:
    """One layer for the same layer of each member."""
    match modules[0]:
        case nn.Flatten():
            return _Columns()
        case ColumnEmbedding():
            return _stacked_copy(modules)
        case nn.Linear():
            return PackedLinear(cast(Sequence[nn.Linear], modules))
        case Dropout():
            return PackedDropout(cast(Sequence[Dropout], modules))
        case nn.BatchNorm1d():
            return PackedBatchNorm(cast(Sequence[nn.BatchNorm1d], modules))
        case nn.LayerNorm() | nn.GroupNorm():
            return PackedNorm(cast(Sequence[nn.LayerNorm], modules))
        case Residual():
            return Residual(*map(_packed, _children(modules)))
    assert type(modules[0]).__name__ in {activation.layer for activation in ACTIVATIONS.values()}, modules[0]
    return modules[0]


def _stacked_copy(modules: Sequence[nn.Module]) -> nn.Module:
    """A layer whose operations take a first dimension K as they are, with weights and buffers that have it."""
    layer = copy.deepcopy(modules[0])
    for path, part in layer.named_modules():
        for name, _ in list(part.named_parameters(recurse=False)):
            setattr(part, name, _stacked([each.get_submodule(path).get_parameter(name) for each in modules]))
        for name, _ in list(part.named_buffers(recurse=False)):
            setattr(part, name, torch.stack([each.get_submodule(path).get_buffer(name) for each in modules]))
    return layer


def _children(modules: Sequence[nn.Module]) -> list[tuple[nn.Module, ...]]:
    return list(zip(*(module.children() for module in modules), strict=True))


def _stacked(parameters: Sequence[Tensor]) -> nn.Parameter:
    return nn.Parameter(torch.stack([parameter.detach() for parameter in parameters]))
