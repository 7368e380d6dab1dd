"""From rows as they are stored to what a network takes."""

import torch
from torch import Tensor

from wellfit.data.meta import Meta
from wellfit.models import ModelConfig
from wellfit.models.embedding import TableColumns
from wellfit.models.numeric import NUMERIC, ColumnStatistics


def inputs_of(config: ModelConfig, meta: Meta, device: torch.device) -> "Inputs":
    """What encodes the rows of these data for a network.

    Args:
        config: the section ``model``.
        meta: what is known of the data.
        device: where the rows are.
    """
    kind = AsStored if config.is_of_timm else Inputs
    return kind(meta, config.numeric, device)


class Inputs:
    """Transforms numbers, standardizes pixels by the statistics of the training rows, and one-hot encodes categories.

    It is applied to each batch: images stay bytes in memory, categories stay codes.

    Args:
        meta: what is known of the data.
        numeric: ``model.numeric``, which transforms the numbers of a table. Flags of missing ones are standardized.
        device: where the rows are.

    Attributes:
        shape: of one row for the network: (channels, height, width), or (features,).
        columns: what stands where in a row of a table for the network; None for images.
    """

    columns: TableColumns | None = None

    def __init__(self, meta: Meta, numeric: str, device: torch.device) -> None:
        # Features stand last, channels of images (B, C, H, W) second.
        axes = (-1, 1, 1) if meta.kind == "images" else (-1,)
        self._mean = torch.tensor(meta.mean, dtype=torch.float32, device=device).view(axes)
        self._std = torch.tensor(meta.std, dtype=torch.float32, device=device).view(axes)
        counts = meta.category_counts
        self._n_standard, self._n_categories = len(meta.mean), sum(counts)
        widths = torch.tensor(counts, dtype=torch.int64, device=device)
        self._first = widths.cumsum(0) - widths
        self.shape = (self._n_standard + self._n_categories,) if counts else meta.input_shape
        self._transform = NUMERIC[numeric]
        if meta.kind == "table":
            n = self._n_numbers = len(meta.quantiles)
            quantiles = torch.tensor(meta.quantiles, dtype=torch.float32, device=device)
            firsts = torch.searchsorted(quantiles, quantiles)
            self._statistics = ColumnStatistics(self._mean[:n], self._std[:n], quantiles, firsts)
            steps = self._transform(quantiles.t(), self._statistics).t() if n else quantiles
            self.columns = TableColumns(steps, self._n_standard - n, counts, meta.split_sizes["train"])

    def __call__(self, rows: Tensor) -> Tensor:
        """Encodes a batch.

        Args:
            rows: (B, C, H, W) pixels from 0 to 255, uint8 or float32; or (B, columns) float32 numbers, then codes.

        Returns:
            (B, *shape) float32. A category that is not told apart, of code -1, is all zeros.
        """
        if self.columns is None:
            return rows.sub(self._mean).div_(self._std)
        numbers, standard = rows[:, : self._n_numbers], slice(self._n_numbers, self._n_standard)
        encoded = torch.zeros(rows.shape[0], *self.shape, device=rows.device)  # len() would be a constant in an export
        if self._n_numbers:
            encoded[:, : self._n_numbers] = self._transform(numbers, self._statistics)
        encoded[:, standard] = rows[:, standard].sub(self._mean[standard]).div_(self._std[standard])
        codes = rows[:, self._n_standard :].long()
        columns = self._n_standard + self._first + codes.clamp_min(0)
        return encoded.scatter_(1, columns, (codes >= 0).float())


class AsStored(Inputs):
    """Images for a network that standardizes them itself, as its weights want them, or features and maps of images."""

    def __call__(self, rows: Tensor) -> Tensor:
        """(B, *shape) float32: of images pixels from 0 to 255."""
        return rows.float()
