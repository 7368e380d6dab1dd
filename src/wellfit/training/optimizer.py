"""From gradients to a step: penalties, clipping, weight decay, and the optimizer named in ``optim.name``."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from wellfit.training.ahead import OF_NUMBERS, Ahead
from wellfit.training.flat import FlatParameters
from wellfit.training.optim import OPTIMIZERS, ByMatrix, OptimConfig
from wellfit.training.updates import PerMember, Shared, blocks_of


class Rates(NamedTuple):
    """What a step makes of the learning rate: (K, 1) float32 on the device.

    Attributes:
        lr: the learning rate.
        kept: the share of a weight that decoupled weight decay leaves.
    """

    lr: Tensor
    kept: Tensor


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
        self._torch: PerMember | Shared = (
            PerMember(entry, self._configs, self._flat)
            if isinstance(entry, ByMatrix)
            else Shared(entry, blocks_of(entry, self._configs), self._flat)
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
        self._decay = _columns(self._weight_decay[None], device)[0]
        self._rates = Ahead(self._make_rates, device, OF_NUMBERS)

    def _make_rates(self, lrs: Sequence[np.ndarray]) -> list[Rates]:
        """Of each step, from its (K,) learning rates."""
        steps = np.stack(lrs)
        columns = _columns(np.concatenate([steps, 1 - steps * self._weight_decay]), self._flat.values.device)
        return list(map(Rates, columns[: len(lrs)], columns[len(lrs) :]))

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

    def begin(self, lrs: np.ndarray) -> None:
        """Moves to the device what the steps of an epoch need from the host.

        Args:
            lrs: (steps, K) learning rates.
        """
        self._rates.begin(list(lrs))

    @torch.no_grad()
    def step(self, lr: np.ndarray) -> Tensor:
        """Moves the weights.

        Args:
            lr: (K,) learning rate of this step.

        Returns:
            (K,) the norm of the gradient, an L1 penalty included, before clipping and weight decay.
        """
        config, gradients, rates = self._configs[0], self._flat.gradients, self._rates.next(lr)
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
                self._decayed.mul_(rates.kept)
            else:
                self._decayed_gradients.addcmul_(self._decayed, self._decay)
        self._torch.step(lr, rates.lr)
        if self._max_norm is not None:
            for layer in self._flat.layers:
                norms = torch.linalg.vector_norm(layer, dim=2, keepdim=True)
                limits = self._max_norm[..., None]
                layer.mul_(torch.where(norms > limits, limits / (norms + 1e-7), 1.0))  # as torch.renorm
        if before:  # a part of the step is a step of a part of the rate, whatever the optimizer
            torch._foreach_lerp_(self._body, before, 1 - config.body_lr)
        return norm


def _limits(values: Sequence[float | None], device: torch.device) -> Tensor | None:
    """(K, 1) limits or strengths, or None where there is none."""
    if not any(values):
        return None
    column = np.array([np.inf if value is None else value for value in values], np.float32)
    return torch.from_numpy(column).to(device)[:, None]


def _columns(values: np.ndarray, device: torch.device) -> Sequence[Tensor]:
    """(n, K) as n times (K, 1) float32, by a single copy."""
    return torch.from_numpy(values.astype(np.float32)).to(device)[..., None].unbind()
