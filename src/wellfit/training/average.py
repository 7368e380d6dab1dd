"""Averages of a network's weights over its training: EMA and SWA."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from wellfit.training.config import RegularizeConfig


class WeightAverage:
    """A running average of weights and running statistics, which validation and checkpoints use in their place.

    ``ema`` averages after every step, each step weighing ``ema_decay`` times as much as the one after it, corrected for
    its start as Adam's moments are. ``swa`` averages the weights at the end of each epoch from ``swa_start`` on
    (Izmailov et al. 2018); before that, and with ``none``, the weights are used as they are.

    Args:
        config: the section ``regularize``.
        model: the network.
        vector: all of its weights (`wellfit.training.flat.FlatParameters`).
        epochs: of the whole training.
    """

    def __init__(self, config: RegularizeConfig, model: nn.Module, vector: Tensor, epochs: int) -> None:
        self._config = config
        self._first_epoch = min(epochs, 1 + int(config.swa_start * epochs))
        statistics = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
        self._live = [vector.detach(), *statistics]
        self._average = [] if config.average == "none" else [torch.zeros_like(tensor) for tensor in self._live]
        self._weight = 0.0  # what the average has seen: 1 - decay ** steps, or the number of epochs

    def after_step(self) -> None:
        """Takes the weights in, if it is an EMA."""
        if self._config.average == "ema":
            decay = self._config.ema_decay
            self._weight = decay * self._weight + (1 - decay)
            self._move((1 - decay) / self._weight)

    def after_epoch(self, number: int) -> None:
        """Takes the weights in, if it is SWA and its turn has come.

        Args:
            number: of the epoch that has ended, counted from 1.
        """
        if self._config.average == "swa" and number >= self._first_epoch:
            self._weight += 1
            self._move(1 / self._weight)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Puts the average into the network and takes it out again."""
        if self._weight == 0:
            yield
            return
        kept = [tensor.clone() for tensor in self._live]
        self._write(self._average)
        try:
            yield
        finally:
            self._write(kept)

    def _move(self, share: float) -> None:
        for average, live in zip(self._average, self._live, strict=True):
            average.lerp_(live, share)

    def _write(self, values: list[Tensor]) -> None:
        for live, value in zip(self._live, values, strict=True):
            live.copy_(value)
