"""Forward passes without gradients."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from wellfit.interruptions import check
from wellfit.models.kept import Kept
from wellfit.models.packed import PackedNetwork
from wellfit.models.packed_layers import PackedLinear

# Rows of a forward pass, which bound the memory of activations.
CHUNK = 4096
CHUNK_BYTES = 2**24  # of encoded rows: activations of images take ten times as much
PACKED_CHUNK = 2**15  # of all members together


@torch.inference_mode()
def predict(model: nn.Module, inputs: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """Outputs of a model in evaluation mode, which is put back into the mode it was in.

    Args:
        model: from encoded rows to outputs.
        inputs: encodes rows (`wellfit.models.inputs.Inputs`).
        rows: (n, ...) as they are stored.

    Returns:
        (n, outputs), or (K, n, outputs) of a packed network, each member of which sees all rows.
    """
    size = model.size if isinstance(model, PackedNetwork) else None
    seen = getattr(model, "seen", 0)
    most = CHUNK if size is None else max(1, PACKED_CHUNK // size)
    batches = (inputs(chunk) for chunk in rows.split(chunk_rows(rows.shape[1:], seen, most)))
    return _outputs(model, (batch if size is None else batch.expand(size, *batch.shape) for batch in batches))


def chunk_rows(shape: Sequence[int], seen: int = 0, most: int = CHUNK) -> int:
    """Rows of a forward pass, by the shape of one as it is stored, or by how many numbers the network sees of it."""
    return max(1, min(most, CHUNK_BYTES // (4 * max(seen, math.prod(shape)))))


@torch.inference_mode()
def predict_own(model: PackedNetwork, inputs: Callable[[Tensor], Tensor], rows: Tensor, shape: Sequence[int]) -> Tensor:
    """Outputs of a packed network, each member of which sees rows of its own, in evaluation mode.

    Args:
        model: from encoded rows to outputs.
        inputs: gives encoded rows by their indices.
        rows: (K, n) indices.
        shape: of an encoded row.

    Returns:
        (K, n, outputs).
    """
    chunks = rows.split(max(1, chunk_rows(shape, most=PACKED_CHUNK) // len(rows)), dim=1)
    return _outputs(model, (inputs(chunk.flatten()).unflatten(0, chunk.shape) for chunk in chunks))


def _outputs(model: nn.Module, batches: Iterable[Tensor]) -> Tensor:
    was_training = model.training
    model.eval()
    parts, kept = [], Kept()
    for batch in batches:
        parts.append(kept.copy_of(model(batch)))
        check()
    model.train(was_training)
    return torch.cat(parts, dim=-2)


def multiply_adds(model: nn.Module, inputs: Callable[[Tensor], Tensor], row: Tensor) -> int:
    """Multiply-adds of linear layers and convolutions in a forward pass over one row, of all members together.

    Args:
        model: from encoded rows to outputs.
        inputs: encodes rows.
        row: (1, ...) as it is stored.
    """
    # Those of a pack are chained, and not called one by one.
    total = sum(m.weight.numel() for m in model.modules() if isinstance(m, PackedLinear))

    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        positions = output[0, 0].numel()  # 1 for a linear layer, H * W for a convolution
        total += cast(Tensor, layer.weight).numel() * positions

    layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    predict(model, inputs, row)
    for hook in hooks:
        hook.remove()
    return total
