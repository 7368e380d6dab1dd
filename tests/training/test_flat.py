import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from wellfit.models.packed import member_state, packed
from wellfit.models.vision import mobilenet
from wellfit.settings.params import load_params
from wellfit.training.flat import ALIGNMENT, FlatParameters

SHIPPED = Path(__file__).parents[2] / "params.yaml"


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2, bias=False))


def convolutions() -> nn.Module:
    layers = [nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def linear_without_bias() -> nn.Module:
    return nn.Linear(5, 2, bias=False)


def depthwise() -> nn.Module:
    layers = [
        nn.Conv2d(2, 6, 1, bias=False),
        nn.Conv2d(6, 6, 3, groups=6, bias=False),
        nn.Conv2d(6, 4, 3, groups=2, padding=1),
        nn.GroupNorm(2, 4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    ]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def torchvisions() -> nn.Module:
    overrides = ["model.name=mobilenet_v3_small", "model.activation=hardswish", "model.dropout=0"]
    return mobilenet(load_params(SHIPPED, overrides).model, (2, 5, 4), 2)


NETS = {
    perceptron: (6, 5),
    convolutions: (6, 2, 5, 4),
    linear_without_bias: (6, 5),
    depthwise: (6, 2, 5, 4),
    torchvisions: (6, 2, 5, 4),
}


@pytest.fixture(params=list(NETS))
def net(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    made: nn.Module = request.param()
    return made


@pytest.mark.parametrize("make", list(NETS))
def test_outputs_and_gradients_are_those_of_the_plain_model(make: Callable[[], nn.Module]) -> None:
    plain = make()
    model = copy.deepcopy(plain)
    flat = FlatParameters(model)
    x, y = torch.randn(NETS[make]), torch.randint(2, (6,))
    for scale in (1, 2):  # cleared in between, a second pass starts anew
        flat.gradients.zero_()
        plain.zero_grad()
        for one in (model, plain):
            functional.cross_entropy(scale * one(x), y).backward()
        for (name, ours), theirs in zip(model.named_parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, msg=name)
            torch.testing.assert_close(ours.grad, theirs.grad, msg=name)
        squares = sum(p.grad.double().square().sum() for p in plain.parameters() if p.grad is not None)
        torch.testing.assert_close(torch.linalg.vector_norm(flat.gradients.double()).square(), squares)


def test_what_changes_the_values_changes_the_model(net: nn.Module) -> None:
    flat = FlatParameters(net)
    with torch.no_grad():
        flat.values[:, : flat.n_matrices].fill_(2.0)
        flat.values[:, flat.n_matrices :].fill_(3.0)
    for name, parameter in net.named_parameters():
        assert parameter.unique().tolist() == ([2.0] if parameter.ndim > 1 else [3.0]), name


def test_layers_are_the_matrices_unit_by_unit(net: nn.Module) -> None:
    flat = FlatParameters(net)
    flat.gradients.copy_(torch.arange(flat.gradients.shape[1]))
    matrices = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    for layer, matrix in zip(flat.layers, matrices, strict=True):
        assert layer.shape == (1, len(matrix), matrix[0].numel())
        assert layer.data_ptr() == matrix.data_ptr()
        for unit, row in zip(matrix, layer[0], strict=True):  # the order within a unit is that of the memory format
            assert torch.equal(unit.flatten().sort().values, row.sort().values)
    for part, parameter in zip(flat.rest, others, strict=True):
        assert part.data_ptr() == parameter.data_ptr()
        assert part.grad is not None
        assert parameter.grad is not None
        assert torch.equal(part.grad[0], parameter.grad)
    seen = [p.grad.flatten() for p in flat.layers + flat.rest if p.grad is not None]
    assert torch.cat(seen).unique().numel() == sum(p.numel() for p in net.parameters())


def test_memory_format_shape_and_device_stay(net: nn.Module) -> None:
    before = {name: (p.shape, p.stride(), p.dtype, p.device) for name, p in net.named_parameters()}
    values = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    FlatParameters(net)
    assert {name: (p.shape, p.stride(), p.dtype, p.device) for name, p in net.named_parameters()} == before
    assert all(torch.equal(tensor, values[name]) for name, tensor in net.state_dict().items())
    assert all(p.is_leaf and p.requires_grad for p in net.parameters())


def test_each_tensor_begins_at_a_cache_line(net: nn.Module) -> None:
    flat = FlatParameters(net)
    starts = [p.storage_offset() for p in net.parameters()]
    assert all(start % ALIGNMENT == 0 for start in starts)
    ends = [start + p.numel() for start, p in zip(starts, net.parameters(), strict=True)]
    assert all(end <= start for end, start in zip(sorted(ends), sorted(starts)[1:], strict=False))
    assert max(ends) <= flat.gradients.shape[1]


# Several members


def pack_of(members: int) -> nn.Module:
    return packed([nn.Sequential(nn.Flatten(), *perceptron()) for _ in range(members)])


@pytest.mark.parametrize("members", [1, 3])
def test_a_row_holds_what_a_member_holds_alone(members: int) -> None:
    model = pack_of(members)
    before = [member_state(model, k) for k in range(members)]
    flat = FlatParameters(model, members)
    assert flat.values.shape == flat.gradients.shape
    for k in range(members):
        single = nn.Sequential(nn.Flatten(), *perceptron())
        single.load_state_dict(before[k])
        alone = FlatParameters(single)
        assert torch.equal(flat.values[k], alone.values[0])
        assert flat.n_matrices == alone.n_matrices
        assert all(torch.equal(tensor, before[k][name]) for name, tensor in member_state(model, k).items())
        for together, one in zip(flat.layers + flat.rest, alone.layers + alone.rest, strict=True):
            assert together.shape == (members, *one.shape[1:])
            assert torch.equal(together[k], one[0])


def test_what_changes_a_row_changes_one_member() -> None:
    model = pack_of(3)
    flat = FlatParameters(model, 3)
    before = [member_state(model, k) for k in range(3)]
    with torch.no_grad():
        flat.values[1].fill_(2.0)
    for name, parameter in model.named_parameters():
        assert parameter[1].unique().tolist() == [2.0]
        assert all(torch.equal(parameter[k], before[k][name]) for k in (0, 2))


def test_gradients_of_a_pack_are_in_its_rows() -> None:
    model = pack_of(2)
    flat = FlatParameters(model, 2)
    model(torch.randn(2, 6, 5)).square().sum().backward()
    assert flat.gradients.any(1).all()
    for k in range(2):
        squares = sum(p.grad[k].double().square().sum() for p in model.parameters())
        torch.testing.assert_close(torch.linalg.vector_norm(flat.gradients[k].double()).square(), squares)
    starts = [p.storage_offset() for p in model.parameters()]
    assert all(start % ALIGNMENT == 0 for start in starts)
    assert flat.values.shape[1] % ALIGNMENT == 0  # so that the next member's begins at a cache line as well
