"""The learning-rate range test (Smith 2017): a short training whose learning rate rises until the loss explodes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from wellfit.config import Config, Positive
from wellfit.errors import WellfitError
from wellfit.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor

    from wellfit.training.learner import Learner
    from wellfit.training.loop import BatchOrder

# Each loss weighs 0.9 times as much as the one after it, so the curve trails the losses by ten steps: a third of a
# power of ten with the shipped values. fastai's 0.98 trails by fifty.
SMOOTHING = 0.9
EXPLODED = 4.0  # times the lowest smoothed loss, as in fastai
SETTLED = 10  # steps until the smoothed loss is an average of some
BEGUN = 0.9  # of the whole fall that is left once it has begun


class LrCurve(NamedTuple):
    """What each step brought: learning rate, loss of its batch, smoothed loss, all (steps,)."""

    lr: np.ndarray
    loss: np.ndarray
    smoothed: np.ndarray


class Suggestion(NamedTuple):
    """Two common readings of the curve: where it falls most steeply, and a tenth of where it is lowest."""

    steepest: float
    tenth: float


class LrFindConfig(Config):
    low: Positive
    high: Positive
    steps: int = Field(ge=50, le=100_000)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low must be < high, got low {self.low:g} and high {self.high:g}")
        return self


def range_test(learner: Learner, order: BatchOrder, config: LrFindConfig) -> LrCurve:
    """Takes steps at rising rates, until the last one or until the loss has exploded.

    Args:
        learner: a fresh one; it is of no use afterwards.
        order: of the training rows, epoch after epoch.
        config: the section ``lr_find``.
    """
    rates = np.geomspace(config.low, config.high, config.steps)
    losses: list[float] = []
    smoothed: list[float] = []
    average = 0.0
    with Progress("lr_find", config.steps, "step") as progress:
        for step, (lr, rows) in enumerate(zip(rates, _batches(order, config.steps), strict=True), start=1):
            learner.step(rows, np.array([lr]))
            loss = float(learner.finish_epoch(np.ones(1, int))["train/loss"][0])  # an epoch of one step
            if not math.isfinite(loss):
                break
            average = SMOOTHING * average + (1 - SMOOTHING) * loss
            losses.append(loss)
            smoothed.append(average / (1 - SMOOTHING**step))  # as Adam corrects its moments for their start
            progress.show(step, {"lr": float(lr), "loss": smoothed[-1]})
            if step > SETTLED and smoothed[-1] > EXPLODED * min(smoothed):
                break
    return LrCurve(rates[: len(losses)], np.array(losses), np.array(smoothed))


def suggest(curve: LrCurve) -> Suggestion:
    """Reads a curve.

    Raises:
        WellfitError: it has no fall to read.
    """
    smoothed = curve.smoothed
    lowest = int(smoothed.argmin()) if len(smoothed) else 0
    if lowest < SETTLED:
        raise WellfitError(
            f"the loss fell at no learning rate from lr_find.low on ({len(smoothed)} steps until it exploded or the "
            "test ended): lower lr_find.low, or look at the data and at model.init (params.yaml)"
        )
    # The steepest place of the fall itself: before it has begun, slopes are chance.
    begun = smoothed[lowest] + BEGUN * (smoothed[SETTLED - 1] - smoothed[lowest])
    first = int(np.flatnonzero(smoothed[: lowest + 1] >= begun)[-1])
    slopes = np.gradient(smoothed, np.log(curve.lr))[first : lowest + 1]
    return Suggestion(float(curve.lr[first + int(slopes.argmin())]), float(curve.lr[lowest]) / 10)


def _batches(order: BatchOrder, steps: int) -> list[Tensor]:
    """The first so many batches of an endless training."""
    epochs = -(-steps // order.steps)
    return [rows for epoch in range(1, epochs + 1) for rows in order.epoch(np.array([epoch]))][:steps]
