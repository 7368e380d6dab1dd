import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import Tensor

from wellfit.training.config import TrainConfig
from wellfit.training.metrics import classification_scores, is_higher_better, regression_scores


def pack(members: int, n: int, classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits that are often right, and classes of which the last never occurs."""
    random = torch.Generator().manual_seed(seed)
    targets = torch.randint(max(classes - 1, 1), (members, n), generator=random)
    outputs = torch.randn(members, n, classes, generator=random)
    return outputs + 1.5 * torch.nn.functional.one_hot(targets, classes), targets


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true", "ignore:A single label was found")
@pytest.mark.parametrize("members", [1, 4])
@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("n", [1, 12, 300])
def test_class_scores_are_scikit_learns(members: int, n: int, classes: int) -> None:
    outputs, targets = pack(members, n, classes)
    scores = classification_scores(outputs, targets)
    assert set(scores) == {"accuracy", "balanced_accuracy", "macro_f1"}
    for k in range(members):
        true, predicted = targets[k].numpy(), outputs[k].argmax(-1).numpy()
        assert scores["accuracy"][k] == pytest.approx(metrics.accuracy_score(true, predicted))
        assert scores["balanced_accuracy"][k] == pytest.approx(metrics.balanced_accuracy_score(true, predicted))
        assert scores["macro_f1"][k] == pytest.approx(metrics.f1_score(true, predicted, average="macro"))
    assert all(values.shape == (members,) for values in scores.values())


def test_a_class_that_neither_occurs_nor_is_predicted_does_not_count() -> None:
    targets = torch.tensor([[0, 0, 1, 1]])
    outputs = torch.nn.functional.one_hot(torch.tensor([[0, 1, 1, 1]]), 5).float()
    scores = classification_scores(outputs, targets)
    assert scores["balanced_accuracy"] == pytest.approx([0.75])
    assert scores["macro_f1"] == pytest.approx([(2 / 3 + 4 / 5) / 2])


def test_members_do_not_mix() -> None:
    outputs, targets = pack(3, 500, 4)
    together = classification_scores(outputs, targets)
    for k in range(3):
        alone = classification_scores(outputs[k : k + 1], targets[k : k + 1])
        assert {name: values[k] for name, values in together.items()} == {name: v[0] for name, v in alone.items()}
    assert len(set(together["accuracy"])) == 3


def test_perfect_and_hopeless() -> None:
    targets = torch.tensor([[0, 1, 2, 1]])
    right = torch.nn.functional.one_hot(targets, 3).float()
    assert {v[0] for v in classification_scores(right, targets).values()} == {1.0}
    assert {v[0] for v in classification_scores(right.roll(1, -1), targets).values()} == {0.0}


@pytest.mark.parametrize("members", [1, 4])
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (1e4, 50.0)])
def test_number_scores_are_scikit_learns_in_the_targets_unit(members: int, mean: float, std: float) -> None:
    targets = torch.randn(members, 200)
    outputs = (targets + 0.3 * torch.randn(members, 200) + 0.1)[..., None]
    scores = regression_scores(outputs, targets, std)
    assert set(scores) == {"rmse", "mae", "r2"}
    for k in range(members):
        true, predicted = mean + std * targets[k].double().numpy(), mean + std * outputs[k, :, 0].double().numpy()
        assert scores["rmse"][k] == pytest.approx(metrics.root_mean_squared_error(true, predicted), rel=1e-5)
        assert scores["mae"][k] == pytest.approx(metrics.mean_absolute_error(true, predicted), rel=1e-5)
        assert scores["r2"][k] == pytest.approx(metrics.r2_score(true, predicted), rel=1e-5)
    assert all(values.shape == (members,) for values in scores.values())


@pytest.mark.parametrize("error", [0.0, 0.5])
def test_r2_of_a_constant_target_is_scikit_learns(error: float) -> None:
    targets = torch.full((1, 6), 0.25)
    scores = regression_scores((targets + error)[..., None], targets, 2.0)
    expected = metrics.r2_score(targets[0].numpy(), (targets[0] + error).numpy())
    assert scores["r2"][0] == expected
    assert np.isfinite(scores["r2"]).all()  # or the loop would take it for a training that blew up


def test_every_metric_that_can_be_monitored_has_its_direction() -> None:
    monitors = TrainConfig.model_fields["monitor"].annotation.__args__  # type: ignore[union-attr]
    higher = {monitor for monitor in monitors if is_higher_better(monitor)}
    assert higher == {"val/accuracy", "val/balanced_accuracy", "val/macro_f1", "val/r2"}
    assert set(monitors) - higher == {"val/loss", "val/rmse", "val/mae"}
