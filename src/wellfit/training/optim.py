"""From gradients to a step: penalties, clipping, weight decay, and the optimizer named in ``optim.name``."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, Adam, Muon, NAdam, RAdam, RMSprop
from torch.optim import Optimizer as TorchOptimizer

from wellfit.training.config import OptimConfig
from wellfit.training.flat import FlatParameters

BY_MATRIX = ("lamb", "muon")  # their step looks at a matrix as a whole; those of the others at each number


class Optimizer:
    """The optimizer of K members and what goes with it, over the weights of each as one row.

    Penalties and decay hold matrices and kernels, unless ``optim.decay_all``: to shrink a bias or the scale of a norm
    regularizes nothing.

    Args:
        configs: the section ``optim`` of each member; all have the same ``name``, ``is_decoupled`` and ``decay_all``.
        model: on its device already; its parameters become views of the rows.
        packed: whether the parameters have a first dimension K; else ``model`` is a single network.
    """

    def __init__(self, configs: Sequence[OptimConfig], model: nn.Module, *, packed: bool = False) -> None:
        self._configs = list(configs)
        self._bind(FlatParameters(model, len(configs) if packed else None))
        kind = _ByMatrix if self._configs[0].name in BY_MATRIX else _ByNumber
        self._torch: _ByMatrix | _ByNumber = kind.begin(self._configs, self._flat)

    def _bind(self, flat: FlatParameters) -> None:
        config = self._configs[0]
        self._flat = flat
        n_decayed = None if config.decay_all else flat.n_matrices
        self._decayed, self._decayed_gradients = flat.values[:, :n_decayed], flat.gradients[:, :n_decayed]
        self._weight_decay = np.array([each.weight_decay for each in self._configs])
        self._decays = config.name != "lamb" and self._weight_decay.any()  # lamb's is a part of its update
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
                self._decayed_gradients.add_(self._decayed * _column(self._weight_decay, gradients.device))
        self._torch.step(lr)
        if self._max_norm is not None:
            for layer in self._flat.layers:
                norms = torch.linalg.vector_norm(layer, dim=2, keepdim=True)
                limits = self._max_norm[..., None]
                layer.mul_(torch.where(norms > limits, limits / (norms + 1e-7), 1.0))  # as torch.renorm
        return norm


class _Block(NamedTuple):
    """Members that stand beside each other and that torch may take for one tensor.

    It counts steps for a tensor as a whole, and takes one value of a setting for all of a group.
    """

    size: int
    settings: dict[str, Any]


class _ByNumber:
    """torch's optimizer where a step looks at each number alone.

    It takes one learning rate for all. So it proposes steps at a rate of 1, starting from zero, of which each member
    takes its part: they are proportional to the rate. A single model has no need of that; a pack of one has, to compute
    to the last bit what it would among others.
    """

    def __init__(self, name: str, blocks: Sequence[_Block], flat: FlatParameters) -> None:
        self._name, self._blocks, self._flat = name, list(blocks), flat
        self._is_single = not flat.is_packed
        self._steps = flat.values if self._is_single else torch.zeros_like(flat.values)
        sizes = [block.size for block in blocks]
        parts = zip(self._steps.split(sizes), flat.gradients.split(sizes), strict=True)
        self._parameters = [_parameter(values, gradients) for values, gradients in parts]
        groups: dict[str, dict[str, Any]] = {}
        for parameter, block in zip(self._parameters, blocks, strict=True):
            group = groups.setdefault(str(block.settings), block.settings | {"params": []})
            group["params"].append(parameter)
        self._optimizer = _optimizer(name, list(groups.values()))
        if name == "sgd":  # torch steps all of a group at once, and fails where some remember steps and others do not
            for group in self._optimizer.param_groups:
                for parameter in group["params"] if group["momentum"] else []:
                    self._optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)

    @classmethod
    def begin(cls, configs: Sequence[OptimConfig], flat: FlatParameters) -> "_ByNumber":
        return cls(configs[0].name, _blocks(configs), flat)

    def changed(self, configs: Sequence[OptimConfig], flat: FlatParameters, kept: Sequence[int]) -> "_ByNumber":
        """The same over some of the members and over new ones, with the memory of those that stay."""
        blocks, states, first = [], [], 0
        for block, parameter in zip(self._blocks, self._parameters, strict=True):
            rows = [k - first for k in kept if first <= k < first + block.size]
            first += block.size
            if rows:
                blocks.append(block._replace(size=len(rows)))
                state = self._optimizer.state[parameter]
                states.append({name: _rows_of(value, block.size, rows) for name, value in state.items()})
        changed = _ByNumber(self._name, blocks + _blocks(configs[len(kept) :]), flat)
        for parameter, state in zip(changed._parameters, states, strict=False):
            if state:
                changed._optimizer.state[parameter] = state
        return changed

    def step(self, lr: np.ndarray) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = float(lr[0]) if self._is_single else 1.0
        if self._is_single:
            self._optimizer.step()
            return
        self._steps.zero_()
        self._optimizer.step()
        self._flat.values.add_(self._steps.mul_(_column(lr, self._steps.device)))


class _ByMatrix:
    """An optimizer of its own for each member, where a step looks at a matrix as a whole."""

    def __init__(self, configs: Sequence[OptimConfig], flat: FlatParameters) -> None:
        self._optimizers = [_of_matrices(config, flat, k) for k, config in enumerate(configs)]

    @classmethod
    def begin(cls, configs: Sequence[OptimConfig], flat: FlatParameters) -> "_ByMatrix":
        return cls(configs, flat)

    def changed(self, configs: Sequence[OptimConfig], flat: FlatParameters, kept: Sequence[int]) -> "_ByMatrix":
        changed = _ByMatrix(configs, flat)
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


def _blocks(configs: Sequence[OptimConfig]) -> list[_Block]:
    """Members that begin together, in runs of equal settings."""
    return [_Block(len(list(run)), settings) for settings, run in groupby(map(_settings, configs))]


def _settings(config: OptimConfig) -> dict[str, Any]:
    """What torch's optimizer takes, by its names."""
    betas, eps = (config.beta1, config.beta2), config.eps
    match config.name:
        case "sgd":
            return {"momentum": config.momentum, "nesterov": config.nesterov}
        case "rmsprop":
            return {"alpha": config.alpha, "eps": eps, "momentum": config.momentum}
        case "adagrad":
            return {"eps": eps}
        case "lion":
            return {"betas": betas}
    return {"betas": betas, "eps": eps}


def _optimizer(name: str, groups: list[dict[str, Any]]) -> TorchOptimizer:
    """Without decay, which is ours."""
    match name:
        case "sgd":
            return SGD(groups, lr=1.0, fused=True)
        case "adam" | "adamw":
            return Adam(groups, lr=1.0, fused=True)
        case "nadam":
            return NAdam(groups, lr=1.0)
        case "radam":
            return RAdam(groups, lr=1.0)
        case "rmsprop":
            return RMSprop(groups, lr=1.0)
        case "adagrad":
            return Adagrad(groups, lr=1.0)
    from pytorch_optimizer import Lion

    return Lion(groups, lr=1.0, weight_decay=0.0)


def _of_matrices(config: OptimConfig, flat: FlatParameters, member: int) -> list[TorchOptimizer]:
    """One optimizer over all weights of a member, or two where matrices are treated apart."""
    layers, rest = (
        [_parameter(p.data[member], p.grad[member]) for p in parameters if p.grad is not None]
        for parameters in (flat.layers, flat.rest)
    )
    lr, betas, eps = config.lr, (config.beta1, config.beta2), config.eps
    if config.name == "muon":
        # Momentum made orthogonal is defined for matrices; Adam takes the rest, at rates that go together.
        matrices = Muon(
            layers,
            lr,
            weight_decay=0.0,
            momentum=config.momentum,
            nesterov=config.nesterov,
            adjust_lr_fn="match_rms_adamw",
        )
        return [matrices, *([Adam(rest, lr, betas, eps, fused=True)] if rest else [])]
    from pytorch_optimizer import Lamb

    groups: list[dict[str, Any]] = [{"params": layers, "weight_decay": config.weight_decay}]
    groups += [{"params": rest, "weight_decay": config.weight_decay if config.decay_all else 0.0}] if rest else []
    # Decay inside the update, and no correction of the step for the bias of the first moments, as in the paper: the
    # library would divide the first steps by 1 - beta1 after the trust ratio had set their size.
    return [Lamb([g | {"adam_debias": True} for g in groups], lr, betas, weight_decouple=False, eps=eps)]


def _parameters(optimizer: TorchOptimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _parameter(values: Tensor, gradient: Tensor) -> nn.Parameter:
    parameter = nn.Parameter(values)
    parameter.grad = gradient
    return parameter


def _rows_of(value: Any, size: int, rows: list[int]) -> Any:
    """The part of a state that belongs to some members: all of it where it is for all alike, as a count of steps."""
    return value[rows] if isinstance(value, Tensor) and value.ndim == 2 and len(value) == size else value


def _limits(values: Sequence[float | None], device: torch.device) -> Tensor | None:
    """(K, 1) limits or strengths, or None where there is none."""
    if not any(values):
        return None
    column = np.array([np.inf if value is None else value for value in values], np.float32)
    return torch.from_numpy(column).to(device)[:, None]


def _column(values: np.ndarray, device: torch.device) -> Tensor | float:
    """(K,) as (K, 1) float32; of a pack of one as a number, which is quicker to make and to use."""
    if len(values) == 1:
        return float(values[0])
    return torch.from_numpy(values.astype(np.float32)).to(device)[:, None]
