"""Transforms of skewed targets, fitted on the training rows: a network learns the transformed target, standardized."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from wellfit.errors import WellfitError

if TYPE_CHECKING:
    from wellfit.data.meta import Meta

FloatArray = NDArray[np.float64]
Numbers = tuple[float, ...]

SKEWED = 1.0  # absolute skewness above which `auto` transforms
QUANTILES = 1000
LOW_QUANTILE = 0.05  # of the positive targets: where the logarithm begins to bend
BEYOND = 1.0  # how far above the highest training target a prediction may lie, in units of the logarithm


class Entry(NamedTuple):
    """A transform that rises with the target.

    Attributes:
        fit: from training targets (n,) to the numbers that it is made of.
        forward: from these numbers and targets (...,) to transformed ones.
        inverse: the reverse. What it gives is bounded, whatever a network puts out.
        lowest: the lowest target that it is defined for.
    """

    fit: Callable[[FloatArray], Numbers]
    forward: Callable[[Numbers, FloatArray], FloatArray]
    inverse: Callable[[Numbers, FloatArray], FloatArray]
    lowest: float = -np.inf


def _fit_log(y: FloatArray) -> Numbers:
    positive = y[y > 0]
    scale = float(np.quantile(positive, LOW_QUANTILE)) if len(positive) else 1.0
    return scale, float(y.max())


def _log(numbers: Numbers, y: FloatArray) -> FloatArray:
    """log(1 + y / scale): 0 stays 0, and the unit of the target makes no difference."""
    found: FloatArray = np.log1p(y / numbers[0])
    return found


def _exp(numbers: Numbers, transformed: FloatArray) -> FloatArray:
    scale, highest = numbers
    found: FloatArray = scale * np.expm1(transformed.clip(0, np.log1p(highest / scale) + BEYOND))
    return found


def _fit_quantiles(y: FloatArray) -> Numbers:
    return tuple(np.quantile(y, np.linspace(0, 1, min(QUANTILES, len(y)))).tolist())


def _to_normal(quantiles: Numbers, y: FloatArray) -> FloatArray:
    """As scikit-learn's QuantileTransformer, but that the ends are as far out as those of so many normal numbers."""
    from scipy.special import ndtri

    shares, values = np.linspace(0, 1, len(quantiles)), np.array(quantiles)
    # Of equal targets the mean of the lowest and the highest share.
    upper, lower = np.interp(y, values, shares), 1 - np.interp(-y, -values[::-1], shares)
    edge = 0.5 / len(quantiles)
    found: FloatArray = ndtri(((upper + lower) / 2).clip(edge, 1 - edge))
    return found


def _from_normal(quantiles: Numbers, transformed: FloatArray) -> FloatArray:
    from scipy.special import ndtr

    found: FloatArray = np.interp(ndtr(transformed), np.linspace(0, 1, len(quantiles)), quantiles)
    return found


TRANSFORMS = {
    "log": Entry(_fit_log, _log, _exp, lowest=0.0),
    "quantile": Entry(_fit_quantiles, _to_normal, _from_normal),
}


class TargetTransform(BaseModel):
    """A transform that was fitted on training targets.

    Attributes:
        name: of the transform.
        numbers: what it is made of.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    name: str
    numbers: Numbers

    def forward(self, y: NDArray[np.floating]) -> FloatArray:
        """Targets in their own unit as transformed ones, of any shape."""
        return TRANSFORMS[self.name].forward(self.numbers, y.astype(np.float64))

    def inverse(self, transformed: FloatArray) -> FloatArray:
        """The reverse of `forward`."""
        return TRANSFORMS[self.name].inverse(self.numbers, transformed)


def fit_transform(name: str, y: NDArray[np.floating], lowest: float) -> tuple[TargetTransform | None, str]:
    """Fits the transform of ``data.target_transform``; ``auto`` chooses by the skewness of the targets.

    ``auto`` leaves targets as they are whose skewness lies within 1 of 0. It takes ``log`` where no target is below 0
    and the skewness of the logarithm lies within 1 of 0, else ``quantile``.

    Args:
        name: none, auto, or that of a transform.
        y: (n,) of the training rows.
        lowest: the lowest target of all rows.

    Returns:
        The transform, None for none, and a sentence about it, empty for ``none``.
    """
    if name == "none":
        return None, ""
    targets = y.astype(np.float64)
    before = _skewness(targets)
    if name == "auto" and abs(before) <= SKEWED:
        return None, f"auto: none, as the skewness of the training targets is {before:.2f}, within {SKEWED:g} of 0"
    choices = [name] if name != "auto" else [each for each, entry in TRANSFORMS.items() if lowest >= entry.lowest]
    for choice in choices:
        fitted = TargetTransform(name=choice, numbers=TRANSFORMS[choice].fit(targets))
        after = _skewness(fitted.forward(targets))
        if abs(after) <= SKEWED:
            break
    prefix = "auto: " if name == "auto" else ""
    return fitted, f"{prefix}{fitted.name}, skewness of the training targets {before:.2f} before and {after:.2f} after"


def check_targets(name: str, y: NDArray[np.floating], row: Callable[[int], str], target: str) -> None:
    """Refuses targets that ``data.target_transform`` is not defined for.

    Args:
        name: of the transform; what is in no table takes all.
        y: (n,) targets.
        row: says where a row is.
        target: the name of the column.

    Raises:
        WellfitError: a target is too low.
    """
    lowest = TRANSFORMS[name].lowest if name in TRANSFORMS else -np.inf
    wrong = np.flatnonzero(y < lowest)
    if len(wrong):
        raise WellfitError(
            f"{row(int(wrong[0]))}, column {target!r}: data.target_transform {name} needs targets >= {lowest:g}, got "
            f"{y[wrong[0]]:g}; use quantile or none (params.yaml)"
        )


def standardized(meta: Meta, y: NDArray[np.floating]) -> NDArray[np.floating]:
    """Targets of a regression in their own unit, (n,), as the network learns them."""
    assert meta.target_mean is not None
    assert meta.target_std is not None
    transformed = y if meta.target_transform is None else meta.target_transform.forward(y)
    return (transformed - meta.target_mean) / meta.target_std


def in_own_unit(meta: Meta, outputs: FloatArray) -> FloatArray:
    """Standardized targets or predictions of a regression, of any shape, in the target's own unit.

    With a transform, a mean of transformed targets becomes about a median: `wellfit.metrics.smearing` mends that.
    """
    assert meta.target_mean is not None
    assert meta.target_std is not None
    transformed = outputs * meta.target_std + meta.target_mean
    return transformed if meta.target_transform is None else meta.target_transform.inverse(transformed)


def _skewness(y: FloatArray) -> float:
    """Of a population; 0 where the targets are equal."""
    deviation = y - y.mean()
    spread = float(np.sqrt(np.mean(deviation**2)))
    return float(np.mean((deviation / spread) ** 3)) if spread > 0 else 0.0
