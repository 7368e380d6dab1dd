from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from wellfit.training.config import OptimConfig
from wellfit.training.flat import FlatParameters
from wellfit.training.optim import build_optimizer

VALUES = {"name": "adamw", "lr": 0.01, "weight_decay": 0.1, "momentum": 0.9, "clip_norm": None}
# By name, so that the reference does not decide by the rule under test.
MATRICES = ["convolution.weight", "linear.weight"]


class Net(nn.Module):
    """A parameter of each sort."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 2, 3)
        self.norm = nn.BatchNorm2d(2)
        self.linear = nn.Linear(2, 3)


def config(**changes: Any) -> OptimConfig:
    return OptimConfig.model_validate(VALUES | changes)


def twins() -> tuple[Net, Net]:
    torch.manual_seed(0)
    one, two = Net(), Net()
    two.load_state_dict(one.state_dict())
    return one, two


def reference(name: str, lr: float, decay: float, momentum: float, net: Net) -> list[Optimizer]:
    """torch's plain optimizers, one for the matrices and one for the rest."""
    plain: dict[str, Any] = {"lr": lr, "fused": False, "foreach": False}
    make = {"sgd": SGD, "adam": Adam, "adamw": AdamW}[name]
    if name == "sgd":
        plain["momentum"] = momentum
    parameters = dict(net.named_parameters())
    rest = [parameter for key, parameter in parameters.items() if key not in MATRICES]
    return [
        make([parameters[key] for key in MATRICES], weight_decay=decay, **plain),
        make(rest, weight_decay=0.0, **plain),
    ]


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize(("name", "momentum"), [("adamw", 0.9), ("adam", 0.9), ("sgd", 0.9), ("sgd", 0.0)])
def test_it_steps_as_torchs_plain_optimizer_does(name: str, momentum: float, weight_decay: float) -> None:
    ours, theirs = twins()
    optimizer = build_optimizer(config(name=name, momentum=momentum, weight_decay=weight_decay), FlatParameters(ours))
    plain = reference(name, 0.01, weight_decay, momentum, theirs)
    for step in range(6):
        for group in [*optimizer.param_groups, *(group for one in plain for group in one.param_groups)]:
            group["lr"] = 0.01 / (step + 1)  # as the loop does
        for one, two in zip(ours.parameters(), theirs.parameters(), strict=True):
            two.grad = torch.randn(one.shape)
            assert one.grad is not None
            one.grad.copy_(two.grad)
        optimizer.step()
        for other in plain:
            other.step()
    for (key, one), two in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6, msg=key)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_without_a_gradient_matrices_shrink_and_nothing_else_moves(name: str) -> None:
    net, before = twins()
    optimizer = build_optimizer(config(name=name, lr=0.5, weight_decay=0.1), FlatParameters(net))
    optimizer.step()
    for (key, now), then in zip(net.named_parameters(), before.parameters(), strict=True):
        torch.testing.assert_close(now, then * (1 - 0.5 * 0.1) if key in MATRICES else then, msg=key)


def test_the_decay_of_adam_stands_in_the_gradient() -> None:
    net, before = twins()
    optimizer = build_optimizer(config(name="adam", lr=0.01, weight_decay=0.1), FlatParameters(net))
    optimizer.step()

    def first_step(w: Tensor) -> Tensor:
        return w - 0.01 * torch.sign(w)  # Adam's first step is lr * g / |g|, whatever the size of g

    torch.testing.assert_close(net.linear.weight, first_step(before.linear.weight), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_it_is_fused_and_holds_every_parameter_once(name: str, weight_decay: float) -> None:
    flat = FlatParameters(Net())
    optimizer = build_optimizer(config(name=name, weight_decay=weight_decay), flat)
    assert all(group["fused"] for group in optimizer.param_groups)
    held = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    assert held == [id(flat.decayed), id(flat.plain)]
    assert {group["lr"] for group in optimizer.param_groups} == {0.01}
