"""A network's weights as one vector, and its gradients as another."""

import torch
from torch import Tensor, nn

ALIGNMENT = 16  # numbers: each tensor begins where a cache line does, and the padding in between stays zero


class FlatParameters:
    """Moves the parameters of a model into one vector and their gradients into another.

    The model's own parameters become views of them, so that a step takes one call to clear the gradients, one for
    their norm and one for the optimizer, whatever the number of layers. Of a small network's step on a CPU those
    calls, one per layer, were a third.

    Args:
        model: on its device already, in whatever memory format it computes.

    Attributes:
        vector: all weights, matrices and kernels first, then biases, scales and shifts; its ``grad`` are all gradients,
            zeros to begin with, to which the backward pass adds.
        n_matrices: how many numbers of ``vector`` belong to matrices and kernels.
        layers: each matrix or kernel as (units, inputs of a unit), a view of ``vector`` with its gradient.
        rest: each other parameter, likewise.
    """

    def __init__(self, model: nn.Module) -> None:
        parameters = list(model.parameters())
        matrices = [p for p in parameters if p.ndim > 1]
        others = [p for p in parameters if p.ndim <= 1]
        self.n_matrices = sum(_padded(p) for p in matrices)
        like = parameters[0]
        values = torch.zeros(sum(_padded(p) for p in parameters), dtype=like.dtype, device=like.device)
        gradients = torch.zeros_like(values)
        self.vector = _parameter(values, gradients)
        self.layers: list[nn.Parameter] = []
        self.rest: list[nn.Parameter] = []
        start = 0
        for p in matrices + others:
            weights, gradient = (vector.as_strided(p.shape, p.stride(), start) for vector in (values, gradients))
            weights.copy_(p.detach())
            p.data, p.grad = weights, gradient
            part = slice(start, start + p.numel())
            if p.ndim > 1:
                # The units stand one after another in every memory format.
                unit_rows = (p.shape[0], p.numel() // p.shape[0])
                self.layers.append(_parameter(values[part].view(unit_rows), gradients[part].view(unit_rows)))
            else:
                self.rest.append(_parameter(values[part], gradients[part]))
            start += _padded(p)

    @property
    def gradients(self) -> Tensor:
        """The gradients of ``vector``."""
        assert self.vector.grad is not None
        return self.vector.grad


def _padded(parameter: Tensor) -> int:
    """Numbers that a parameter takes in the vector."""
    return -(-parameter.numel() // ALIGNMENT) * ALIGNMENT


def _parameter(values: Tensor, gradient: Tensor) -> nn.Parameter:
    parameter = nn.Parameter(values)
    parameter.grad = gradient
    return parameter
