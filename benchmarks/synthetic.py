"""Networks on random rows, for benchmarks of a step."""

from time import perf_counter
from typing import Any

import numpy as np
import torch

from wellfit.data.meta import Meta
from wellfit.settings.params import load_params
from wellfit.training.learner import Learner
from wellfit.training.tensors import Tensors

SECONDS = 0.3  # of each measurement


def learner(model: str, shape: tuple[int, ...], widths: list[int], batch: int, **changes: Any) -> Learner:
    """A network that classifies rows of a shape into ten classes.

    Args:
        model: ``model.name``.
        shape: (features,) or (channels, height, width).
        widths: of the hidden layers, or channels of the blocks.
        batch: rows a step; there are eight times as many.
        changes: of ``train``, such as ``precision="bf16"``.
    """
    network = {"model.name": model, "model.hidden": widths, "model.channels": widths, "train.batch_size": batch}
    params = load_params().replace(network | {f"train.{key}": value for key, value in changes.items()})
    meta = Meta.model_construct(
        kind="images" if len(shape) == 3 else "table",
        columns=(),
        input_shape=shape,
        mean=(0.0,) * shape[0],
        std=(1.0,) * shape[0],
        class_names=tuple("0123456789"),
        task="classification",
        target_mean=None,
        target_std=None,
    )
    data = Tensors(torch.randn(8 * batch, *shape), torch.randint(10, (8 * batch,)))
    return Learner([params], meta, data, data, packed=False)


def seconds_a_step(single: Learner, batch: int) -> float:
    """Seconds of a step of a `learner`, the mean over `SECONDS`."""
    rows = [torch.randperm(8 * batch)[:batch][None] for _ in range(4)]
    lr = np.array([1e-4])
    started, steps = perf_counter(), 0
    while perf_counter() - started < SECONDS:
        for each in rows:
            single.step(each, lr)
        steps += len(rows)
    seconds = (perf_counter() - started) / steps
    single.finish_epoch(np.array([1]))
    return seconds
