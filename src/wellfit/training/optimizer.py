"""From gradients to a step: penalties, clipping, weight decay, and the optimizer named in ``optim.name``."""

from collections.abc import Sequence
from itertools import accumulate, groupby
from pkgutil import resolve_name
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim import Optimizer as TorchOptimizer

from wellfit.training.flat import FlatParameters, with_gradient
from wellfit.training.optim import OPTIMIZERS, ByMatrix, ByNumber, OptimConfig


class Optimizer:
    """The optimizer of K members and what goes with it, over the weights of each as one row.

    Penalties and decay hold matrices and kernels, unless ``optim.decay_all``: to shrink a bias or the scale of a norm
    regularizes nothing.

    Args:
        configs: the section ``optim`` of each member; all have the same ``name``, ``is_decoupled`` and ``decay_all``.
        model: on its device already; its parameters become views of the rows. Those of its ``body``, where it has one,
            take ``optim.body_lr`` of each step.
        packed: whether the parameters have a first dimension K; else ``model`` is a single network.
    """

    def __init__(self, configs: Sequence[OptimConfig], model: nn.Module, *, packed: bool = False) -> None:
        self._configs = list(configs)
        self._bind(FlatParameters(model, len(configs) if packed else None))
        body = getattr(model, "body", None)
        self._body = [] if body is None else [p.data for p in body.parameters() if p.requires_grad]
        entry = OPTIMIZERS[self._configs[0].name]
        self._torch: _PerMember | _Shared = (
            _PerMember(entry, self._configs, self._flat)
            if isinstance(entry, ByMatrix)
            else _Shared(entry, _blocks(entry, self._configs), self._flat)
        )

    def _bind(self, flat: FlatParameters) -> None:
        config = self._configs[0]
        self._flat = flat
        n_decayed = None if config.decay_all else flat.n_matrices
        self._decayed, self._decayed_gradients = flat.values[:, :n_decayed], flat.gradients[:, :n_decayed]
        self._weight_decay = np.array([each.weight_decay for each in self._configs])
        self._decays = not config.decays_itself and self._weight_decay.any()
        device = flat.values.device
        self._l1, self._clip_norm, self._clip_value, self._max_norm = (
            _limits([getattr(each, name) for each in self._configs], device)
            for name in ("l1", "clip_norm", "clip_value", "max_norm")
        )

    def change(self, model: nn.Module, kept: Sequence[int], added: Sequence[OptimConfig]) -> None:
        """Goes on with some of the members of a pack, in rising order, and with new ones behind them.

        Args:
            model: whose members have changed likewise.
            kept: indices of those that stay.
            added: the section ``optim`` of each new one.
        """
        self._configs = [self._configs[k] for k in kept] + list(added)
        self._bind(FlatParameters(model, len(self._configs)))
        self._torch = self._torch.changed(self._configs, self._flat, kept)

    @property
    def values(self) -> Tensor:
        """(K, N) all weights of each member."""
        return self._flat.values

    @property
    def gradients(self) -> Tensor:
        """(K, N) all gradients of each member."""
        return self._flat.gradients

    def state_dict(self) -> dict[str, Any]:
        """All weights of each member, and what torch's optimizers remember."""
        states = [each.state_dict() for each in self._torch.optimizers]
        return {"values": self.values, "together": self._torch.together, "torch": states}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over what :meth:`state_dict` said, into the tensors that the network looks at."""
        self.values.copy_(state["values"])
        self._torch = self._torch.begun(self._configs, self._flat, state["together"])
        for optimizer, remembered in zip(self._torch.optimizers, state["torch"], strict=True):
            optimizer.load_state_dict(remembered)

    def zero_grad(self) -> None:
        """Clears the gradients, to which every backward pass adds."""
        self._flat.gradients.zero_()

    @torch.no_grad()
    def step(self, lr: np.ndarray) -> Tensor:
        """Moves the weights.

        Args:
            lr: (K,) learning rate of this step.

        Returns:
            (K,) the norm of the gradient, an L1 penalty included, before clipping and weight decay.
        """
        config, gradients = self._configs[0], self._flat.gradients
        before = [each.clone() for each in self._body] if config.body_lr < 1 else []
        if self._l1 is not None:
            self._decayed_gradients.add_(self._decayed.sign().mul_(self._l1))
        norm: Tensor = torch.linalg.vector_norm(gradients, dim=1)
        if self._clip_norm is not None:  # as torch.nn.utils.clip_grad_norm_
            gradients.mul_((self._clip_norm / (norm[:, None] + 1e-6)).clamp_(max=1.0))
        if self._clip_value is not None:
            gradients.clamp_(-self._clip_value, self._clip_value)
        if self._decays:
            if config.is_decoupled:
                self._decayed.mul_(_column(1 - lr * self._weight_decay, gradients.device))
            else:
                self._decayed_gradients.addcmul_(self._decayed, _column(self._weight_decay, gradients.device))
        self._torch.step(lr)
        if self._max_norm is not None:
            for layer in self._flat.layers:
                norms = torch.linalg.vector_norm(layer, dim=2, keepdim=True)
                limits = self._max_norm[..., None]
                layer.mul_(torch.where(norms > limits, limits / (norms + 1e-7), 1.0))  # as torch.renorm
        if before:  # a part of the step is a step of a part of the rate, whatever the optimizer
            torch._foreach_lerp_(self._body, before, 1 - config.body_lr)
        return norm


class _Block(NamedTuple):
    """Members that stand beside each other and that torch may take for one tensor.

    It counts steps for a tensor as a whole, and takes one value of a setting for all of a group.
    """

    size: int
    settings: dict[str, Any]


class _Shared:
    """torch's optimizer where a step looks at each number alone.

    It takes one learning rate for all. So it proposes steps at a rate of 1, starting from zero, of which each member
    takes its part: they are proportional to the rate. A single model has no need of that; a pack of one has, so that
    its steps are computed as they would be among others.
    """

    def __init__(self, entry: ByNumber, blocks: Sequence[_Block], flat: FlatParameters) -> None:
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

    def begun(self, configs: Sequence[OptimConfig], flat: FlatParameters, together: Sequence[int]) -> "_Shared":
        """A new one over members of which so many, one run after the other, have taken as many steps."""
        firsts = accumulate(together[:-1], initial=0)
        blocks = [_Block(n, _settings(self._entry, configs[k])) for n, k in zip(together, firsts, strict=True)]
        return _Shared(self._entry, blocks, flat)

    def changed(self, configs: Sequence[OptimConfig], flat: FlatParameters, kept: Sequence[int]) -> "_Shared":
        """The same over some of the members and over new ones, with the memory of those that stay."""
        blocks, states, first = [], [], 0
        for block, parameter in zip(self._blocks, self._parameters, strict=True):
            rows = [k - first for k in kept if first <= k < first + block.size]
            first += block.size
            if rows:
                blocks.append(block._replace(size=len(rows)))
                state = self._optimizer.state[parameter]
                states.append({name: _rows_of(value, block.size, rows) for name, value in state.items()})
        changed = _Shared(self._entry, blocks + _blocks(self._entry, configs[len(kept) :]), flat)
        for parameter, state in zip(changed._parameters, states, strict=False):
            if state:
                changed._optimizer.state[parameter] = state
        return changed

    def step(self, lr: np.ndarray) -> None:
        if self._is_single:
            for group in self._optimizer.param_groups:
                group["lr"] = float(lr[0])
            self._optimizer.step()
        else:
            self._steps.zero_()
            self._optimizer.step()
            self._flat.values.addcmul_(self._steps, _column(lr, self._steps.device))


class _PerMember:
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

    def begun(self, configs: Sequence[OptimConfig], flat: FlatParameters, together: Sequence[int]) -> "_PerMember":
        return self

    def changed(self, configs: Sequence[OptimConfig], flat: FlatParameters, kept: Sequence[int]) -> "_PerMember":
        changed = _PerMember(self._entry, configs, flat)
        for k, optimizers in zip(kept, changed._optimizers, strict=False):
            for old, new in zip(self._optimizers[k], optimizers, strict=True):
                for before, after in zip(_parameters(old), _parameters(new), strict=True):
                    new.state[after] = old.state[before]
        return changed

    def step(self, lr: np.ndarray) -> None:
        for rate, optimizers in zip(lr, self._optimizers, strict=True):
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = float(rate)
                optimizer.step()


def _blocks(entry: ByNumber, configs: Sequence[OptimConfig]) -> list[_Block]:
    """Members that begin together, in runs of equal settings."""
    return [_Block(len(list(run)), settings) for settings, run in groupby(_settings(entry, each) for each in configs)]


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


def _limits(values: Sequence[float | None], device: torch.device) -> Tensor | None:
    """(K, 1) limits or strengths, or None where there is none."""
    if not any(values):
        return None
    column = np.array([np.inf if value is None else value for value in values], np.float32)
    return torch.from_numpy(column).to(device)[:, None]


def _column(values: np.ndarray, device: torch.device) -> Tensor:
    """(K,) as (K, 1) float32."""
    return torch.from_numpy(values.astype(np.float32)).to(device)[:, None]
