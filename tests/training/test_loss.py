from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_squared_log_error
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from wellfit.data.meta import Meta
from wellfit.errors import WellfitError
from wellfit.training.loss import Loss, LossConfig

VALUES = {"name": "auto", "label_smoothing": 0.0, "class_weights": "none", "focal_gamma": 2.0, "delta": 1.0}
CPU = torch.device("cpu")
COUNTS = (30, 8, 2)


class OfOne:
    """The loss of a single member, without the dimension of members."""

    def __init__(self, config: LossConfig, meta: Meta) -> None:
        self.meta, self._loss = meta, Loss([config], meta, CPU)
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


def test_rows_that_weigh_nothing_teach_nothing() -> None:
    outputs = torch.randn(4, 3, requires_grad=True)
    loss = loss_of_classes(class_weights=[1.0, 2.0, 3.0])(outputs, torch.tensor([0, 1, 2, 2]), torch.zeros(4))
    loss.backward()
    assert loss.item() == 0
    assert outputs.grad is not None
    assert not outputs.grad.any()


def test_gradients_are_those_of_torchs_loss() -> None:
    outputs, targets = logits_and_classes(12)
    ours, theirs = outputs.clone().requires_grad_(), outputs.clone().requires_grad_()
    loss_of_classes(label_smoothing=0.1)(ours, targets).backward()
    nn.CrossEntropyLoss(label_smoothing=0.1)(theirs, targets).backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_a_known_value() -> None:
    outputs = torch.tensor([[0.0, 0.0], [0.0, 50.0]])
    assert loss_of_classes(2)(outputs, torch.tensor([0, 1])).item() == pytest.approx(0.6931472 / 2)


# What does not fit the data


def test_bce_is_for_two_classes() -> None:
    with pytest.raises(WellfitError, match=r"loss\.name bce is for two classes, but x has 3; use cross_entropy"):
        loss_of_classes(3, name="bce")


def test_weights_that_are_too_few_name_the_classes() -> None:
    with pytest.raises(WellfitError, match=r"loss\.class_weights .* each of the 3 classes \(a, b, c\), got 2"):
        loss_of_classes(3, class_weights=[1.0, 2.0])


def test_msle_refuses_targets_below_zero() -> None:
    loss_of_numbers(name="mse").check(torch.tensor([-3.0]))
    loss_of_numbers(name="msle").check(torch.tensor([-2.5, 1.0]))  # zero, in its own unit
    with pytest.raises(WellfitError, match=r"msle needs targets >= 0, got -2; use mse"):
        loss_of_numbers(name="msle").check(torch.tensor([1.0, -3.0]))


ALL_CLASS_LOSSES = [
    {"name": "cross_entropy", "label_smoothing": 0.1},
    {"name": "cross_entropy", "class_weights": [1.0, 0.5, 4.0]},
    {"name": "focal"},
    {"name": "focal", "class_weights": [1.0, 0.5, 4.0]},
]


@pytest.mark.parametrize("changes", ALL_CLASS_LOSSES)
def test_a_row_of_weight_two_counts_like_two_rows_of_a_class(changes: dict[str, Any]) -> None:
    outputs, targets = logits_and_classes()
    loss = loss_of_classes(**changes)
    weights = torch.randint(0, 4, (40,))
    # The focal loss of class weights is no weighted mean: it is divided by the number of rows, which repeating changes.
    repeated = loss(outputs.repeat_interleave(weights, 0), targets.repeat_interleave(weights))
    torch.testing.assert_close(loss(outputs, targets, weights.float()), repeated)
    torch.testing.assert_close(loss(outputs, targets, torch.full((40,), 0.3)), loss(outputs, targets))


@pytest.mark.parametrize("class_weights", ["none", [1.0, 4.0]])
def test_a_row_of_weight_two_counts_like_two_rows_of_bce(class_weights: Any) -> None:
    outputs, targets = torch.randn(40, 1), torch.randint(2, (40,))
    loss = loss_of_classes(2, name="bce", class_weights=class_weights)
    weights = torch.randint(0, 4, (40,))
    repeated = loss(outputs.repeat_interleave(weights, 0), targets.repeat_interleave(weights))
    torch.testing.assert_close(loss(outputs, targets, weights.float()), repeated)


@pytest.mark.parametrize("name", ["mse", "mae", "huber", "smooth_l1", "msle"])
def test_a_row_of_weight_two_counts_like_two_rows_of_numbers(name: str) -> None:
    outputs, targets = torch.randn(40, 1), torch.rand(40)
    loss = loss_of_numbers(name=name)
    weights = torch.randint(0, 4, (40,))
    repeated = loss(outputs.repeat_interleave(weights, 0), targets.repeat_interleave(weights))
    torch.testing.assert_close(loss(outputs, targets, weights.float()), repeated)


# Several members


SETTINGS: dict[str, list[dict[str, Any]]] = {
    "cross_entropy": [{"label_smoothing": s} for s in (0.0, 0.1, 0.7)],
    "bce": [{"label_smoothing": s} for s in (0.0, 0.1, 0.7)],
    "focal": [{"focal_gamma": gamma} for gamma in (0.0, 0.5, 3.0)],
    "mse": [{}] * 3,
    "mae": [{}] * 3,
    "huber": [{"delta": delta} for delta in (0.1, 1.0, 2.0)],
    "smooth_l1": [{"delta": delta} for delta in (0.1, 1.0, 2.0)],
    "msle": [{}] * 3,
}


@pytest.mark.parametrize("weighs_rows", [False, True])
@pytest.mark.parametrize("weighs_classes", [False, True])
@pytest.mark.parametrize("name", list(SETTINGS))
def test_each_member_has_the_loss_it_would_have_alone(name: str, weighs_classes: bool, weighs_rows: bool) -> None:
    classes = {"cross_entropy": 3, "focal": 3, "bce": 2}.get(name, 0)
    if weighs_classes and not classes:
        pytest.skip("numbers have no classes")
    if classes:
        chosen = [1.0, 0.5, 4.0][:classes] if weighs_classes else "none"
        singles = [loss_of_classes(classes, name=name, class_weights=chosen, **each) for each in SETTINGS[name]]
        targets = torch.randint(classes, (3, 20))
        outputs = 2 * torch.randn(3, 20, 1 if name == "bce" else classes)
    else:
        singles = [loss_of_numbers(name=name, **each) for each in SETTINGS[name]]
        targets, outputs = torch.rand(3, 20), torch.randn(3, 20, 1)
    weights = torch.rand(3, 20) if weighs_rows else None
    together = Loss([config_of(name, weighs_classes, classes, each) for each in SETTINGS[name]], singles[0].meta, CPU)
    ours = outputs.clone().requires_grad_()
    losses = together(ours, targets, weights)
    assert losses.shape == (3,)
    losses.sum().backward()
    for k, single in enumerate(singles):
        theirs = outputs[k].clone().requires_grad_()
        expected = single(theirs, targets[k], None if weights is None else weights[k])
        expected.backward()
        torch.testing.assert_close(losses[k], expected)
        torch.testing.assert_close(ours.grad[k], theirs.grad)
    parts = [np.s_[:, :7], np.s_[:, 7:]]  # each times its share of the weights, two batches make the mean over all
    own = [None if weights is None else weights[part] for part in parts]
    sums = [together.weight_sum(targets[part], each) for part, each in zip(parts, own, strict=True)]
    means = [together(outputs[part], targets[part], each) for part, each in zip(parts, own, strict=True)]
    whole = together.weight_sum(targets, weights)
    assert isinstance(whole, float) or whole.shape == (3,)
    mean = sum(part * each for part, each in zip(sums, means, strict=True)) / whole
    torch.testing.assert_close(mean, together(outputs, targets, weights))


def config_of(name: str, weighs_classes: bool, classes: int, changes: dict[str, Any]) -> LossConfig:
    chosen = [1.0, 0.5, 4.0][:classes] if weighs_classes else "none"
    return LossConfig.model_validate(VALUES | {"name": name, "class_weights": chosen} | changes)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_outputs_that_are_no_numbers_cost_no_other_member(bad: float) -> None:
    loss = Loss([config_of("cross_entropy", False, 3, {"label_smoothing": 0.1})] * 3, loss_of_classes().meta, CPU)
    outputs, targets = torch.randn(3, 8, 3), torch.randint(3, (3, 8))
    expected = loss(outputs, targets)
    outputs[1] = bad
    outputs.requires_grad_()
    losses = loss(outputs, targets)
    assert not losses[1].isfinite()
    assert torch.equal(losses[[0, 2]], expected[[0, 2]])
    losses.sum().backward()
    assert outputs.grad[[0, 2]].isfinite().all()
