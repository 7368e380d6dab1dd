"""The range test: where it must diverge on problems whose limit is known, and what it suggests."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from wellfit.errors import WellfitError
from wellfit.models.inputs import Inputs
from wellfit.settings.params import Params, load_params
from wellfit.training.loop import BatchOrder
from wellfit.training.lr_range import SMOOTHING, LrCurve, LrFindConfig, range_test, suggest
from wellfit.training.setup import begin, load_training_data

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "params.yaml"
CPU = torch.device("cpu")


class Parabola:
    """Gradient descent on curvature / 2 * w^2, which diverges at learning rates above 2 / curvature.

    Some noise remains of w, as of the weights of a network, or it would take long to grow again.
    """

    size = 1

    def __init__(self, curvature: float) -> None:
        self.curvature, self.w, self.loss = curvature, 1.0, 0.0

    def step(self, rows: Tensor, lr: np.ndarray) -> None:
        self.loss = self.curvature / 2 * self.w**2
        self.w = max(1e-6, abs(self.w - float(lr[0]) * self.curvature * self.w))

    def finish_epoch(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        return {"train/loss": np.array([self.loss])}

    def validate(self) -> dict[str, np.ndarray]:
        raise AssertionError("it has no use for validation rows")

    def weights(self, member: int) -> dict[str, Tensor]:
        raise AssertionError


@pytest.mark.parametrize("curvature", [0.5, 40.0])
def test_a_parabola_is_lowest_where_steps_begin_to_diverge(curvature: float) -> None:
    config = LrFindConfig(low=1e-4, high=100.0, steps=1000)
    curve = range_test(Parabola(curvature), BatchOrder(10, 5, [0], CPU), config)
    limit = 2 / curvature
    last_lowest = curve.lr[np.flatnonzero(curve.loss == curve.loss.min())[-1]]
    assert last_lowest == pytest.approx(limit, rel=0.05)
    assert limit < curve.lr[-1] < 2 * limit
    assert curve.smoothed[-1] > 4 * curve.smoothed.min()


def test_a_linear_regression_explodes_soon_above_its_limit(
    processed: Callable[..., Path], make_params: Callable[..., Params]
) -> None:
    plain = ["model.name=linear", "optim.name=sgd", "optim.momentum=0", "optim.weight_decay=0", "train.batch_size=64"]
    rates = ["lr_find.low=0.01", "lr_find.high=10.0", "lr_find.steps=600"]
    params = make_params("regression", *plain, *rates)
    data = load_training_data(params, processed("regression"))
    x = torch.cat(
        [Inputs(data.meta, "standard", CPU)(data.train.x), torch.ones(len(data.train.x), 1)], 1
    ).double()  # the bias counts as well
    limit = 2 / torch.linalg.eigvalsh(2 * x.T @ x / len(x)).max().item()
    order = BatchOrder(len(x), params.train.batch_size, [0], CPU)
    curve = range_test(begin([params], data, packed=False).learner, order, params.lr_find)
    assert limit < curve.lr[-1] < 2 * limit
    assert (np.diff(curve.loss[curve.lr < 0.9 * limit]) < 1e-6).all()  # of all rows at once, it only falls
    steepest, tenth = suggest(curve)
    assert max(steepest, tenth) < limit
    assert tenth == pytest.approx(curve.lr[curve.smoothed.argmin()] / 10)


def test_losses_are_smoothed_with_weights_that_fall_by_a_tenth() -> None:
    curve = range_test(Parabola(1.0), BatchOrder(10, 5, [0], CPU), LrFindConfig(low=1e-3, high=1.0, steps=60))
    expected = pd.Series(curve.loss).ewm(alpha=1 - SMOOTHING, adjust=True).mean()
    np.testing.assert_allclose(curve.smoothed, expected)
    np.testing.assert_allclose(curve.lr, np.geomspace(1e-3, 1.0, 60))  # it did not explode


def test_a_loss_that_is_not_finite_ends_the_test() -> None:
    class Broken(Parabola):
        def finish_epoch(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
            return {"train/loss": np.array([np.inf if self.w < 0.5 else self.loss])}

    curve = range_test(Broken(1.0), BatchOrder(10, 5, [0], CPU), LrFindConfig(low=1e-2, high=1.0, steps=100))
    assert 10 < len(curve.lr) == len(curve.loss) == len(curve.smoothed) < 100
    assert np.isfinite(curve.loss).all()


def fall(at: float, lowest: float) -> LrCurve:
    """A loss that falls, most steeply at a rate, until another, where it begins to explode; with noise before."""
    lr = np.geomspace(1e-6, 10, 701)
    place = np.log10(lr)
    smoothed = 2 - 1 / (1 + np.exp(-4 * (place - np.log10(at)))) + 100 * np.maximum(0, place - np.log10(lowest)) ** 2
    smoothed[:10] += np.linspace(3, 0, 10)  # the first losses, of which there is no average yet
    return LrCurve(lr, smoothed, smoothed)


@pytest.mark.parametrize("at", [0.001, 0.01])
def test_suggestions_are_the_steepest_place_and_a_tenth_of_the_lowest(at: float) -> None:
    curve = fall(at, lowest=1.0)
    found = suggest(curve)
    assert found.steepest == pytest.approx(at, rel=0.02)
    assert found.tenth == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("smoothed", [np.linspace(1, 2, 100), np.full(100, 0.7), np.ones(3), np.ones(0)])
def test_a_loss_that_never_falls_is_an_error(smoothed: np.ndarray) -> None:
    lr = np.geomspace(1e-3, 1, 100)[: len(smoothed)]
    with pytest.raises(
        WellfitError, match=r"^the loss fell at no learning rate from lr_find\.low on .*: lower lr_find"
    ):
        suggest(LrCurve(lr, smoothed, smoothed))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lr_find.high=1e-6", "low must be < high, got low 1e-06 and high 1e-06"),
        ("lr_find.low=0", "must be > 0"),
        ("lr_find.steps=49", "must be >= 50, got 49"),
    ],
)
def test_values_that_are_refused(override: str, message: str) -> None:
    with pytest.raises(WellfitError, match=message):
        load_params(SHIPPED, [override])
