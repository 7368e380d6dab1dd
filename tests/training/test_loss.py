import pytest
import torch
from torch import Tensor, nn

from wellfit.training.config import LossConfig
from wellfit.training.loss import row_losses


def config(name: str = "auto", label_smoothing: float = 0.0) -> LossConfig:
    return LossConfig.model_validate({"name": name, "label_smoothing": label_smoothing})


def logits_and_classes(*shape: int, classes: int = 5) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return 3 * torch.randn(*shape, classes), torch.randint(classes, shape)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("name", ["auto", "cross_entropy"])
@pytest.mark.parametrize("classes", [2, 5])
def test_the_mean_of_class_losses_is_torchs_cross_entropy(name: str, smoothing: float, classes: int) -> None:
    outputs, targets = logits_and_classes(40, classes=classes)
    expected = nn.CrossEntropyLoss(label_smoothing=smoothing)(outputs, targets)
    losses = row_losses(config(name, smoothing), outputs, targets)
    assert losses.shape == (40,)
    torch.testing.assert_close(losses.mean(), expected)


@pytest.mark.parametrize("name", ["auto", "mse"])
def test_the_mean_of_number_losses_is_torchs_mse(name: str) -> None:
    outputs, targets = torch.randn(40, 1), torch.randn(40)
    expected = nn.MSELoss()(outputs[:, 0], targets)
    losses = row_losses(config(name), outputs, targets)
    assert losses.shape == (40,)
    torch.testing.assert_close(losses.mean(), expected)


@pytest.mark.parametrize("shape", [(3, 7), (1, 4), (2, 3, 4)])
def test_each_member_of_a_pack_gets_its_own_classes(shape: tuple[int, ...]) -> None:
    outputs, targets = logits_and_classes(*shape)
    losses = row_losses(config(label_smoothing=0.2), outputs, targets)
    assert losses.shape == shape
    for place in torch.cartesian_prod(*map(torch.arange, shape)).tolist():
        one = nn.functional.cross_entropy(outputs[tuple(place)], targets[tuple(place)], label_smoothing=0.2)
        torch.testing.assert_close(losses[tuple(place)], one)


def test_each_member_of_a_pack_gets_its_own_numbers() -> None:
    outputs, targets = torch.randn(3, 7, 1), torch.randn(3, 7)
    losses = row_losses(config(), outputs, targets)
    assert losses.shape == (3, 7)  # not the (3, 7, 7) that broadcasting would make of it
    for k in range(3):
        torch.testing.assert_close(losses[k], (outputs[k, :, 0] - targets[k]) ** 2)


def test_gradients_are_those_of_torchs_loss() -> None:
    outputs, targets = logits_and_classes(12)
    ours, theirs = outputs.clone().requires_grad_(), outputs.clone().requires_grad_()
    row_losses(config(label_smoothing=0.1), ours, targets).mean().backward()
    nn.CrossEntropyLoss(label_smoothing=0.1)(theirs, targets).backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_a_known_value() -> None:
    outputs = torch.tensor([[0.0, 0.0], [0.0, torch.inf]]).clamp(max=50)
    losses = row_losses(config(), outputs, torch.tensor([0, 1]))
    assert losses.tolist() == pytest.approx([0.6931472, 0.0])
