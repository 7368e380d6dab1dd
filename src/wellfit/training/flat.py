"""A network's weights as one vector, and its gradients as another: a row each for every member of a pack."""

import torch
from torch import Tensor, nn

ALIGNMENT = 16  # numbers: each tensor begins where a cache line does, and the padding in between stays zero


class FlatParameters:
    """Moves the trained parameters of a model into one matrix and their gradients into another, a row a member.

    The model's own parameters become views of them, so that a step takes one call to clear the gradients, one for
    their norms and one for the optimizer, whatever the number of layers. Of a small network's step on a CPU those
    calls, one per layer, were a third.

    Args:
        model: on its device already, in whatever memory format it computes.
        members: K of a packed model, whose parameters are (K, ...); None of a single one, which is a pack of one.

    Attributes:
        values: (K, N) all weights, matrices and kernels first, then biases, scales and shifts.
        gradients: (K, N) zeros to begin with, to which the backward pass adds.
        n_matrices: how many numbers of a row belong to matrices and kernels.
        layers: each matrix or kernel as (K, units, inputs of a unit), a view of ``values`` with its gradient.
        rest: each other parameter as (K, numbers), likewise.
        is_packed: whether the model is a pack, be it of one.
    """

    def __init__(self, model: nn.Module, members: int | None = None) -> None:
        parameters = [p for p in model.parameters() if p.requires_grad]
        self.is_packed = members is not None
        dims = 2 if self.is_packed else 1  # of a bias
        matrices = [p for p in parameters if p.ndim > dims]
        others = [p for p in parameters if p.ndim <= dims]
        size = members or 1
        self.n_matrices = sum(_padded(p, size) for p in matrices)
        like = parameters[0]
        width = sum(_padded(p, size) for p in parameters)
        self.values = torch.zeros(size, width, dtype=like.dtype, device=like.device)
        self.gradients = torch.zeros_like(self.values)
        self.layers: list[nn.Parameter] = []
        self.rest: list[nn.Parameter] = []
        start = 0
        for p in matrices + others:
            # A packed parameter keeps the strides of a member, and steps from row to row between members.
            strides = p.stride() if members is None else (width, *p.stride()[1:])
            weights, gradient = (rows.as_strided(p.shape, strides, start) for rows in (self.values, self.gradients))
            weights.copy_(p.detach())
            p.data, p.grad = weights, gradient
            numbers = p.numel() // size
            part = (slice(None), slice(start, start + numbers))
            if p.ndim > dims:
                # The units stand one after another in every memory format.
                unit_rows = (size, p.shape[dims - 1], -1)
                self.layers.append(
                    with_gradient(self.values[part].view(unit_rows), self.gradients[part].view(unit_rows))
                )
            else:
                self.rest.append(with_gradient(self.values[part], self.gradients[part]))
            start += _padded(p, size)


def _padded(parameter: Tensor, members: int) -> int:
    """Numbers that a member's part of a parameter takes in its row."""
    return -(-parameter.numel() // members // ALIGNMENT) * ALIGNMENT


def with_gradient(values: Tensor, gradient: Tensor) -> nn.Parameter:
    """A parameter that looks at both, of one shape."""
    parameter = nn.Parameter(values)
    parameter.grad = gradient
    return parameter
