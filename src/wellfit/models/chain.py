"""Layers of K networks with backward passes of their own, and chains of them that autograd sees as one function.

Activations are (K, units, rows): a product with (K, units, inputs) weights gives that order, and the rows of a unit,
which batch norm averages, stand beside each other. Weights take no detour through autograd's accumulation: the
backward pass adds to their ``grad``, which has to be there (`wellfit.training.flat.FlatParameters`). Within a chain,
layers write over what nobody else looks at, and autograd records none of them: a tenth less of a small network's step.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, cast

from torch import Tensor, nn
from torch.autograd import Function


class ChainLayer(nn.Module):
    """A layer for K members, from (K, units, B) to (K, its units, B)."""

    def forward(self, x: Tensor) -> Tensor:
        return _run_chain(x, [self])

    def run(self, x: Tensor, *, is_own: bool) -> tuple[Tensor, Any]:
        """The forward pass.

        Args:
            x: inputs.
            is_own: whether they may be written over, as the layer before made them.

        Returns:
            The outputs, and what :meth:`back` needs. Outputs that are kept are detached, or they would hold themselves,
            and it must not matter that a dropout after the layer writes zeros into them.
        """
        raise NotImplementedError

    def back(self, slope: Tensor, kept: Any, *, is_own: bool, needed: bool) -> Tensor:
        """The backward pass; adds to the gradients of the weights.

        Args:
            slope: of the outputs.
            kept: what :meth:`run` gave.
            is_own: whether it may be written over.
            needed: whether the slope of the inputs is; else anything may be returned.

        Returns:
            The slope of the inputs.
        """
        raise NotImplementedError


def run_layers(x: Tensor, layers: Iterable[nn.Module]) -> Tensor:
    """Calls layers one after the other, and chains those that can be.

    Args:
        x: (K, units, B), or what the first layer takes.
        layers: of any kind.
    """
    for is_chain, run in groupby(layers, lambda layer: isinstance(layer, ChainLayer)):
        if is_chain:
            x = _run_chain(x, cast(list[ChainLayer], list(run)))
        else:
            for layer in run:
                x = layer(x)
    return x


def _run_chain(x: Tensor, layers: Sequence[ChainLayer]) -> Tensor:
    # By a parameter, autograd knows that there is something to learn.
    outputs: Tensor = _Chain.apply(x, layers, next(_parameters(layers), None))
    return outputs


def _parameters(layers: Iterable[ChainLayer]) -> Iterator[nn.Parameter]:
    return (parameter for layer in layers for parameter in layer.parameters(recurse=False))


class _Chain(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, layers: Sequence[ChainLayer], _: nn.Parameter | None) -> Tensor:
        inputs, ctx.layers, ctx.kept = x, layers, []
        for layer in layers:
            x, kept = layer.run(x, is_own=x is not inputs)
            ctx.kept.append(kept)
        return x

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, None, None]:
        layers, given, needed = ctx.layers, slope, ctx.needs_input_grad[0]
        # The slope of a network's inputs is of no use to anybody.
        first = 0 if needed else next(i for i, layer in enumerate(layers) if any(True for _ in _parameters([layer])))
        for i in range(len(layers) - 1, first - 1, -1):
            slope = layers[i].back(slope, ctx.kept[i], is_own=slope is not given, needed=needed or i > first)
        return slope if needed else None, None, None
