import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import SGD, Adagrad, Adam, AdamW, Muon, NAdam, RAdam, RMSprop
from torch.optim import Optimizer as TorchOptimizer

from wellfit.models.packed import change_members, packed
from wellfit.training.optim import OPTIMIZERS, OptimConfig
from wellfit.training.optimizer import Optimizer

VALUES = {
    "name": "adamw",
    "lr": 0.01,
    "weight_decay": 0.1,
    "body_lr": 1.0,
    "decay": "auto",
    "decay_all": False,
    "l1": 0.0,
    "momentum": 0.9,
    "nesterov": False,
    "beta1": 0.8,
    "beta2": 0.95,
    "alpha": 0.7,
    "eps": 1e-6,
    "clip_norm": None,
    "clip_value": None,
    "max_norm": None,
}
NAMES = tuple(OPTIMIZERS)
# By name, so that the reference does not decide by the rule under test.
MATRICES = ["convolution.weight", "linear.weight"]


class Net(nn.Module):
    """A parameter of each sort."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(2, 2, 3)
        self.norm = nn.BatchNorm2d(2)
        self.linear = nn.Linear(2, 3)


class Perceptron(nn.Module):
    """Matrices alone, which is what Muon takes."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3, bias=False)


def config(**changes: Any) -> OptimConfig:
    return OptimConfig.model_validate(VALUES | changes)


def optimizer_of(settings: OptimConfig, model: nn.Module) -> Optimizer:
    return Optimizer([settings], model)


def rate(lr: float) -> np.ndarray:
    return np.array([lr])


def twins(make: Callable[[], nn.Module] = Net) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    one, two = make(), make()
    two.load_state_dict(one.state_dict())
    return one.to(memory_format=torch.channels_last), two


def gradients(net: nn.Module, steps: int = 6) -> Iterator[list[Tensor]]:
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        yield [torch.randn(p.shape, generator=generator) for p in net.parameters()]


def give(net: nn.Module, values: list[Tensor]) -> None:
    for parameter, value in zip(net.parameters(), values, strict=True):
        if parameter.grad is None:
            parameter.grad = torch.empty_like(value)
        parameter.grad.copy_(value)


def assert_same(ours: nn.Module, theirs: nn.Module) -> None:
    for (name, one), two in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6, msg=name, check_stride=False)


# Each optimizer against torch's own, with torch's own weight decay. Ours may not lean on it.
PLAIN: dict[str, tuple[dict[str, Any], Callable[..., TorchOptimizer]]] = {
    "sgd": ({"name": "sgd"}, lambda p, **wd: SGD(p, momentum=0.9, **wd)),
    "sgd without momentum": ({"name": "sgd", "momentum": 0.0}, lambda p, **wd: SGD(p, **wd)),
    "nesterov": ({"name": "sgd", "nesterov": True}, lambda p, **wd: SGD(p, momentum=0.9, nesterov=True, **wd)),
    "adam": ({"name": "adam"}, lambda p, **wd: Adam(p, betas=(0.8, 0.95), eps=1e-6, **wd)),
    "adam, decoupled": (
        {"name": "adam", "decay": "decoupled"},
        lambda p, **wd: AdamW(p, betas=(0.8, 0.95), eps=1e-6, **wd),
    ),
    "adamw": ({"name": "adamw"}, lambda p, **wd: AdamW(p, betas=(0.8, 0.95), eps=1e-6, **wd)),
    "nadam": ({"name": "nadam"}, lambda p, **wd: NAdam(p, betas=(0.8, 0.95), eps=1e-6, **wd)),
    "nadam, decoupled": (
        {"name": "nadam", "decay": "decoupled"},
        lambda p, **wd: NAdam(p, betas=(0.8, 0.95), eps=1e-6, decoupled_weight_decay=True, **wd),
    ),
    "radam": ({"name": "radam"}, lambda p, **wd: RAdam(p, betas=(0.8, 0.95), eps=1e-6, **wd)),
    "radam, decoupled": (
        {"name": "radam", "decay": "decoupled"},
        lambda p, **wd: RAdam(p, betas=(0.8, 0.95), eps=1e-6, decoupled_weight_decay=True, **wd),
    ),
    "rmsprop": ({"name": "rmsprop"}, lambda p, **wd: RMSprop(p, alpha=0.7, eps=1e-6, momentum=0.9, **wd)),
    "adagrad": ({"name": "adagrad"}, lambda p, **wd: Adagrad(p, eps=1e-6, **wd)),
}


@pytest.mark.parametrize("decay_all", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("case", list(PLAIN))
def test_it_steps_as_torchs_own_optimizer_does(case: str, weight_decay: float, decay_all: bool) -> None:
    changes, make = PLAIN[case]
    ours, theirs = twins()
    optimizer = optimizer_of(config(weight_decay=weight_decay, decay_all=decay_all, **changes), ours)
    parameters = dict(theirs.named_parameters())
    rest = [p for name, p in parameters.items() if name not in MATRICES]
    groups = [
        {"params": [parameters[name] for name in MATRICES], "weight_decay": weight_decay},
        {"params": rest, "weight_decay": weight_decay if decay_all else 0.0},
    ]
    plain = make(groups, lr=1.0)
    for step, values in enumerate(gradients(theirs)):
        give(ours, values)
        give(theirs, values)
        for group in plain.param_groups:
            group["lr"] = 0.01 / (step + 1)
        plain.step()
        optimizer.step(rate(0.01 / (step + 1)))
        assert_same(ours, theirs)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("nesterov", [False, True])
def test_muon_is_torchs_for_matrices(nesterov: bool, weight_decay: float) -> None:
    ours, theirs = twins(Perceptron)
    optimizer = optimizer_of(config(name="muon", weight_decay=weight_decay, nesterov=nesterov), ours)
    plain = Muon(
        theirs.parameters(),
        weight_decay=weight_decay,
        momentum=0.9,
        nesterov=nesterov,
        lr=0.01,
        adjust_lr_fn="match_rms_adamw",
    )
    for values in gradients(theirs):
        give(ours, values)
        give(theirs, values)
        plain.step()
        optimizer.step(rate(0.01))
        torch.testing.assert_close(ours.linear.weight, theirs.linear.weight, rtol=1e-4, atol=1e-5)


def test_muon_leaves_biases_and_norms_to_adam() -> None:
    ours, theirs = twins()
    optimizer = optimizer_of(config(name="muon", weight_decay=0.1), ours)
    rest = [p for name, p in theirs.named_parameters() if name not in MATRICES]
    plain = Adam(rest, lr=0.01, betas=(0.8, 0.95), eps=1e-6)
    before = ours.convolution.weight.clone()
    for values in gradients(theirs):
        give(ours, values)
        give(theirs, values)
        plain.step()
        optimizer.step(rate(0.01))
    for name, parameter in ours.named_parameters():
        if name not in MATRICES:
            torch.testing.assert_close(parameter, theirs.get_parameter(name), rtol=1e-5, atol=1e-6)
    assert not torch.equal(ours.convolution.weight, before)


def test_lion_is_the_sign_of_its_formula() -> None:
    """Chen et al. 2023, algorithm 2."""
    ours, theirs = twins()
    optimizer = optimizer_of(config(name="lion", weight_decay=0.1), ours)
    memory = {name: torch.zeros_like(p) for name, p in theirs.named_parameters()}
    for values in gradients(theirs):
        give(ours, values)
        optimizer.step(rate(0.01))
        with torch.no_grad():
            for (name, p), g in zip(theirs.named_parameters(), values, strict=True):
                p.mul_(1 - 0.01 * 0.1 * (name in MATRICES))
                p.sub_(0.01 * torch.sign(0.8 * memory[name] + 0.2 * g))
                memory[name] = 0.95 * memory[name] + 0.05 * g
        assert_same(ours, theirs)


@pytest.mark.parametrize("decay_all", [False, True])
def test_lamb_scales_each_layer_by_its_trust_ratio(decay_all: bool) -> None:
    """You et al. 2020, algorithm 2, without its bias correction."""
    ours, theirs = twins()
    optimizer = optimizer_of(config(name="lamb", weight_decay=0.1, decay_all=decay_all), ours)
    first = {name: torch.zeros_like(p) for name, p in theirs.named_parameters()}
    second = {name: torch.zeros_like(p) for name, p in theirs.named_parameters()}
    for values in gradients(theirs):
        give(ours, values)
        optimizer.step(rate(0.01))
        with torch.no_grad():
            for (name, p), g in zip(theirs.named_parameters(), values, strict=True):
                first[name] = 0.8 * first[name] + 0.2 * g
                second[name] = 0.95 * second[name] + 0.05 * g**2
                update = first[name] / (second[name].sqrt() + 1e-6)
                update += 0.1 * (name in MATRICES or decay_all) * p
                length, reach = p.norm(), update.norm()
                p.sub_(0.01 * (length / (reach + 1e-6) if length > 0 and reach > 0 else 1.0) * update)
        assert_same(ours, theirs)


# Penalties, clipping, limits


@pytest.mark.parametrize("decay_all", [False, True])
def test_l1_and_a_coupled_decay_are_the_elastic_net(decay_all: bool) -> None:
    ours, theirs = twins()
    settings = {"name": "sgd", "momentum": 0.0, "l1": 0.02, "weight_decay": 0.1, "decay_all": decay_all}
    optimizer = optimizer_of(config(**settings), ours)
    plain = SGD(theirs.parameters(), lr=0.1)
    for values in gradients(theirs):
        give(ours, values)
        norm = optimizer.step(rate(0.1))
        held = [p for name, p in theirs.named_parameters() if name in MATRICES or decay_all]
        theirs.zero_grad()
        sum(0.02 * p.abs().sum() for p in held).backward()  # type: ignore[union-attr]
        for p, value in zip(theirs.parameters(), values, strict=True):
            p.grad = value if p.grad is None else p.grad + value
        torch.testing.assert_close(norm, torch.cat([p.grad.flatten() for p in theirs.parameters()]).norm()[None])
        for p in held:
            p.grad = p.grad + 0.1 * p.detach()
        plain.step()
        assert_same(ours, theirs)


@pytest.mark.parametrize(("limit", "value"), [(0.5, None), (1e6, None), (None, 0.3), (2.0, 0.1)])
def test_clipping_is_torchs_by_norm_and_then_by_value(limit: float | None, value: float | None) -> None:
    ours, theirs = twins()
    settings = {"name": "sgd", "momentum": 0.0, "weight_decay": 0.0, "clip_norm": limit, "clip_value": value}
    optimizer = optimizer_of(config(**settings), ours)
    plain = SGD(theirs.parameters(), lr=0.1)
    for values in gradients(theirs):
        give(ours, values)
        give(theirs, values)
        told = clip_grad_norm_(theirs.parameters(), limit or float("inf"))
        if value is not None:
            clip_grad_value_(theirs.parameters(), value)
        plain.step()
        torch.testing.assert_close(optimizer.step(rate(0.1)), told[None])
        assert_same(ours, theirs)


def test_max_norm_bounds_what_leads_into_a_unit() -> None:
    ours, theirs = twins()
    settings = {"name": "sgd", "momentum": 0.0, "weight_decay": 0.0}
    bounded = optimizer_of(config(max_norm=0.5, **settings), ours)
    free = optimizer_of(config(**settings), theirs)
    (values,) = gradients(theirs, steps=1)
    for net, optimizer in ((ours, bounded), (theirs, free)):
        give(net, values)
        optimizer.step(rate(0.3))
    for name, now in ours.named_parameters():
        then = theirs.get_parameter(name).detach()
        if name in MATRICES:
            norms = then.flatten(1).norm(dim=1)
            assert (norms > 0.5).any()
            factors = (0.5 / norms).clamp(max=1.0)
            then = then * factors.view(-1, *[1] * (then.ndim - 1))
        torch.testing.assert_close(now, then, rtol=1e-4, atol=1e-6, check_stride=False, msg=name)


@pytest.mark.parametrize("name", NAMES)
def test_zero_grad_forgets_and_a_still_gradient_moves_nothing_but_by_decay(name: str) -> None:
    ours, before = twins()
    optimizer = optimizer_of(config(name=name, weight_decay=0.0), ours)
    give(ours, [torch.ones_like(p) for p in ours.parameters()])
    optimizer.zero_grad()
    assert optimizer.step(rate(0.1)).item() == 0
    assert_same(ours, before)


@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_finds_the_bottom_of_a_bowl(name: str) -> None:
    torch.manual_seed(0)
    net = nn.Linear(4, 3)
    goal = torch.randn(3, 4)
    optimizer = optimizer_of(config(name=name, weight_decay=0.0, beta1=0.9, beta2=0.99), net)
    distances = []
    for step in range(300):
        optimizer.zero_grad()
        distance = (net.weight - goal).square().sum() + net.bias.square().sum()
        distance.backward()
        distances.append(distance.item())
        optimizer.step(rate((0.3 if name in ("adagrad", "muon") else 0.05) * (1 - step / 300)))
    assert distances[-1] < 0.05 * distances[0]


# Several members


def perceptron(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 4), nn.LayerNorm(4), nn.Tanh(), nn.Linear(4, 3, bias=False))


def members_of(name: str) -> list[OptimConfig]:
    """With settings of their own, of which two stand beside each other that torch takes for one tensor."""
    decay = "auto" if name == "lamb" else "decoupled"
    plain = config(name=name, decay=decay, weight_decay=0.0, beta1=0.7)
    held = config(name=name, decay=decay, l1=0.01, weight_decay=0.2, momentum=0.5, beta2=0.9, alpha=0.9, eps=1e-4)
    return [plain, plain, held, config(name=name, decay=decay, clip_norm=0.5, clip_value=0.2, max_norm=0.7)]


class Both:
    """Members in a pack and each alone, which are given the same gradients."""

    def __init__(self, configs: list[OptimConfig]) -> None:
        self.random = torch.Generator().manual_seed(1)
        self.made = 0
        self.nets, self.singles = self._alone(configs)
        self.model = packed([copy.deepcopy(net) for net in self.nets])
        self.optimizer = Optimizer(configs, self.model, packed=True)

    def _alone(self, configs: list[OptimConfig]) -> tuple[list[nn.Module], list[Optimizer]]:
        nets = [perceptron(self.made + k) for k in range(len(configs))]
        self.made += len(nets)
        return nets, [optimizer_of(each, net) for each, net in zip(configs, nets, strict=True)]

    def change(self, kept: list[int], configs: list[OptimConfig]) -> None:
        nets, singles = self._alone(configs)
        fresh = packed([copy.deepcopy(net) for net in nets]) if nets else None
        change_members(self.model, kept, fresh)
        self.optimizer.change(self.model, kept, configs)
        self.nets = [self.nets[k] for k in kept] + nets
        self.singles = [self.singles[k] for k in kept] + singles

    def step(self, times: int = 3) -> None:
        for _ in range(times):
            lr = 0.02 * torch.rand(len(self.nets), generator=self.random).double().numpy()
            parts = [list(net.parameters()) for net in self.nets]
            for together, *alone in zip(self.model.parameters(), *parts, strict=True):
                together.grad.copy_(torch.randn(together.shape, generator=self.random))
                for k, one in enumerate(alone):
                    one.grad.copy_(together.grad[k])
            norms = torch.cat([single.step(lr[k : k + 1]) for k, single in enumerate(self.singles)])
            torch.testing.assert_close(self.optimizer.step(lr), norms)
        for k, net in enumerate(self.nets):
            for together, one in zip(self.model.parameters(), net.parameters(), strict=True):
                torch.testing.assert_close(together[k], one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_each_member_steps_as_it_would_alone(name: str) -> None:
    both = Both(members_of(name))
    assert both.optimizer.values.shape[0] == 4
    both.step()


@pytest.mark.parametrize("name", NAMES)
def test_those_that_stay_keep_their_memory_and_those_that_join_have_none(name: str) -> None:
    plain, _, held, limited = members_of(name)
    both = Both([plain, plain, held])
    both.step()
    both.change([1, 2], [])  # of a pair, one
    both.step()
    both.change([0, 1], [plain, held, limited])  # like those that stay, but younger
    both.step()
    both.change([0, 2, 3, 4], [held])
    both.step()
    both.change([3], [])  # a pack of one
    both.step()
    both.change([0], [plain])
    both.step()
    both.change([], [held, limited])
    both.step()


@pytest.mark.parametrize("name", NAMES)
def test_members_join_before_the_first_step(name: str) -> None:
    plain, _, held, limited = members_of(name)
    both = Both([plain])
    both.change([0], [held, limited])
    both.step()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_members_that_join_sgd_bring_their_own_momentum(momentum: float) -> None:
    """Some with a memory of steps and some without are one list of tensors to torch."""
    both = Both([config(name="sgd", momentum=momentum)] * 2)
    both.step()
    both.change([0], [config(name="sgd", momentum=momentum), config(name="sgd", momentum=0.0)])
    both.step()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_that_are_no_numbers_move_no_other_member(name: str, bad: float) -> None:
    configs = members_of(name)

    def moved(value: float | None) -> Tensor:
        model = packed([perceptron(k) for k in range(4)])
        optimizer = Optimizer(configs, model, packed=True)
        random = torch.Generator().manual_seed(0)
        for _ in range(2):
            for parameter in model.parameters():
                parameter.grad.copy_(torch.randn(parameter.shape, generator=random))
                if value is not None:
                    parameter.grad[2] = value
            norms = optimizer.step(np.full(4, 0.01))
            assert norms.isfinite().tolist() == [True, True, value is None, True]
        return optimizer.values.clone()

    sound, broken = moved(None), moved(bad)
    for k in (0, 1, 3):
        assert torch.equal(sound[k], broken[k])


@pytest.mark.parametrize("decay_all", [False, True])
def test_decay_in_a_pack_holds_what_it_holds_alone(decay_all: bool) -> None:
    both = Both([config(name="adam", weight_decay=wd, decay_all=decay_all, l1=wd / 10) for wd in (0.0, 0.1, 0.5)])
    both.step()


class WithBody(nn.Module):
    """A pretrained part, of which a layer is fixed, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 3, bias=False))
        self.body[0].requires_grad_(False)
        self.head = nn.Linear(3, 2, bias=False)


@pytest.mark.parametrize("name", NAMES)
def test_the_body_takes_its_share_of_each_step(name: str) -> None:
    """Of the whole step, decay and limits included; what is fixed takes none."""
    whole, part = twins(WithBody)
    before = copy.deepcopy(whole.state_dict())
    for net, share in ((whole, 1.0), (part, 0.25)):
        optimizer = optimizer_of(config(name=name, body_lr=share, max_norm=0.5), net)
        generator = torch.Generator().manual_seed(1)
        for parameter in net.parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None
                parameter.grad.copy_(torch.randn(parameter.shape, generator=generator))
        optimizer.step(rate(0.1))
    for key, at_start in before.items():
        share = {"body.0.weight": 0.0, "body.1.weight": 0.25}.get(key, 1.0)
        moved = whole.state_dict()[key] - at_start
        torch.testing.assert_close(part.state_dict()[key] - at_start, share * moved, rtol=1e-4, atol=1e-6)
        assert bool(moved.any()) == (share > 0), key
