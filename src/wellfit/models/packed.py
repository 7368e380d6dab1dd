"""K networks of one architecture as one: a matrix product for all of a layer, an activation for all."""

import copy
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from wellfit.models.chain import run_layers
from wellfit.models.dropout import Dropout, DropoutStream
from wellfit.models.embedding import ColumnEmbedding
from wellfit.models.layers import ACTIVATIONS
from wellfit.models.mlp import Residual
from wellfit.models.packed_layers import (
    PackedBatchNorm,
    PackedDropout,
    PackedLinear,
    PackedNorm,
    PackedReLU,
    stacked,
)


class PackedNetwork(nn.Sequential):
    """The layers of K networks, from (K, B, *input_shape) to (K, B, outputs).

    Parameters and buffers have the names that those of a single network have, and a first dimension K.
    """

    @property
    def size(self) -> int:
        """K."""
        return len(next(self.parameters()))

    def forward(self, x: Tensor) -> Tensor:
        return run_layers(x, self).transpose(1, 2)


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


class _Columns(nn.Module):
    """Stands in the place of ``Flatten``: from (K, B, *input_shape) to (K, inputs, B)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).transpose(1, 2)


class _Residual(Residual):
    def forward(self, x: Tensor) -> Tensor:
        return x + run_layers(x, self)


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
            return _Residual(*map(_packed, _children(modules)))
        case nn.ReLU():
            return PackedReLU()
    assert type(modules[0]).__name__ in {activation.layer for activation in ACTIVATIONS.values()}, modules[0]
    return modules[0]


def _stacked_copy(modules: Sequence[nn.Module]) -> nn.Module:
    """A layer whose operations take a first dimension K as they are, with weights and buffers that have it."""
    layer = copy.deepcopy(modules[0])
    for path, part in layer.named_modules():
        for name, _ in list(part.named_parameters(recurse=False)):
            setattr(part, name, stacked([each.get_submodule(path).get_parameter(name) for each in modules]))
        for name, _ in list(part.named_buffers(recurse=False)):
            setattr(part, name, torch.stack([each.get_submodule(path).get_buffer(name) for each in modules]))
    return layer


def _children(modules: Sequence[nn.Module]) -> list[tuple[nn.Module, ...]]:
    return list(zip(*(module.children() for module in modules), strict=True))
