from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from wellfit.models import ModelConfig, build_model
from wellfit.models.dropout import start_epoch
from wellfit.models.layers import ACTIVATIONS
from wellfit.models.packed import (
    change_members,
    member_state,
    packed,
)
from wellfit.settings.params import load_params
from wellfit.training.checkpoint import load_checkpoint, save_checkpoint

VALUES = load_params(Path(__file__).parents[2] / "params.yaml").model.model_dump() | {
    "name": "mlp",
    "hidden": [6, 4, 4],
    "channels": [4],
    "convolutions": 1,
    "residual": False,
    "dropout": 0.3,
    "input_dropout": 0.2,
    "channel_dropout": 0.0,
    "norm": "batch",
    "groups": 2,
    "norm_first": True,
    "activation": "relu",
    "numeric": "standard",
    "embedding": "none",
    "embedding_size": "auto",
    "embedding_scale": 0.1,
    "embedding_width": None,
    "embedding_input": True,
    "category": "one_hot",
    "category_width": "auto",
    "init": "default",
    "init_std": 0.05,
}
NETS: list[dict[str, Any]] = [
    *({"activation": name} for name in ACTIVATIONS),
    *({"norm": norm, "norm_first": first} for norm in ("batch", "layer", "group", "none") for first in (True, False)),
    {"residual": True, "norm": "layer"},
    {"residual": True, "norm_first": False, "activation": "tanh"},
    {"hidden": []},
    {"name": "linear", "input_dropout": 0.5},
    {"dropout": 0.0, "input_dropout": 0.0},
]


def network(seed: int, shape: tuple[int, ...] = (5,), **changes: Any) -> nn.Sequential:
    torch.manual_seed(seed)
    model = build_model(ModelConfig.model_validate(VALUES | changes), shape, 3)
    for parameter in model.parameters():  # norms too begin with numbers that are a member's own
        parameter.data.add_(0.1 * torch.randn(parameter.shape))
    return model


def with_gradients(model: nn.Module) -> nn.Module:
    """Packed layers add to gradients, which have to be there."""
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    return model


def assert_members(model: nn.Module, alone: list[nn.Module], **tolerance: float) -> None:
    for k, one in enumerate(alone):
        state = member_state(model, k)
        assert list(state) == list(one.state_dict())
        for name, tensor in one.state_dict().items():
            assert state[name].dtype == tensor.dtype
            torch.testing.assert_close(state[name], tensor, msg=f"{name} of member {k}", **tolerance)
        gradients = dict(model.named_parameters())
        for name, parameter in one.named_parameters():
            if parameter.grad is not None:
                torch.testing.assert_close(gradients[name].grad[k], parameter.grad, msg=name, **tolerance)


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4)])
@pytest.mark.parametrize("changes", NETS, ids=str)
def test_a_packed_network_is_each_of_its_members(changes: dict[str, Any], shape: tuple[int, ...]) -> None:
    alone = [network(seed, shape, **changes).double() for seed in (3, 1, 2)]
    model = with_gradients(packed([network(seed, shape, **changes).double() for seed in (3, 1, 2)]))
    for step, rows in enumerate((9, 9, 4)):
        x = torch.randn(3, rows, *shape, dtype=torch.float64)
        targets = torch.randint(3, (3, rows))
        outputs = model(x)
        assert outputs.shape == (3, rows, 3)
        functional.cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction="sum").backward()
        for k, one in enumerate(alone):
            expected = one(x[k])
            torch.testing.assert_close(outputs[k], expected)
            functional.cross_entropy(expected, targets[k], reduction="sum").backward()
        assert_members(model, alone)
        if step == 1:
            for one in (model, *alone):
                start_epoch(one)
    model.eval()
    x = torch.randn(1, *shape, dtype=torch.float64)
    for k, one in enumerate(alone):
        torch.testing.assert_close(model(x.expand(3, *x.shape))[k], one.eval()(x))


def test_a_pack_of_one() -> None:
    alone, model = network(0), with_gradients(packed([network(0)]))
    x = torch.randn(1, 8, 5)
    outputs = model(x)
    outputs.square().sum().backward()
    expected = alone(x[0])
    expected.square().sum().backward()
    torch.testing.assert_close(outputs[0], expected)
    assert_members(model, [alone])


@pytest.mark.parametrize("changes", [{}, {"residual": True, "norm": "group"}, {"hidden": [], "norm": "none"}])
def test_the_checkpoint_of_a_member_is_that_of_a_single_network(changes: dict[str, Any], tmp_path: Path) -> None:
    model = packed([network(seed, **changes) for seed in (0, 1)])
    model(torch.randn(2, 6, 5))
    save_checkpoint(tmp_path / "best.safetensors", member_state(model, 1), {})
    single = network(5, **changes)
    single.load_state_dict(load_checkpoint(tmp_path / "best.safetensors").weights)
    x = torch.randn(4, 5)
    torch.testing.assert_close(single.eval()(x), model.eval()(x.expand(2, 4, 5))[1])


def test_the_state_of_a_member_is_a_copy() -> None:
    model = packed([network(seed) for seed in (0, 1)])
    state = member_state(model, 0)
    kept = {name: tensor.clone() for name, tensor in state.items()}
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.add_(1)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in state.items())
    assert not any(tensor.requires_grad for tensor in state.values())


# Members that go and come


@pytest.mark.parametrize(("kept", "added"), [([0, 2], [7]), ([2], []), ([0, 1, 2], [7, 8]), ([], [7]), ([2, 0], [7])])
def test_members_that_stay_and_join_are_what_they_were(kept: list[int], added: list[int]) -> None:
    seeds = [4, 5, 6]
    alone = {seed: network(seed) for seed in seeds + added}
    model = packed([network(seed) for seed in seeds])
    x = torch.randn(9, 5)
    model(x.expand(3, 9, 5))
    for seed in seeds:
        alone[seed](x)
    for one in (model, *alone.values()):
        start_epoch(one)
    change_members(model, kept, packed([network(seed) for seed in added]) if added else None)
    members = [alone[seed] for seed in [seeds[k] for k in kept] + added]
    assert_members(model, members)
    with_gradients(model)
    outputs = model(x.expand(len(members), 9, 5))
    for k, one in enumerate(members):
        torch.testing.assert_close(outputs[k], one(x))
    assert_members(model, members)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e38])
@pytest.mark.parametrize("norm", ["batch", "layer", "group", "none"])
def test_numbers_that_are_not_finite_reach_no_other_member(norm: str, bad: float) -> None:
    x = torch.randn(3, 8, 5)

    def run(broken: bool) -> tuple[Tensor, nn.Module]:
        model = with_gradients(packed([network(seed, norm=norm) for seed in range(3)]))
        if broken:
            for parameter in model.parameters():
                parameter.data[1] = bad
        outputs = model(x)
        outputs.square().sum().backward()
        return outputs, model

    (plain, sound), (outputs, model) = run(False), run(True)
    assert not outputs[1].isfinite().all()
    for k in (0, 2):
        assert torch.equal(outputs[k], plain[k])
        state = member_state(model, k)
        assert all(torch.equal(tensor, state[name]) for name, tensor in member_state(sound, k).items())
        for one, two in zip(model.parameters(), sound.parameters(), strict=True):
            assert torch.equal(one.grad[k], two.grad[k])
