from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_squared_log_error
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from wellfit.data.meta import Meta
from wellfit.training.loss import LossConfig
from wellfit.training.mean_loss import MeanLoss

VALUES = {"name": "auto", "label_smoothing": 0.0, "class_weights": "none", "focal_gamma": 2.0, "delta": 1.0}
CPU = torch.device("cpu")
COUNTS = (30, 8, 2)


class OfOne:
    """The loss of a single member, without the dimension of members."""

    def __init__(self, config: LossConfig, meta: Meta) -> None:
        self.meta, self._loss = meta, MeanLoss([config], meta, CPU)
        self.check = self._loss.check

    def __call__(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        (loss,) = self._loss(outputs[None], targets[None], None if weights is None else weights[None])
        return loss


def loss_of_classes(classes: int = 3, **changes: Any) -> OfOne:
    config = LossConfig.model_validate(VALUES | changes)
    names = tuple("abcde"[:classes])
    meta = Meta.model_construct(
        name="x",
        task="classification",
        class_names=names,
        class_counts=(COUNTS * 2)[:classes],
        target_mean=None,
        target_std=None,
    )
    return OfOne(config, meta)


def loss_of_numbers(mean: float = 10.0, std: float = 4.0, **changes: Any) -> OfOne:
    config = LossConfig.model_validate(VALUES | changes)
    meta = Meta.model_construct(name="x", task="regression", class_names=(), target_mean=mean, target_std=std)
    return OfOne(config, meta)


def logits_and_classes(n: int = 40, classes: int = 3) -> tuple[Tensor, Tensor]:
    return 3 * torch.randn(n, classes), torch.randint(classes, (n,))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("weights", ["none", [1.0, 0.5, 4.0]])
@pytest.mark.parametrize("name", ["auto", "cross_entropy"])
def test_cross_entropy_is_torchs(name: str, weights: Any, smoothing: float) -> None:
    outputs, targets = logits_and_classes()
    weight = None if weights == "none" else torch.tensor(weights)
    expected = nn.CrossEntropyLoss(weight, label_smoothing=smoothing)(outputs, targets)
    loss = loss_of_classes(name=name, label_smoothing=smoothing, class_weights=weights)
    torch.testing.assert_close(loss(outputs, targets), expected)


def test_balanced_weights_are_scikit_learns() -> None:
    outputs, targets = logits_and_classes()
    rows = torch.arange(3).repeat_interleave(torch.tensor(COUNTS))
    weights = compute_class_weight("balanced", classes=np.arange(3), y=rows.numpy())
    expected = nn.CrossEntropyLoss(torch.tensor(weights, dtype=torch.float32))(outputs, targets)
    torch.testing.assert_close(loss_of_classes(class_weights="balanced")(outputs, targets), expected)


@pytest.mark.parametrize("weights", ["none", [0.5, 4.0]])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_bce_of_one_logit_is_the_cross_entropy_of_two(smoothing: float, weights: Any) -> None:
    logits, targets = torch.randn(40, 1), torch.randint(2, (40,))
    if smoothing == 0 and weights == "none":
        plain = nn.BCEWithLogitsLoss()(logits[:, 0], targets.float())
        torch.testing.assert_close(loss_of_classes(2, name="bce")(logits, targets), plain)
    weight = None if weights == "none" else torch.tensor(weights)
    per_row = nn.CrossEntropyLoss(reduction="none", label_smoothing=smoothing)(
        torch.cat([torch.zeros_like(logits), logits], 1), targets
    )
    expected = per_row.mean() if weight is None else (per_row * weight[targets]).sum() / weight[targets].sum()
    loss = loss_of_classes(2, name="bce", label_smoothing=smoothing, class_weights=weights)
    torch.testing.assert_close(loss(logits, targets), expected)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0, 5.0])
def test_focal_loss_of_two_classes_is_torchvisions(gamma: float) -> None:
    logits, targets = 2 * torch.randn(40), torch.randint(2, (40,))
    expected = sigmoid_focal_loss(logits, targets.float(), alpha=-1, gamma=gamma, reduction="mean")
    outputs = torch.stack([torch.zeros(40), logits], 1)
    torch.testing.assert_close(loss_of_classes(2, name="focal", focal_gamma=gamma)(outputs, targets), expected)


def test_focal_loss_weighs_classes_as_alpha_does() -> None:
    logits, targets = 2 * torch.randn(40), torch.randint(2, (40,))
    expected = sigmoid_focal_loss(logits, targets.float(), alpha=0.7, gamma=2, reduction="mean")
    outputs = torch.stack([torch.zeros(40), logits], 1)
    loss = loss_of_classes(2, name="focal", class_weights=[0.3, 0.7])
    torch.testing.assert_close(loss(outputs, targets), expected)


def test_focal_loss_of_a_row_that_is_surely_right_has_a_finite_gradient() -> None:
    outputs = torch.tensor([[200.0, 0.0, 0.0]], requires_grad=True)
    loss_of_classes(name="focal", focal_gamma=0.5)(outputs, torch.tensor([0])).backward()
    assert outputs.grad is not None
    assert torch.isfinite(outputs.grad).all()


@pytest.mark.parametrize(
    ("name", "torchs"),
    [
        ("auto", nn.MSELoss()),
        ("mse", nn.MSELoss()),
        ("mae", nn.L1Loss()),
        ("huber", nn.HuberLoss(delta=0.7)),
        ("smooth_l1", nn.SmoothL1Loss(beta=0.7)),
    ],
)
def test_losses_of_numbers_are_torchs(name: str, torchs: nn.Module) -> None:
    outputs, targets = torch.randn(40, 1), torch.randn(40)
    expected = torchs(outputs[:, 0], targets)
    torch.testing.assert_close(loss_of_numbers(name=name, delta=0.7)(outputs, targets), expected)


def test_msle_is_scikit_learns_in_the_targets_own_unit() -> None:
    outputs, targets = torch.randn(40, 1), torch.randn(40).clamp(min=-2.5)
    outputs = outputs.clamp(min=-2.5)
    expected = mean_squared_log_error(targets * 4 + 10, outputs[:, 0] * 4 + 10)
    assert loss_of_numbers(name="msle")(outputs, targets).item() == pytest.approx(expected, rel=1e-5)


def test_msle_leads_back_from_predictions_below_zero() -> None:
    outputs = torch.tensor([[-3.0]], requires_grad=True)  # -2 in its own unit
    loss = loss_of_numbers(name="msle")(outputs, torch.tensor([-2.5]))
    assert loss.item() == pytest.approx(4.0)
    loss.backward()
    assert outputs.grad is not None
    assert outputs.grad.item() == pytest.approx(-16.0)


def test_msle_of_a_zero_that_is_rounded_below_zero() -> None:
    targets = torch.tensor([-1.0000001])
    assert loss_of_numbers(1e7, 1e7, name="msle")(torch.tensor([[-1.0]]), targets).isfinite()


def test_gradients_are_those_of_torchs_loss() -> None:
    outputs, targets = logits_and_classes(12)
    ours, theirs = outputs.clone().requires_grad_(), outputs.clone().requires_grad_()
    loss_of_classes(label_smoothing=0.1)(ours, targets).backward()
    nn.CrossEntropyLoss(label_smoothing=0.1)(theirs, targets).backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_a_known_value() -> None:
    outputs = torch.tensor([[0.0, 0.0], [0.0, 50.0]])
    assert loss_of_classes(2)(outputs, torch.tensor([0, 1])).item() == pytest.approx(0.6931472 / 2)
