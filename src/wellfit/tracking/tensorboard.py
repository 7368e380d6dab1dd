"""The section ``track`` of ``params.yaml``, and TensorBoard event files, for ``track.tensorboard``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from wellfit.config import Config

if TYPE_CHECKING:
    from torch import Tensor

BINS = 64  # of a histogram; TensorBoard's own 1500 make files of hundreds of megabytes


class TrackConfig(Config):
    layers: bool
    tensorboard: bool


class EventFiles:
    """The event files of one training: the scalars of each epoch under their names in MLflow, and its weights.

    Args:
        folder: of this training alone; it is made.
        after: the epoch that the training goes on after; what is there of later ones is not shown.
    """

    def __init__(self, folder: Path, after: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter  # here: it costs half a second, and most trainings do without

        self._writer = SummaryWriter(str(folder), purge_step=after + 1 if after else None)

    def write(self, epoch: int, values: Mapping[str, float], weights: Mapping[str, Tensor]) -> None:
        """Adds an epoch. What is not finite is left out, as in MLflow.

        Args:
            epoch: counted from 1.
            values: metrics by name.
            weights: tensors by name, each of which becomes a histogram.
        """
        for name, value in values.items():
            if math.isfinite(value):
                self._writer.add_scalar(name, value, epoch)
        for name, tensor in weights.items():
            if tensor.isfinite().all():
                self._writer.add_histogram(f"weights/{name}", tensor.detach(), epoch, bins=BINS)

    def close(self) -> None:
        """Writes what has gathered."""
        self._writer.close()


@contextmanager
def event_files(folder: Path | None, after: int = 0) -> Iterator[EventFiles | None]:
    """Event files that are complete on every way out, or None where no folder is given."""
    if folder is None:
        yield None
        return
    files = EventFiles(folder, after)
    try:
        yield files
    finally:
        files.close()
