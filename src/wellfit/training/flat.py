"""A network's weights as one vector, and its gradients as another."""

import torch
from torch import Tensor, nn

ALIGNMENT = 16  # numbers: each tensor begins where a cache line does, and the padding in between stays zero


class FlatParameters:
    """Moves the parameters of a model into one vector and their gradients into another.

    The model's own parameters become views of them, so that a step takes one call to clear the gradients, one for
    their norm and one or two for the optimizer, whatever the number of layers. Of a small network's step on a CPU
    those calls, one per layer, were a third.

    Args:
        model: on its device already, in whatever memory format it computes.

    Attributes:
        decayed: matrices and kernels one after another, for the optimizer; its ``grad`` is a part of ``gradients``.
        plain: biases, scales and shifts in the same way.
        gradients: of all of them, zeros to begin with; the backward pass adds to it.
    """

    def __init__(self, model: nn.Module) -> None:
        parameters = list(model.parameters())
        matrices = [p for p in parameters if p.ndim > 1]
        rest = [p for p in parameters if p.ndim <= 1]
        n_decayed, n_plain = (sum(_padded(p) for p in group) for group in (matrices, rest))
        like = parameters[0]
        values = torch.zeros(n_decayed + n_plain, dtype=like.dtype, device=like.device)
        self.gradients = torch.zeros_like(values)
        start = 0
        for parameter in matrices + rest:
            weights = _window(values, start, parameter)
            weights.copy_(parameter.detach())
            parameter.data = weights
            parameter.grad = _window(self.gradients, start, parameter)
            start += _padded(parameter)
        self.decayed, self.plain = (nn.Parameter(part) for part in values.split([n_decayed, n_plain]))
        self.decayed.grad, self.plain.grad = self.gradients.split([n_decayed, n_plain])


def _padded(parameter: Tensor) -> int:
    """Numbers that a parameter takes in the vector."""
    return -(-parameter.numel() // ALIGNMENT) * ALIGNMENT


def _window(vector: Tensor, start: int, parameter: Tensor) -> Tensor:
    """The view of a vector that has a parameter's shape and memory format."""
    return vector.as_strided(parameter.shape, parameter.stride(), start)
