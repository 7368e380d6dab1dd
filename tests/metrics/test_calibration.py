import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import log_loss

from wellfit.metrics.calibration import calibrate, fit_temperature, row_log_losses


def rows(seed=0, n=2000, classes=3, confidence=1.0):
    """Logits whose best temperature is ``confidence``, and classes drawn by their probabilities."""
    random = np.random.default_rng(seed)
    logits = random.normal(scale=2.0, size=(n, classes))
    y = (softmax(logits, axis=1).cumsum(axis=1) < random.random((n, 1))).sum(axis=1)
    return confidence * logits, y


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("classes", "confidence"), [(2, 2.5), (3, 0.4), (5, 1.0)])
def test_the_temperature_is_that_of_a_grid_search(classes, confidence, weighted):
    logits, y = rows(n=300, classes=classes, confidence=confidence)
    weights = np.arange(300) % 4 * 1.0 if weighted else np.ones(300)
    grid = np.geomspace(0.2, 5, 61)
    losses = [log_loss(y, softmax(logits / t, axis=1), sample_weight=weights, labels=range(classes)) for t in grid]
    found = fit_temperature(logits, y, weights)
    assert found == pytest.approx(grid[np.argmin(losses)], rel=0.028)  # the step of the grid
    assert (weights @ row_log_losses(logits, y, found)) / weights.sum() <= min(losses) + 1e-9


def test_it_finds_by_how_much_logits_were_stretched():
    assert fit_temperature(*rows(n=5000, confidence=3.0), np.ones(5000)) == pytest.approx(3.0, rel=0.08)


def test_auto_uses_it_where_logits_are_over_confident():
    logits, y = rows(confidence=3.0)
    found = calibrate(logits, y, None, "auto", seed=0)
    assert found.gain.high < 0
    assert found.temperature == found.fitted == pytest.approx(3.0, rel=0.1)


def test_auto_leaves_calibrated_logits_as_they_are():
    used = [calibrate(*rows(seed, n=400), None, "auto", seed=0).temperature != 1.0 for seed in range(20)]
    assert sum(used) <= 2


def test_the_gain_is_of_rows_that_the_fit_has_not_seen():
    """Fitted on the rows that it is scored on, a temperature could never raise their log loss."""
    gains = [calibrate(*rows(seed, n=20), None, "auto", seed=0).gain.mean for seed in range(20)]
    assert max(gains) > 0


def test_it_can_be_asked_for_and_switched_off():
    logits, y = rows(n=60)
    assert calibrate(logits, y, None, "none", seed=0) == (1.0, None, None)
    found = calibrate(logits, y, None, "temperature", seed=0)
    assert found.temperature == found.fitted != 1.0


def test_rows_of_weight_zero_do_not_count():
    logits, y = rows(n=200, confidence=3.0)
    weights = np.r_[np.full(120, 2.5), np.zeros(80)].astype(np.float32)
    found = calibrate(logits, np.r_[y[:120], 1 - np.minimum(y[120:], 1)], weights, "auto", seed=0)
    assert found.fitted == pytest.approx(fit_temperature(logits[:120], y[:120], np.ones(120)), rel=1e-4)
    assert found.gain.high < 0


def test_the_draw_of_halves_is_that_of_the_seed():
    logits, y = rows(n=100)
    gains = [calibrate(logits, y, None, "auto", seed).gain for seed in (0, 0, 1)]
    assert gains[0] == gains[1] != gains[2]


def test_a_single_row_fits_nothing():
    assert calibrate(np.zeros((1, 2)), np.array([0]), None, "auto", seed=0) == (1.0, None, None)


def test_logits_that_are_always_right_give_finite_losses():
    logits, y = 900.0 * np.eye(3)[[0, 1, 2, 0]], np.array([0, 1, 2, 0])
    found = calibrate(logits, y, None, "temperature", seed=0)
    assert np.isfinite(found.temperature)
    assert np.isfinite(row_log_losses(logits, y, found.temperature)).all()
