"""Embeddings of a table's columns: several numbers in place of one, which a network learns to use.

Gorishniy et al. 2022, On Embeddings for Numerical Features in Tabular Deep Learning; the cosine embedding is that of
TabPack (Gorishniy et al. 2026). Activations are (..., features, B): a pack's have a first dimension K.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pkgutil import resolve_name
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function

from wellfit.errors import WellfitError
from wellfit.models import EMBEDDINGS, ModelConfig

BINS, ROWS_OF_A_BIN = 32, 16  # where model.embedding_size is auto
FREQUENCIES = 16


class TableColumns(NamedTuple):
    """What stands where in a row of a table: numbers, then flags of missing ones, then one-hot categories.

    Attributes:
        steps: (N, Q) quantiles of each column of numbers over the training rows, transformed as the numbers are.
        flags: how many.
        categories: how many of each column.
        rows: of the training split.
    """

    steps: Tensor
    flags: int
    categories: tuple[int, ...]
    rows: int


class PiecewiseLinear(nn.Module):
    """Piecewise-linear encoding: how far a number has come through each bin (equation 1 of the paper).

    Bins have equal shares of the training rows, and are fewer where quantiles are equal. In the first and the last one
    numbers beyond those of training go on along the line, by the width of the bin at most. A bin that a column lacks is
    zero.

    Args:
        steps: (N, Q) quantiles of each column.
        bins: of a column, at most.

    Attributes:
        features: numbers that come out for a column.
    """

    def __init__(self, steps: Tensor, bins: int) -> None:
        super().__init__()
        shares = torch.linspace(0, 1, bins + 1, device="cpu")  # wherever the network is, if anywhere
        edges = [torch.quantile(column, shares).unique() for column in steps.cpu()]
        self.features = max(1, *(len(each) - 1 for each in edges))
        slope, offset, lowest = (torch.zeros(len(edges), self.features) for _ in range(3))
        highest = torch.ones_like(lowest)
        for column, each in enumerate(edges):
            n = len(each) - 1  # 0 where the column is constant
            slope[column, :n] = 1 / each.diff()
            offset[column, :n] = -each[:-1] / each.diff()
            lowest[column, :n][:1], highest[column, :n][-1:] = -1, 2
        for name, tensor in (("slope", slope), ("offset", offset), ("lowest", lowest), ("highest", highest)):
            self.register_buffer(name, tensor.flatten())
        self._shape = (len(edges), self.features)

    def forward(self, x: Tensor) -> Tensor:
        """From (..., N, B) to (..., N, features, B)."""
        slope, offset, lowest, highest = (_by_column(each, self._shape) for each in self.buffers())
        return torch.addcmul(offset, slope, x.unsqueeze(-2)).clamp(lowest, highest)


class Periodic(nn.Module):
    """Cosines and sines of learned multiples of a number.

    Args:
        columns: N.
        frequencies: of a column.
        scale: standard deviation of the first frequencies, which are normal and at most three times as large.

    Attributes:
        features: numbers that come out for a column.
    """

    def __init__(self, columns: int, frequencies: int, scale: float) -> None:
        super().__init__()
        self._shape, self.features = (columns, frequencies), 2 * frequencies
        self.frequencies = nn.Parameter(_truncated_normal(columns * frequencies, scale))

    def forward(self, x: Tensor) -> Tensor:
        """From (..., N, B) to (..., N, features, B)."""
        waves: Tensor = _Waves.apply(2 * math.pi * _by_column(self.frequencies, self._shape) * x.unsqueeze(-2))
        return waves


class Cosine(nn.Module):
    """Cosines of learned multiples of a number with learned phases, each times a weight that begins at zero.

    Args:
        columns: N.
        cosines: of a column.
        scale: standard deviation of the first frequencies, which are normal and at most three times as large.

    Attributes:
        features: numbers that come out for a column.
    """

    def __init__(self, columns: int, cosines: int, scale: float) -> None:
        super().__init__()
        self._shape, self.features = (columns, cosines), cosines
        self.frequencies = nn.Parameter(_truncated_normal(columns * cosines, scale))
        self.phases, self.weights, self.biases = (nn.Parameter(torch.zeros(columns * cosines)) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """From (..., N, B) to (..., N, features, B)."""
        frequencies, phases, weights, biases = (_by_column(each, self._shape) for each in self.parameters())
        turns = torch.addcmul(phases, frequencies, x.unsqueeze(-2))
        return torch.addcmul(biases, weights, (2 * math.pi * turns).cos())


class LinearByColumn(nn.Module):
    """A linear layer for each column, then a ReLU.

    Args:
        columns: N.
        features: of a column, that come in.
        width: numbers of a column that go out.
    """

    def __init__(self, columns: int, features: int, width: int) -> None:
        super().__init__()
        self._shape = (columns, width, features)
        bound = features**-0.5  # as torch.nn.Linear
        self.weights = nn.Parameter(torch.empty(columns * width * features).uniform_(-bound, bound))
        self.biases = nn.Parameter(torch.empty(columns * width).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """From (..., N, features, B) to (..., N, width, B)."""
        outputs: Tensor = _shaped(self.weights, self._shape) @ x + _by_column(self.biases, self._shape[:2])
        return outputs.relu()


class CategoryEmbedding(nn.Module):
    """A learned vector for each category (Guo and Berkhahn 2016); zeros for one that training did not have.

    Args:
        counts: categories of each column.
        width: of a vector; auto: 1.6 times the count to the power of 0.56, at most 50.
    """

    def __init__(self, counts: Sequence[int], width: int | Literal["auto"]) -> None:
        super().__init__()
        self._counts = list(counts)
        self.widths = [min(50, round(1.6 * count**0.56)) if width == "auto" else width for count in counts]
        sizes = zip(self._counts, self.widths, strict=True)
        self.vectors = nn.ParameterList(torch.randn(count * width) * width**-0.5 for count, width in sizes)

    def forward(self, x: Tensor) -> Tensor:
        """From one-hot (..., sum of counts, B) to (..., sum of widths, B)."""
        columns = zip(self.vectors, self.widths, self._counts, x.split(self._counts, -2), strict=True)
        return torch.cat([_shaped(vectors, (width, count)) @ part for vectors, width, count, part in columns], -2)


class ColumnEmbedding(nn.Module):
    """Encodes a row of a table for the first layer of a network.

    Its weights are vectors, as biases are: weight decay leaves them alone, and Muon takes none for a matrix.

    Args:
        config: the section ``model``.
        columns: what stands where in a row.

    Attributes:
        width: of a row that has been encoded.

    Raises:
        WellfitError: more bins than any column has distinct values.
    """

    def __init__(self, config: ModelConfig, columns: TableColumns) -> None:
        super().__init__()
        n = len(columns.steps)
        self._n_numbers, self._first_category = n, n + columns.flags
        builder = EMBEDDINGS[config.embedding] if n else None
        self.features = resolve_name(f"wellfit.models.{builder}")(config, columns) if builder else None
        self._keeps_numbers = self.features is None or config.embedding_input
        self.linear, of_column = None, 0
        if self.features is not None:
            of_column = self.features.features
            if config.embedding_width is not None:
                self.linear = LinearByColumn(n, of_column, config.embedding_width)
                of_column = config.embedding_width
        embeds = config.category == "embedding" and columns.categories
        self.categories = CategoryEmbedding(columns.categories, config.category_width) if embeds else None
        of_categories = self.categories.widths if self.categories else columns.categories
        self.width = n * (self._keeps_numbers + of_column) + columns.flags + sum(of_categories)

    def forward(self, x: Tensor) -> Tensor:
        """From (..., B, inputs) to (..., B, width)."""
        x = x.transpose(-1, -2)
        numbers, flags, categories = x.tensor_split((self._n_numbers, self._first_category), -2)
        parts = [numbers] if self._keeps_numbers else []
        if self.features is not None:
            features = self.features(numbers)
            parts.append((features if self.linear is None else self.linear(features)).flatten(-3, -2))
        parts += [flags, categories if self.categories is None else self.categories(categories)]
        return torch.cat(parts, -2).transpose(-1, -2)


def column_embedding(config: ModelConfig, columns: TableColumns) -> ColumnEmbedding | None:
    """What stands before the first layer of a network; None where it takes rows as they are."""
    if config.embedding == "none" and (config.category == "one_hot" or not columns.categories):
        return None
    return ColumnEmbedding(config, columns)


def piecewise_linear(config: ModelConfig, columns: TableColumns) -> PiecewiseLinear:
    """Of ``model.embedding_size`` bins; auto: 32, or fewer where a bin would have less than 16 training rows.

    Raises:
        WellfitError: more bins than any column has distinct values.
    """
    size = config.embedding_size
    if size == "auto":
        return PiecewiseLinear(columns.steps, max(1, min(BINS, columns.rows // ROWS_OF_A_BIN)))
    most = max(len(column.unique()) - 1 for column in columns.steps)
    if size > most:
        raise WellfitError(
            f"model.embedding_size must be at most {most}, for no column of numbers has more than {most + 1} distinct "
            f"values in the training rows, got {size}"
        )
    return PiecewiseLinear(columns.steps, size)


def periodic(config: ModelConfig, columns: TableColumns) -> Periodic:
    """Of ``model.embedding_size`` frequencies; auto: 16."""
    return Periodic(len(columns.steps), _frequencies(config), config.embedding_scale)


def cosine(config: ModelConfig, columns: TableColumns) -> Cosine:
    """Of ``model.embedding_size`` frequencies; auto: 16."""
    return Cosine(len(columns.steps), _frequencies(config), config.embedding_scale)


def _frequencies(config: ModelConfig) -> int:
    return FREQUENCIES if config.embedding_size == "auto" else config.embedding_size


class _Waves(Function):
    """From angles (..., F, B) to cosines, then sines (..., 2 F, B). Each is the other's slope: none is taken twice."""

    @staticmethod
    def forward(ctx: Any, angles: Tensor) -> Tensor:
        *others, n, rows = angles.shape
        waves = angles.new_empty(*others, 2 * n, rows)
        torch.cos(angles, out=waves[..., :n, :])
        torch.sin(angles, out=waves[..., n:, :])
        ctx.save_for_backward(waves)
        return waves

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (cosines, sines), (of_cosines, of_sines) = (each.chunk(2, -2) for each in (*ctx.saved_tensors, gradient))
        return torch.addcmul(cosines * of_sines, sines, of_cosines, value=-1)


class _Accumulated(Function):
    """A packed parameter as it is. Its gradient is added here: autograd warns where members stand apart in memory."""

    @staticmethod
    def forward(ctx: Any, parameter: Tensor) -> Tensor:
        ctx.parameter = parameter
        return parameter.view_as(parameter)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> None:
        ctx.parameter.grad.add_(gradient)


def _shaped(parameter: Tensor, shape: tuple[int, ...]) -> Tensor:
    """From (..., numbers) to (..., *shape)."""
    packs = parameter.ndim == 2 and parameter.requires_grad and torch.is_grad_enabled()
    shaped: Tensor = (_Accumulated.apply(parameter) if packs else parameter).unflatten(-1, shape)
    return shaped


def _by_column(parameter: Tensor, shape: tuple[int, int]) -> Tensor:
    """From (..., N * features) to (..., N, features, 1)."""
    return _shaped(parameter, shape).unsqueeze(-1)


def _truncated_normal(count: int, scale: float) -> Tensor:
    return nn.init.trunc_normal_(torch.empty(count), std=scale, a=-3 * scale, b=3 * scale)
