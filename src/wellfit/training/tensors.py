"""A split as tensors on the device, ready for batches by index."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wellfit.data.meta import Meta
from wellfit.data.scratch import copied
from wellfit.data.store import Split
from wellfit.data.target import standardized
from wellfit.training.stream import Stream


class Tensors(NamedTuple):
    """n rows of a split.

    Attributes:
        x: as they are stored: uint8 (n, C, H, W) images, or float32 (n, columns).
        y: (n,) int64 classes, or the standardized target as float32.
        weights: (n,) float32 how much each row counts, or None where all count alike.
        stream: where ``x`` stays on disk; None: it is in memory, on the device.
    """

    x: Tensor
    y: Tensor
    weights: Tensor | None = None
    stream: Stream | None = None

    @property
    def device(self) -> torch.device:
        """Where the rows are trained on."""
        return self.y.device

    def between(self, first: int, end: int | None = None) -> "Tensors":
        """Rows that stand together, in the same memory or file."""
        weights = None if self.weights is None else self.weights[first:end]
        return Tensors(self.x[first:end], self.y[first:end], weights, self.stream)

    def targets_of(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Targets and weights of rows, as many as there are indices.

        Args:
            rows: (K, n) their indices, or (n,) of a single member.
        """
        flat = rows.flatten()
        targets = self.y.index_select(0, flat).view(rows.shape)
        return targets, None if self.weights is None else self.weights.index_select(0, flat).view(rows.shape)


def to_tensors(split: Split, meta: Meta, device: torch.device, budget: int | None = None) -> Tensors:
    """Moves a split to the device, and transforms and standardizes the target as the training rows have it.

    Args:
        split: the rows.
        meta: what is known of the data.
        device: where to.
        budget: bytes; inputs in a file that take more stay there. None: none do.
    """
    y = np.array(split.y)
    if meta.task == "regression":
        y = standardized(meta, y).astype(np.float32)
    weights = None if split.weights is None else torch.tensor(np.array(split.weights), device=device)
    targets = torch.from_numpy(y).to(device)
    if budget is not None and split.x.nbytes > budget:
        stream = Stream(split.x, budget, split.folds)
        return Tensors(stream.x, targets, weights, stream)
    x = copied(split.x) if isinstance(split.x, np.memmap) else split.x
    return Tensors(torch.from_numpy(x).to(device), targets, weights)
