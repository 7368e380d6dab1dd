"""Averages of a network's weights over its training: EMA and SWA."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wellfit.training.ahead import OF_NUMBERS, Ahead, moved
from wellfit.training.regularize import RegularizeConfig


class WeightAverage:
    """A running average of weights and running statistics, which validation and checkpoints use in their place.

    ``ema`` averages after every step, each step weighing ``ema_decay`` times as much as the one after it, corrected for
    its start as Adam's moments are. ``swa`` averages the weights at the end of each epoch from ``swa_start`` on
    (Izmailov et al. 2018); before that, and with ``none``, the weights are used as they are.

    Args:
        configs: the section ``regularize`` of each of K members, with the same ``average``.
        epochs: (K,) of the whole training.
        model: the network.
        values: (K, N) all of its weights (`wellfit.training.flat.FlatParameters`).
        packed: whether buffers have a first dimension K; else ``model`` is a single network.
    """

    def __init__(
        self,
        configs: Sequence[RegularizeConfig],
        epochs: Sequence[int],
        model: nn.Module,
        values: Tensor,
        *,
        packed: bool = False,
    ) -> None:
        self._kind = configs[0].average
        self._decay = np.array([config.ema_decay for config in configs])
        self._first_epoch = np.array(
            [min(n, 1 + int(config.swa_start * n)) for config, n in zip(configs, epochs, strict=True)]
        )
        self._seen = np.zeros(len(configs))  # what the average has seen: 1 - decay ** steps, or the number of epochs
        self._shares = Ahead(self._next_shares, values.device, OF_NUMBERS)
        self._live = _live(model, values, packed)
        self._average = [] if self._kind == "none" else [torch.zeros_like(tensor) for tensor in self._live]

    def change(self, model: nn.Module, values: Tensor, kept: Sequence[int], added: "WeightAverage | None") -> None:
        """Goes on with some members of a pack and with new ones behind them.

        Args:
            model: the changed network.
            values: (K, N) its weights.
            kept: indices of those that stay.
            added: the average of the new ones, fresh; its network is not used. None where there are none.
        """
        rows = list(kept)
        for name in ("_decay", "_first_epoch", "_seen"):
            new = [getattr(added, name)] if added is not None else []
            setattr(self, name, np.concatenate([getattr(self, name)[rows], *new]))
        self._live = _live(model, values, packed=True)
        self._average = [
            torch.cat([old[rows], torch.zeros_like(live[len(rows) :])])
            for old, live in zip(self._average, self._live, strict=False)
        ]

    def state_dict(self) -> dict[str, Any]:
        """The averages, and what they have seen."""
        return {"seen": self._seen.tolist(), "average": self._average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over what :meth:`state_dict` said."""
        self._seen[:] = state["seen"]
        for average, saved in zip(self._average, state["average"], strict=True):
            average.copy_(saved)

    def begin(self, steps: int) -> None:
        """Moves to the device what so many steps, those of an epoch, need from the host."""
        if self._kind == "ema":
            self._shares.begin([None] * steps)

    def after_step(self) -> None:
        """Takes the weights in, if it is an EMA."""
        if self._kind == "ema":
            self._move(self._shares.next(None))

    def _next_shares(self, steps: Sequence[None]) -> list[Tensor]:
        """(K,) of the live weights in the average after each of the next steps."""
        shares = []
        for _ in steps:
            self._seen = self._decay * self._seen + (1 - self._decay)
            shares.append(((1 - self._decay) / self._seen).astype(np.float32))
        return moved(shares, self._live[0].device)

    def after_epoch(self, numbers: np.ndarray) -> None:
        """Takes the weights in, if it is SWA, of the members whose turn has come.

        Args:
            numbers: (K,) of the epoch that has ended, counted from 1.
        """
        if self._kind == "swa":
            begun = numbers >= self._first_epoch
            self._seen += begun
            shares = (begun / self._seen.clip(1)).astype(np.float32)
            self._move(torch.from_numpy(shares).to(self._live[0].device))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Puts the averages there are into the network and takes them out again."""
        if not self._seen.any():
            yield
            return
        kept = [tensor.clone() for tensor in self._live]
        has_seen = torch.from_numpy(self._seen > 0).to(self._live[0].device)
        for live, average in zip(self._live, self._average, strict=True):
            live.copy_(torch.where(_column(has_seen, live), average, live))
        try:
            yield
        finally:
            for live, before in zip(self._live, kept, strict=True):
                live.copy_(before)

    def _move(self, shares: Tensor) -> None:
        for average, live in zip(self._average, self._live, strict=True):
            average.lerp_(live, _column(shares, live))


def _live(model: nn.Module, values: Tensor, packed: bool) -> list[Tensor]:
    """What is averaged, (K, ...) each."""
    statistics = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
    return [values.detach(), *(buffer if packed else buffer[None] for buffer in statistics)]


def _column(values: Tensor, like: Tensor) -> Tensor:
    """(K,) as (K, 1, ...)."""
    return values.view(-1, *[1] * (like.ndim - 1))
