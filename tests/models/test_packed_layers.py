from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from wellfit.models.dropout import Dropout
from wellfit.models.packed_layers import PackedBatchNorm, PackedDropout, PackedLinear, PackedNorm, PackedReLU

from .test_packed import assert_members, with_gradients


def batch_norm(width: int) -> nn.BatchNorm1d:
    return nn.BatchNorm1d(width, eps=1e-3, momentum=0.3)


LAYERS: dict[str, tuple[Callable[[], nn.Module], Callable[[Any], nn.Module]]] = {
    "linear": (lambda: nn.Linear(6, 4), PackedLinear),
    "linear without bias": (lambda: nn.Linear(6, 4, bias=False), PackedLinear),
    "batch norm": (lambda: batch_norm(6), PackedBatchNorm),
    "layer norm": (lambda: nn.LayerNorm(6, eps=1e-3), PackedNorm),
    "group norm": (lambda: nn.GroupNorm(3, 6, eps=1e-3), PackedNorm),
    "relu": (nn.ReLU, lambda _: PackedReLU()),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("members", [1, 2, 5])
@pytest.mark.parametrize("name", list(LAYERS))
def test_a_layer_is_torchs_for_each_member(name: str, members: int, training: bool) -> None:
    make, pack = LAYERS[name]
    singles = [make().double() for _ in range(members)]
    for single in singles:
        for parameter in single.parameters():
            nn.init.normal_(parameter)
    layer = with_gradients(pack(singles)).train(training)
    assert [n for n, _ in layer.named_parameters()] == [n for n, _ in singles[0].named_parameters()]
    for rows in (7, 2) if training else (7, 1):
        x = torch.randn(members, 6, rows, dtype=torch.float64, requires_grad=True)
        outputs = layer(x)
        slopes = torch.randn_like(outputs)  # (K, units, rows)
        outputs.backward(slopes)
        for k, single in enumerate(singles):
            alone = x[k].detach().t().requires_grad_()
            expected = single.train(training)(alone)
            expected.backward(slopes[k].t())  # adds to the gradient of the batch before, as ours does
            torch.testing.assert_close(outputs[k].t(), expected)
            torch.testing.assert_close(x.grad[k].t(), alone.grad)
        assert_members(layer, singles)


@pytest.mark.parametrize("name", list(LAYERS))
def test_the_gradient_of_a_layers_input_is_its_slope(name: str) -> None:
    make, pack = LAYERS[name]
    layer = with_gradients(pack([make().double() for _ in range(2)]))
    x = torch.randn(2, 6, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))


def test_inputs_that_need_no_gradient_get_none() -> None:
    layer = with_gradients(PackedLinear([nn.Linear(3, 2), nn.Linear(3, 2)]))
    x = torch.randn(2, 3, 4)
    layer(x).sum().backward()
    assert x.grad is None
    assert layer.weight.grad.any()


def test_dropouts_of_members_with_and_without_a_probability() -> None:
    torch.manual_seed(0)
    layer = PackedDropout([Dropout(0.0, 0), Dropout(0.5, 0)])
    x = torch.randn(2, 4, 50)
    outputs = layer(x)
    assert torch.equal(outputs[0], x[0])
    assert (outputs[1] == 0).float().mean().item() == pytest.approx(0.5, abs=0.15)
    assert layer.eval()(x).data_ptr() == x.data_ptr()
    nothing = PackedDropout([Dropout(0.0, 0), Dropout(0.0, 0)])
    assert nothing(x).data_ptr() == x.data_ptr()
