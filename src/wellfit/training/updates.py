"""torch's optimizers over the weights of K members."""

from collections.abc import Sequence
from functools import partial
from inspect import unwrap
from itertools import accumulate, groupby
from pkgutil import resolve_name
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim import Optimizer as TorchOptimizer

from wellfit.training.flat import FlatParameters, with_gradient
from wellfit.training.optim import ByMatrix, ByNumber, OptimConfig


class Block(NamedTuple):
    """Members that stand beside each other and that torch may take for one tensor.

    It counts steps for a tensor as a whole, and takes one value of a setting for all of a group.
    """

    size: int
    settings: dict[str, Any]


class Shared:
    """torch's optimizer where a step looks at each number alone.

    It takes one learning rate for all. So it proposes steps at a rate of 1, starting from zero, of which each member
    takes its part: they are proportional to the rate. A single model has no need of that; a pack of one has, so that
    its steps are computed as they would be among others.
    """

    def __init__(self, entry: ByNumber, blocks: Sequence[Block], flat: FlatParameters) -> None:
        self._entry, self._blocks, self._flat = entry, list(blocks), flat
        self._is_single = not flat.is_packed
        self._steps = flat.values if self._is_single else torch.zeros_like(flat.values)
        sizes = [block.size for block in blocks]
        parts = zip(self._steps.split(sizes), flat.gradients.split(sizes), strict=True)
        self._parameters = [with_gradient(values, gradients) for values, gradients in parts]
        groups: dict[str, dict[str, Any]] = {}
        for parameter, block in zip(self._parameters, blocks, strict=True):
            group = groups.setdefault(str(block.settings), block.settings | {"params": []})
            group["params"].append(parameter)
        kind = resolve_name(entry.optimizer)
        self._optimizer: TorchOptimizer = kind(list(groups.values()), lr=1.0, **entry.arguments)
        # Without torch's hooks around it, which take a third of its time in a pack of small networks.
        self._torch_step = partial(unwrap(kind.step), self._optimizer)
        if isinstance(self._optimizer, SGD):  # it fails where some of a group remember steps and others do not
            for group in self._optimizer.param_groups:
                for parameter in group["params"] if group["momentum"] else []:
                    self._optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)

    @property
    def optimizers(self) -> list[TorchOptimizer]:
        return [self._optimizer]

    @property
    def together(self) -> list[int]:
        return [block.size for block in self._blocks]

    def begun(self, configs: Sequence[OptimConfig], flat: FlatParameters, together: Sequence[int]) -> "Shared":
        """A new one over members of which so many, one run after the other, have taken as many steps."""
        firsts = accumulate(together[:-1], initial=0)
        blocks = [Block(n, _settings(self._entry, configs[k])) for n, k in zip(together, firsts, strict=True)]
        return Shared(self._entry, blocks, flat)

    def changed(self, configs: Sequence[OptimConfig], flat: FlatParameters, kept: Sequence[int]) -> "Shared":
        """The same over some of the members and over new ones, with the memory of those that stay."""
        blocks, states, first = [], [], 0
        for block, parameter in zip(self._blocks, self._parameters, strict=True):
            rows = [k - first for k in kept if first <= k < first + block.size]
            first += block.size
            if rows:
                blocks.append(block._replace(size=len(rows)))
                state = self._optimizer.state[parameter]
                states.append({name: _rows_of(value, block.size, rows) for name, value in state.items()})
        changed = Shared(self._entry, blocks + blocks_of(self._entry, configs[len(kept) :]), flat)
        for parameter, state in zip(changed._parameters, states, strict=False):
            if state:
                changed._optimizer.state[parameter] = state
        return changed

    def step(self, lr: np.ndarray, column: Tensor) -> None:
        if self._is_single:
            for group in self._optimizer.param_groups:
                group["lr"] = float(lr[0])
            self._torch_step()
        else:
            self._steps.zero_()
            self._torch_step()
            self._flat.values.addcmul_(self._steps, column)


class PerMember:
    """An optimizer of its own for each member, where a step looks at a matrix as a whole."""

    def __init__(self, entry: ByMatrix, configs: Sequence[OptimConfig], flat: FlatParameters) -> None:
        self._entry = entry
        self._optimizers = [
            entry.make(config, _of_member(flat.layers, k), _of_member(flat.rest, k)) for k, config in enumerate(configs)
        ]

    @property
    def optimizers(self) -> list[TorchOptimizer]:
        return [optimizer for own in self._optimizers for optimizer in own]

    @property
    def together(self) -> list[int]:
        return [1] * len(self._optimizers)

    def begun(self, configs: Sequence[OptimConfig], flat: FlatParameters, together: Sequence[int]) -> "PerMember":
        return self

    def changed(self, configs: Sequence[OptimConfig], flat: FlatParameters, kept: Sequence[int]) -> "PerMember":
        changed = PerMember(self._entry, configs, flat)
        for k, optimizers in zip(kept, changed._optimizers, strict=False):
            for old, new in zip(self._optimizers[k], optimizers, strict=True):
                for before, after in zip(_parameters(old), _parameters(new), strict=True):
                    new.state[after] = old.state[before]
        return changed

    def step(self, lr: np.ndarray, _: Tensor) -> None:
        for rate, optimizers in zip(lr, self._optimizers, strict=True):
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = float(rate)
                optimizer.step()


def blocks_of(entry: ByNumber, configs: Sequence[OptimConfig]) -> list[Block]:
    """Members that begin together, in runs of equal settings."""
    return [Block(len(list(run)), settings) for settings, run in groupby(_settings(entry, each) for each in configs)]


def _settings(entry: ByNumber, config: OptimConfig) -> dict[str, Any]:
    """What the optimizer takes, by its names."""
    settings = {key: getattr(config, key) for key in entry.reads}
    if "beta1" in settings:
        settings["betas"] = (settings.pop("beta1"), settings.pop("beta2"))
    return settings


def _of_member(parameters: Sequence[nn.Parameter], member: int) -> list[nn.Parameter]:
    """A member's part of packed parameters that have a gradient."""
    return [with_gradient(p.data[member], p.grad[member]) for p in parameters if p.grad is not None]


def _parameters(optimizer: TorchOptimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _rows_of(value: Any, size: int, rows: list[int]) -> Any:
    """The part of a state that belongs to some members: all of it where it is for all alike, as a count of steps."""
    return value[rows] if isinstance(value, Tensor) and value.ndim == 2 and len(value) == size else value
