"""All that a model computes as one network, from a row's numbers, codes or pixels to its prediction.

`wellfit.serving.model` and `wellfit.metrics.decision` are for people who have wellfit; this is what
`wellfit.serving.export` hands to those who have not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from wellfit.data.encode import OTHER
from wellfit.data.target import BEYOND

if TYPE_CHECKING:
    from wellfit.data.meta import Meta
    from wellfit.data.target import Numbers
    from wellfit.serving.predictor import Predictor

EXAMPLE_ROWS = 3  # any number but 1, which torch.export may take for a constant


class PredictionGraph(nn.Module):
    """Predicts rows as `wellfit.serving.predictor.Predictor` does, in double precision behind the networks.

    Args:
        predictor: what it computes.

    Attributes:
        example: for each input by its name, some rows: ``numbers`` (n, numbers) float32, NaN where missing, and
            ``codes`` (n, categories) int64, -1 for what is not told apart; or ``pixels`` (n, channels, height, width)
            uint8.
    """

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.meta, self.decision, self.model = predictor.meta, predictor.decision, predictor.model
        self.networks = nn.ModuleList(network for network, _ in predictor.model.networks).eval().requires_grad_(False)
        encoders = {encode for _, encode in predictor.model.networks}
        self.bodies = nn.ModuleList(encode for encode in encoders if isinstance(encode, nn.Module))
        self.rows = TableRows(self.meta) if self.meta.kind == "table" else nn.Identity()
        self.example = _example(self.meta)

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        """From the inputs, in their order, to outputs by their names.

        Of classes these are ``predicted`` (n,) int64 indices, ``probabilities`` (n, C) float64, and, where coverage was
        asked for, ``sets`` (n, C) bool; of numbers ``predicted`` (n,) float64 in the target's unit, and ``low`` and
        ``high`` likewise.
        """
        rows = self.rows(*inputs)
        encoded = {encode: encode(rows) for encode in dict.fromkeys(encode for _, encode in self.model.networks)}
        outputs = self.model.mean([network(encoded[encode]) for network, encode in self.model.networks])
        return self._classes(outputs) if self.meta.task == "classification" else self._numbers(outputs)

    def _classes(self, logits: Tensor) -> dict[str, Tensor]:
        probabilities = (logits / self.decision.temperature).softmax(1)
        most_probable = predicted = probabilities.argmax(1)
        if len(self.meta.class_names) == 2:
            first, second = probabilities.unbind(1)
            predicted = (second * (1 - self.decision.threshold) > first * self.decision.threshold).long()
        found = {"predicted": predicted, "probabilities": probabilities}
        if self.decision.coverage is not None:
            classes = torch.arange(len(self.meta.class_names))
            found["sets"] = (1 - probabilities <= self.decision.reach) | (classes == most_probable.unsqueeze(1))
        return found

    def _numbers(self, outputs: Tensor) -> dict[str, Tensor]:
        errors = torch.tensor(self.decision.smearing or (0.0,), dtype=torch.float64)
        predicted = self._in_own_unit(outputs.unsqueeze(1) + errors).mean(1)
        if self.decision.coverage is None:
            return {"predicted": predicted}
        spread = self.decision.spread
        scale = interpolate(predicted, *spread) if spread.predictions else torch.ones_like(predicted)
        half = self.decision.reach * scale
        return {"predicted": predicted, "low": predicted - half, "high": predicted + half}

    def _in_own_unit(self, standardized: Tensor) -> Tensor:
        assert self.meta.target_mean is not None
        assert self.meta.target_std is not None
        transformed, transform = standardized * self.meta.target_std + self.meta.target_mean, self.meta.target_transform
        return transformed if transform is None else INVERSES[transform.name](transform.numbers, transformed)


class TableRows(nn.Module):
    """Fills and flags gaps, as `wellfit.data.encode.encode` does.

    Args:
        meta: of a table.
    """

    def __init__(self, meta: Meta) -> None:
        super().__init__()
        numbers = [column for column in meta.columns if column.fill is not None]
        self.fill = nn.Buffer(torch.tensor([column.fill for column in numbers]))
        self.flagged = [i for i, column in enumerate(numbers) if column.flags_missing]
        self.counts = nn.Buffer(torch.tensor(meta.category_counts))

    def forward(self, *inputs: Tensor) -> Tensor:
        """From numbers (n, numbers), codes (n, categories), or both, to rows as they are stored.

        See `wellfit.data.store.Split.x`. Codes that no category has count as one that is not told apart.
        """
        parts = []
        if len(self.fill):
            numbers = inputs[0]
            missing = numbers.isnan()
            parts += [torch.where(missing, self.fill, numbers), missing[:, self.flagged].float()]
        if len(self.counts):
            codes = inputs[-1]
            parts.append(torch.where(codes < self.counts, codes, OTHER).float())
        return torch.cat(parts, 1)


def interpolate(x: Tensor, points: tuple[float, ...], values: tuple[float, ...]) -> Tensor:
    """``numpy.interp``: the broken line through points that rise, which is level beyond them.

    Args:
        x: (...) float64.
        points: (m,).
        values: (m,) at the points.
    """
    if len(points) == 1:
        return torch.full_like(x, values[0])
    at, heights = torch.tensor(points, dtype=torch.float64), torch.tensor(values, dtype=torch.float64)
    end = torch.searchsorted(at, x, right=True).clamp(1, len(points) - 1)
    share = ((x - at[end - 1]) / (at[end] - at[end - 1])).clamp(0, 1)
    return heights[end - 1] + share * (heights[end] - heights[end - 1])


def _exp(numbers: Numbers, transformed: Tensor) -> Tensor:
    scale, highest = numbers
    return scale * transformed.clamp(0, math.log1p(highest / scale) + BEYOND).expm1()


def _from_normal(quantiles: Numbers, transformed: Tensor) -> Tensor:
    shares = tuple(np.linspace(0, 1, len(quantiles)).tolist())
    return interpolate(torch.special.ndtr(transformed), shares, quantiles)


# The inverse of each of `wellfit.data.target.TRANSFORMS`.
INVERSES: dict[str, Callable[[Numbers, Tensor], Tensor]] = {"log": _exp, "quantile": _from_normal}


def _example(meta: Meta) -> dict[str, Tensor]:
    if meta.kind == "images":
        return {"pixels": torch.zeros(EXAMPLE_ROWS, *meta.input_shape, dtype=torch.uint8)}
    n_codes = len(meta.category_counts)
    n_numbers = len(meta.columns) - n_codes
    shapes = {"numbers": (n_numbers, torch.float32), "codes": (n_codes, torch.int64)}
    return {name: torch.zeros(EXAMPLE_ROWS, n, dtype=dtype) for name, (n, dtype) in shapes.items() if n}
