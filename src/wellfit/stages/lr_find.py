"""The learning-rate range test (Smith 2017): a short training whose learning rate rises until the loss explodes."""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from wellfit import tracking
from wellfit.charts.style import save
from wellfit.charts.training import lr_range
from wellfit.errors import WellfitError
from wellfit.files import write_csv
from wellfit.progress import Progress
from wellfit.settings.params import Params, flatten
from wellfit.training.config import LrFindConfig
from wellfit.training.loop import BatchOrder, Learner
from wellfit.training.record import resolved_config
from wellfit.training.setup import begin, load_training_data

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


def lr_find(params: Params, data_folder: Path, report: Path) -> None:
    """Runs the test with the network, optimizer, loss and batches of ``params``, and records it.

    Args:
        params: the configuration, as it stands there: tuned values are not used.
        data_folder: ``data/processed/<name>``.
        report: gets ``lr_find.csv`` and ``lr_find.png``.

    Raises:
        WellfitError: missing data, or a loss that does not fall at any rate.
    """
    data = load_training_data(params, data_folder)
    learner = begin(params, data).learner
    order = BatchOrder(len(data.train.y), params.train.rows_per_step, [params.train.seed], data.train.x.device)
    config = resolved_config(params) | {"lr_find": params.lr_find.model_dump()}
    with tracking.start_run("lr_find", f"lr_find {data.meta.name} {params.model.name}", data.meta) as run:
        run.log_params(flatten(config))
        curve = range_test(learner, order, params.lr_find)
        (report / "lr_find.png").unlink(missing_ok=True)  # of a curve before
        write_csv(report / "lr_find.csv", curve._fields, zip(*(column.tolist() for column in curve), strict=True))
        found = suggest(curve)
        save(lr_range(*curve, found), report / "lr_find.png")
        for step, values in enumerate(zip(*curve, strict=True), start=1):
            run.log_metrics({f"lr_find/{name}": x for name, x in zip(curve._fields, values, strict=True)}, step)
        run.log_metrics({"lr_find/steepest": found.steepest, "lr_find/tenth_of_lowest": found.tenth})
        run.log_files(report, "lr_find")
    low, high = sorted(found)
    print(
        f"try optim.lr between {low:.2g} and {high:.2g}: the loss falls most steeply at {found.steepest:.2g}, and a "
        f"tenth of the rate where it is lowest is {found.tenth:.2g} ({report / 'lr_find.png'})"
    )


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
