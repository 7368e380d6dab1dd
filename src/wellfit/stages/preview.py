"""A picture of what ``data.augment`` does to real training images."""

import textwrap
from pathlib import Path

import numpy as np
import torch

from wellfit.charts.data import image_rows
from wellfit.charts.style import plain, save
from wellfit.data.augment.apply import Augment
from wellfit.data.augment.settings import Operations, operations
from wellfit.data.store import load_meta, load_split
from wellfit.errors import WellfitError
from wellfit.report.examples import sample_rows
from wellfit.settings.params import Params

SAMPLES, DRAWS = 6, 7


def preview(params: Params, data_folder: Path, out: Path) -> None:
    """Draws some training images as they are, and as training may see them.

    Args:
        params: the configuration.
        data_folder: ``data/processed/<name>``.
        out: the PNG to make or replace.

    Raises:
        WellfitError: the data are not images, or not there, or ``data.augment`` is none.
    """
    meta = load_meta(data_folder)
    if meta.kind != "images":
        raise WellfitError(f"data.name {meta.name} is a table, and only images are augmented (params.yaml)")
    if params.data.augment == "none":
        raise WellfitError(
            "data.augment none leaves images as they are; change it in params.yaml, or try --set data.augment=light"
        )
    train = load_split(data_folder, meta, "train")
    rows = sample_rows(train.y, SAMPLES)
    images = torch.from_numpy(np.array(train.x[rows]))
    augment = Augment(params.data.augment, params.train.seed)
    drawn = torch.stack([images.float(), *(augment(images) for _ in range(DRAWS))], 1)
    names = [meta.class_names[int(y)] for y in train.y[rows]] if meta.class_names else [f"{y:g}" for y in train.y[rows]]
    save(image_rows(drawn.numpy(), names, _title(params)), out)


def _title(params: Params) -> str:
    augment = params.data.augment
    done = operations(augment).model_dump(mode="json", exclude_none=True)
    ranges = ", ".join(f"{name} {_plainly(value)}" for name, value in done.items())
    name = "a list of operations" if isinstance(augment, Operations) else augment
    return "\n".join([f"{plain(params.data.name)} with data.augment {name}", *textwrap.wrap(ranges, 110)])


def _plainly(value: object) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{name} {_plainly(inner)}" for name, inner in value.items()) + ")"
    if isinstance(value, list):
        return " to ".join(f"{end:g}" for end in value)
    return f"{value:g}"
