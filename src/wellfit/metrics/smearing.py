"""Means of predictions that come from a transformed target (Duan 1983).

A network that learns the logarithm of a target predicts about its median: the mean of the logarithm is not the
logarithm of the mean. Smearing takes the mean over the errors that validation rows show.
"""

import numpy as np
from numpy.typing import NDArray

from wellfit.data.meta import Meta
from wellfit.data.target import in_own_unit, standardized
from wellfit.metrics.folds import cross_fitted, row_weights
from wellfit.metrics.scores import FloatArray, IntArray

MOST_RESIDUALS = 200  # that are kept: quantiles, where there are more rows


def smeared(meta: Meta, outputs: FloatArray, residuals: FloatArray) -> FloatArray:
    """Predictions in the target's own unit, (n,).

    Args:
        meta: how the target was transformed and standardized.
        outputs: (n,) of the network.
        residuals: (m,) errors of standardized targets; none for predictions as they are.
    """
    if not len(residuals):
        return in_own_unit(meta, outputs)
    total = np.zeros_like(outputs)
    for residual in residuals:
        total += in_own_unit(meta, outputs + residual)
    return total / len(residuals)


def fit_smearing(
    meta: Meta, outputs: FloatArray, y: NDArray[np.floating], weights: FloatArray | None, seed: int
) -> tuple[FloatArray, str]:
    """The residuals of :func:`smeared`, where they lower the RMSE of validation rows they are not of.

    Args:
        meta: how the target was transformed and standardized.
        outputs: (n,) of the network, of validation rows.
        y: (n,) targets in their own unit.
        weights: (n,) how much each row counts, or None where all count alike.
        seed: of the halves: each is scored with the residuals of the other.

    Returns:
        Residuals, (m,), none where they do not help, and a sentence about it; empty where there is no transform.
    """
    counted = row_weights(weights, len(y))
    if meta.target_transform is None or np.count_nonzero(counted) < 2:
        return np.empty(0), ""
    errors = standardized(meta, y) - outputs

    def smeared_by(fit: IntArray, score: IntArray) -> FloatArray:
        return smeared(meta, outputs[score], _residuals(errors[fit], counted[fit]))

    def rmse(prediction: FloatArray) -> float:
        return float(np.sqrt(np.average((prediction - y) ** 2, weights=counted)))

    plain, other = rmse(in_own_unit(meta, outputs)), rmse(cross_fitted(smeared_by, counted, seed))
    change = f"the RMSE of validation rows from {plain:.4g} to {other:.4g}"
    if other >= plain:
        return np.empty(0), f"predictions are not smeared, which would change {change}"
    return _residuals(errors, counted), f"predictions are smeared (Duan 1983), which lowers {change}"


def _residuals(errors: FloatArray, weights: FloatArray) -> FloatArray:
    """All of few errors of equal weight, else as many of their quantiles, each of which stands for as many rows."""
    counted = weights > 0
    errors, weights = errors[counted], weights[counted]
    order = np.argsort(errors, kind="stable")
    m = min(MOST_RESIDUALS, len(errors))
    shares = weights[order].cumsum() / weights.sum()
    wanted = (np.arange(m) + 0.5) / m
    found: FloatArray = errors[order][np.searchsorted(shares, wanted)]
    return found
