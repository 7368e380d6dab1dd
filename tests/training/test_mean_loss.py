from typing import Any

import numpy as np
import pytest
import torch

from wellfit.errors import WellfitError
from wellfit.training.loss import LossConfig
from wellfit.training.mean_loss import MeanLoss

from .test_loss import CPU, VALUES, logits_and_classes, loss_of_classes, loss_of_numbers


def test_rows_that_weigh_nothing_teach_nothing() -> None:
    outputs = torch.randn(4, 3, requires_grad=True)
    loss = loss_of_classes(class_weights=[1.0, 2.0, 3.0])(outputs, torch.tensor([0, 1, 2, 2]), torch.zeros(4))
    loss.backward()
    assert loss.item() == 0
    assert outputs.grad is not None
    assert not outputs.grad.any()


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
    together = MeanLoss(
        [config_of(name, weighs_classes, classes, each) for each in SETTINGS[name]], singles[0].meta, CPU
    )
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
    loss = MeanLoss([config_of("cross_entropy", False, 3, {"label_smoothing": 0.1})] * 3, loss_of_classes().meta, CPU)
    outputs, targets = torch.randn(3, 8, 3), torch.randint(3, (3, 8))
    expected = loss(outputs, targets)
    outputs[1] = bad
    outputs.requires_grad_()
    losses = loss(outputs, targets)
    assert not losses[1].isfinite()
    assert torch.equal(losses[[0, 2]], expected[[0, 2]])
    losses.sum().backward()
    assert outputs.grad[[0, 2]].isfinite().all()
