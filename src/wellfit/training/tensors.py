"""A split as tensors on the device, standardized, ready for batches by index."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wellfit.data.store import Meta, Split


class Tensors(NamedTuple):
    """x (n, *input_shape) float32 and y (n,): int64 classes, or the standardized target as float32."""

    x: Tensor
    y: Tensor


def to_tensors(split: Split, meta: Meta, device: torch.device) -> Tensors:
    """Standardizes a split by the statistics of the training rows and moves it to the device."""
    # Features of a table stand last, channels of images (n, C, H, W) second.
    shape = (-1, 1, 1) if meta.kind == "images" else (-1,)
    mean = np.asarray(meta.mean, np.float32).reshape(shape)
    std = np.asarray(meta.std, np.float32).reshape(shape)
    x = np.subtract(split.x, mean, dtype=np.float32)
    x /= std
    y = np.array(split.y)
    if meta.target_mean is not None and meta.target_std is not None:
        y = ((y - meta.target_mean) / meta.target_std).astype(np.float32)
    return Tensors(torch.from_numpy(x).to(device), torch.from_numpy(y).to(device))
