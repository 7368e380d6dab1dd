"""Temperature scaling: one number that makes a network less or more confident, fitted on validation rows."""

from typing import Literal, NamedTuple

import numpy as np

from wellfit.metrics.folds import cross_fitted, row_weights
from wellfit.metrics.intervals import Estimate, weighted_mean_interval
from wellfit.metrics.scores import FloatArray, IntArray

LOWEST, HIGHEST = 0.02, 50.0  # temperatures that are looked at
ENOUGH_MISTAKES = 10  # rows predicted wrong, below which a network is not made more confident


class Calibration(NamedTuple):
    """What temperature scaling came to.

    Attributes:
        temperature: that logits are divided by; 1.0 where they are left as they are.
        fitted: the temperature with the lowest log loss on all validation rows; None where none was fitted.
        gain: by how much it changes the log loss of validation rows that it was not fitted on, with the 95 % interval
            of the paired difference; below zero is better. None where it was not measured.
    """

    temperature: float = 1.0
    fitted: float | None = None
    gain: Estimate | None = None


def calibrate(
    logits: FloatArray, y: IntArray, weights: FloatArray | None, mode: Literal["auto", "none", "temperature"], seed: int
) -> Calibration:
    """Fits a temperature (Guo et al. 2017), and says whether to use it.

    ``auto`` uses it where it clearly lowers the log loss of rows that it was not fitted on: a half of the rows is
    scored with the temperature of the other half, and the interval of the paired difference lies below zero. It makes a
    network more confident only where at least 10 rows are predicted wrong: of rows that are all predicted right, the
    best temperature is zero.

    Args:
        logits: (n, C) of validation rows, which the training did not use; or logarithms of probabilities.
        y: (n,) true class indices.
        weights: (n,) how much each row counts, or None where all count alike.
        mode: ``evaluate.calibration``.
        seed: of the draw of the halves.
    """
    counted = row_weights(weights, len(y))
    if mode == "none" or np.count_nonzero(counted) < 2:
        return Calibration()

    def losses_of(fit: IntArray, score: IntArray) -> FloatArray:
        """Log loss of the rows of one half with the temperature of the other; both are indices."""
        temperature = fit_temperature(logits[fit], y[fit], counted[fit])
        return row_log_losses(logits[score], y[score], temperature)

    changes = cross_fitted(losses_of, counted, seed) - row_log_losses(logits, y, 1.0)
    gain = weighted_mean_interval(changes, counted)
    fitted = fit_temperature(logits, y, counted)
    mistakes = np.count_nonzero((logits.argmax(axis=1) != y) & (counted > 0))
    is_clear = gain.high < 0 and (fitted > 1 or mistakes >= ENOUGH_MISTAKES)
    return Calibration(fitted if mode == "temperature" or is_clear else 1.0, fitted, gain)


def fit_temperature(logits: FloatArray, y: IntArray, weights: FloatArray) -> float:
    """The temperature with the lowest log loss, from 0.02 to 50; the log loss has one minimum in its inverse.

    Args:
        logits: (n, C).
        y: (n,) true class indices.
        weights: (n,) not negative, not all zero.
    """
    from scipy.optimize import minimize_scalar

    def log_loss(log_temperature: float) -> float:
        return float(weights @ row_log_losses(logits, y, np.exp(log_temperature)))

    found = minimize_scalar(
        log_loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded", options={"xatol": 1e-6}
    )
    return float(np.exp(found.x))


def row_log_losses(logits: FloatArray, y: IntArray, temperature: float) -> FloatArray:
    """-log of the probability of each row's true class, (n,), of logits (n, C) divided by a temperature."""
    from scipy.special import log_softmax

    losses: FloatArray = -log_softmax(logits / temperature, axis=1)[np.arange(len(y)), y]
    return losses
