import gc
import weakref

import pytest
import torch
from torch import Tensor, nn

from wellfit.models.chain import ChainLayer, run_layers
from wellfit.models.dropout import Dropout
from wellfit.models.packed_layers import PackedDropout, PackedLinear, PackedReLU

from .test_packed import with_gradients


def layers(p: float = 0.0) -> list[nn.Module]:
    torch.manual_seed(0)
    linear = PackedLinear([nn.Linear(3, 4).double() for _ in range(2)])
    return [with_gradients(linear), PackedReLU(), PackedDropout([Dropout(p, 0), Dropout(p, 0)])]


def one_by_one(x: Tensor, chained: list[nn.Module]) -> Tensor:
    for layer in chained:
        x = layer(x)
    return x


@pytest.mark.parametrize("p", [0.0, 0.5])
def test_a_chain_is_its_layers_one_after_the_other(p: float) -> None:
    x = torch.randn(2, 3, 5, dtype=torch.float64)
    found = []
    for call in (run_layers, one_by_one):
        own, chain = x.clone().requires_grad_(), layers(p)
        call(own, chain).square().sum().backward()
        found.append([own.grad, *(parameter.grad for parameter in chain[0].parameters())])
    for chained, alone in zip(*found, strict=True):
        assert alone.any()
        torch.testing.assert_close(chained, alone)


@pytest.mark.parametrize("order", [slice(None), slice(1, None), slice(2, None)])
def test_what_others_look_at_is_not_written_over(order: slice) -> None:
    x = torch.randn(2, 4 if order.start else 3, 5, dtype=torch.float64).requires_grad_()
    before, slope = x.detach().clone(), torch.randn(2, 4, 5, dtype=torch.float64)
    given = slope.clone()
    run_layers(x, layers(0.5)[order]).backward(slope)
    assert torch.equal(x, before)
    assert torch.equal(slope, given)


def test_layers_of_other_kinds_stand_between_chains() -> None:
    chain = [*layers(), nn.Tanh(), PackedReLU()]
    x = torch.randn(2, 3, 5, dtype=torch.float64)
    assert torch.equal(run_layers(x, chain), one_by_one(x, chain))


def test_outputs_are_gone_when_nobody_looks_at_them() -> None:
    """They would stay until the garbage is collected, and fill the memory of a GPU before."""
    gc.disable()
    try:
        outputs = weakref.ref(run_layers(torch.randn(2, 3, 5, dtype=torch.float64), layers()[:2]))
        assert outputs() is None
    finally:
        gc.enable()


def test_no_slope_is_computed_of_inputs_that_need_none() -> None:
    needs = []

    class Observed(PackedLinear):
        def back(self, slope: Tensor, kept: object, *, is_own: bool, needed: bool) -> Tensor:
            needs.append(needed)
            return super().back(slope, kept, is_own=is_own, needed=needed)

    chain: list[ChainLayer] = [PackedDropout([Dropout(0.5, 0)] * 2), *(Observed([nn.Linear(3, 3)] * 2) for _ in "ab")]
    for layer in chain:
        with_gradients(layer)
    run_layers(torch.randn(2, 3, 5), chain).sum().backward()
    assert needs == [True, False]
