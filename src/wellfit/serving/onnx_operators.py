"""Operators of torch in terms of ONNX: those that ONNX lacks, and those that torch.onnx computes in single precision.

`wellfit.serving.export` imports this where ONNX is asked for: onnxscript is no package that wellfit always needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.polynomial import Chebyshev
from onnxscript import DOUBLE, FLOAT, INT64, ir
from onnxscript import opset18 as op
from scipy.special import ndtr, ndtri

from wellfit.models.numeric import TAIL

# The polynomials are within 1e-12 of the functions.
FARTHEST = 8.0  # standard deviations, beyond which the normal distribution is 0 or 1
NORMAL = Chebyshev.interpolate(ndtr, 70, domain=[-FARTHEST, FARTHEST])
# Of the square root of -log(share), as the quantile itself has poles at 0 and 1.
ROOTS = [math.sqrt(math.log(2)), math.sqrt(-math.log(TAIL))]
QUANTILE = Chebyshev.interpolate(lambda root: ndtri(np.exp(-root * root)), 28, domain=ROOTS)


def searchsorted(
    sorted_sequence: FLOAT | DOUBLE,
    self: FLOAT | DOUBLE,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: INT64 | None = None,
) -> INT64:
    """``torch.searchsorted`` of (m,) and values of any shape, or of (k, m) and (k, n), by halving an interval."""
    m, rank = sorted_sequence.shape[-1], len(sorted_sequence.shape)
    steps = m.bit_length()
    pads = np.zeros((2, rank), np.int64)
    pads[1, -1] = 2**steps - 1 - m
    padded = op.Pad(sorted_sequence, _constant(pads.flatten()), scalar_tensor(math.inf, sorted_sequence.dtype))
    is_below = op.LessOrEqual if right else op.Less
    take = op.Gather if rank == 1 else op.GatherElements
    place = op.Expand(_constant(0), op.Shape(self))  # so many entries are below, or with `right` at most equal
    for step in (2**i for i in reversed(range(steps))):
        entry = take(padded, op.Add(place, _constant(step - 1)), axis=rank - 1)
        place = op.Add(place, op.Where(is_below(entry, self), _constant(step), _constant(0)))
    return op.Min(place, _constant(m))


def normal(self: DOUBLE) -> DOUBLE:
    """``torch.special.ndtr`` of doubles."""
    return _series(NORMAL, op.Clip(self, _constant(-FARTHEST), _constant(FARTHEST)))


def normal_quantile(self: DOUBLE) -> DOUBLE:
    """``torch.special.ndtri`` of doubles from `wellfit.models.numeric.TAIL` to 1 - TAIL."""
    upper = op.Sub(_constant(1.0), self)
    quantile = _series(QUANTILE, op.Sqrt(op.Neg(op.Log(op.Min(self, upper)))))
    return op.Where(op.Less(self, upper), quantile, op.Neg(quantile))


def scalar_tensor(
    s: float, dtype: int = ir.DataType.FLOAT, layout: str = "", device: str = "", pin_memory: bool = False
) -> FLOAT | DOUBLE:
    """A number with all its digits."""
    return op.Constant(value=ir.tensor(s, dtype=ir.DataType(dtype)))


# For ``custom_translation_table`` of torch.onnx.export.
TRANSLATIONS: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.searchsorted.Tensor: searchsorted,
    torch.ops.aten.special_ndtr.default: normal,
    torch.ops.aten.special_ndtri.default: normal_quantile,
    torch.ops.aten.scalar_tensor.default: scalar_tensor,
}


def _constant(value: Any) -> Any:
    return op.Constant(value=ir.tensor(np.asarray(value)))


def _series(series: Chebyshev, x: DOUBLE) -> DOUBLE:
    """A Chebyshev series at x, by Clenshaw's recurrence."""
    offset, scale = series.mapparms()
    y = op.Add(_constant(offset), op.Mul(_constant(scale), x))
    double = op.Mul(_constant(2.0), y)
    this, before = _constant(0.0), _constant(0.0)
    for coefficient in reversed(series.coef[1:]):
        this, before = op.Sub(op.Add(_constant(coefficient), op.Mul(double, this)), before), this
    return op.Sub(op.Add(_constant(series.coef[0]), op.Mul(y, this)), before)
