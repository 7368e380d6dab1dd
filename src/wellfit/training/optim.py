"""The section ``optim`` of ``params.yaml``, its rules, and the optimizers it can name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field

from wellfit.config import Config, OneOf, Positive, PositiveOrZero, Rule

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

NOTHING: Mapping[str, Any] = MappingProxyType({})


class ByNumber(NamedTuple):
    """An optimizer whose step looks at each number alone: all members of a pack share one.

    Attributes:
        optimizer: ``module:class``, imported when one is made.
        reads: keys of the section that it takes besides those that hold for every optimizer. Their names are those of
            its arguments, but for ``beta1`` and ``beta2``, which are its ``betas``.
        arguments: others, whose values are fixed.
        is_decoupled: whether ``optim.decay: auto`` shrinks the weights, as its paper has it.
    """

    optimizer: str
    reads: tuple[str, ...]
    arguments: Mapping[str, Any] = NOTHING
    is_decoupled: bool = False


class ByMatrix(NamedTuple):
    """An optimizer whose step looks at a matrix as a whole: each member of a pack has its own.

    Attributes:
        make: from the section, the matrices and kernels of a member, and its other parameters, to one optimizer or
            several that together hold all of them.
        reads: as of `ByNumber`.
        is_decoupled: likewise.
        decays_itself: whether weight decay is a part of its update, and not done before it.
    """

    make: Callable[[OptimConfig, list[nn.Parameter], list[nn.Parameter]], list[Optimizer]]
    reads: tuple[str, ...]
    is_decoupled: bool = False
    decays_itself: bool = False


def _muon(config: OptimConfig, matrices: list[nn.Parameter], rest: list[nn.Parameter]) -> list[Optimizer]:
    """Momentum made orthogonal is defined for matrices; Adam takes the rest, at rates that go together."""
    from torch.optim import Adam, Muon

    muon = Muon(
        matrices,
        config.lr,
        weight_decay=0.0,
        momentum=config.momentum,
        nesterov=config.nesterov,
        adjust_lr_fn="match_rms_adamw",
    )
    return [muon, *([Adam(rest, config.lr, (config.beta1, config.beta2), config.eps, fused=True)] if rest else [])]


def _lamb(config: OptimConfig, matrices: list[nn.Parameter], rest: list[nn.Parameter]) -> list[Optimizer]:
    """Decay inside the update, and no correction of the step for the bias of the first moments, as in the paper.

    The library would divide the first steps by 1 - beta1 after the trust ratio had set their size.
    """
    from pytorch_optimizer import Lamb

    groups: list[dict[str, Any]] = [{"params": matrices, "weight_decay": config.weight_decay}]
    groups += [{"params": rest, "weight_decay": config.weight_decay if config.decay_all else 0.0}] if rest else []
    groups = [group | {"adam_debias": True} for group in groups]
    return [Lamb(groups, config.lr, (config.beta1, config.beta2), weight_decouple=False, eps=config.eps)]


ADAM = ("beta1", "beta2", "eps")
# Weight decay is not theirs: class Optimizer does it, the same for all of them.
OPTIMIZERS: dict[str, ByNumber | ByMatrix] = {
    "adamw": ByNumber("torch.optim:Adam", ADAM, {"fused": True}, is_decoupled=True),
    "adam": ByNumber("torch.optim:Adam", ADAM, {"fused": True}),
    "nadam": ByNumber("torch.optim:NAdam", ADAM),
    "radam": ByNumber("torch.optim:RAdam", ADAM),
    "sgd": ByNumber("torch.optim:SGD", ("momentum", "nesterov"), {"fused": True}),
    "rmsprop": ByNumber("torch.optim:RMSprop", ("alpha", "eps", "momentum")),
    "adagrad": ByNumber("torch.optim:Adagrad", ("eps",)),
    "lamb": ByMatrix(_lamb, ADAM, decays_itself=True),
    "lion": ByNumber("pytorch_optimizer:Lion", ("beta1", "beta2"), {"weight_decay": 0.0}, is_decoupled=True),
    "muon": ByMatrix(_muon, ("momentum", "nesterov", *ADAM), is_decoupled=True),
}


class OptimConfig(Config):
    name: Annotated[str, OneOf(OPTIMIZERS)]
    lr: Positive
    weight_decay: PositiveOrZero
    body_lr: float = Field(gt=0, le=1)
    decay: Literal["auto", "decoupled", "coupled"]
    decay_all: bool
    l1: PositiveOrZero
    momentum: float = Field(ge=0, lt=1)
    nesterov: bool
    beta1: float = Field(ge=0, lt=1)
    beta2: float = Field(ge=0, lt=1)
    alpha: float = Field(ge=0, lt=1)
    eps: Positive
    clip_norm: Positive | None
    clip_value: Positive | None
    max_norm: Positive | None

    @property
    def is_decoupled(self) -> bool:
        """Whether weight decay shrinks the weights themselves (Loshchilov and Hutter 2019), or adds to the gradient."""
        return OPTIMIZERS[self.name].is_decoupled if self.decay == "auto" else self.decay == "decoupled"

    @property
    def decays_itself(self) -> bool:
        """Whether weight decay is a part of the optimizer's update."""
        entry = OPTIMIZERS[self.name]
        return isinstance(entry, ByMatrix) and entry.decays_itself


RULES = [
    Rule(
        ("optim.name", "optim.decay"),
        lambda p, _: p.optim.name == "adamw" and p.optim.decay == "coupled",
        "optim.decay coupled makes adamw adam: use optim.name adam, or optim.decay auto",
    ),
    Rule(
        ("optim.name", "optim.decay"),
        lambda p, _: p.optim.decays_itself and p.optim.decay != "auto",
        "optim.decay must be auto for optim.name {optim.name}, whose decay is a part of its update, got {optim.decay}",
    ),
    Rule(
        ("optim.name", "optim.nesterov", "optim.momentum"),
        lambda p, _: p.optim.name == "sgd" and p.optim.nesterov and p.optim.momentum == 0,
        "optim.nesterov true needs optim.momentum > 0 with optim.name sgd, got 0",
    ),
]
