import pytest
import torch
from torch import Tensor, nn

from wellfit.training.config import LossConfig
from wellfit.training.loss import mean_loss


def config(name: str = "auto", label_smoothing: float = 0.0) -> LossConfig:
    return LossConfig.model_validate({"name": name, "label_smoothing": label_smoothing})


def logits_and_classes(*shape: int, classes: int = 5) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return 3 * torch.randn(*shape, classes), torch.randint(classes, shape)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("name", ["auto", "cross_entropy"])
@pytest.mark.parametrize("classes", [2, 5])
def test_the_loss_of_classes_is_torchs_cross_entropy(name: str, smoothing: float, classes: int) -> None:
    outputs, targets = logits_and_classes(40, classes=classes)
    expected = nn.CrossEntropyLoss(label_smoothing=smoothing)(outputs, targets)
    torch.testing.assert_close(mean_loss(config(name, smoothing), outputs, targets), expected)


@pytest.mark.parametrize("name", ["auto", "mse"])
def test_the_loss_of_numbers_is_torchs_mse(name: str) -> None:
    outputs, targets = torch.randn(40, 1), torch.randn(40)
    expected = nn.MSELoss()(outputs[:, 0], targets)
    torch.testing.assert_close(mean_loss(config(name), outputs, targets), expected)


def test_gradients_are_those_of_torchs_loss() -> None:
    outputs, targets = logits_and_classes(12)
    ours, theirs = outputs.clone().requires_grad_(), outputs.clone().requires_grad_()
    mean_loss(config(label_smoothing=0.1), ours, targets).backward()
    nn.CrossEntropyLoss(label_smoothing=0.1)(theirs, targets).backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_a_known_value() -> None:
    outputs = torch.tensor([[0.0, 0.0], [0.0, torch.inf]]).clamp(max=50)
    loss = mean_loss(config(), outputs, torch.tensor([0, 1]))
    assert loss.item() == pytest.approx(0.6931472 / 2)
