"""What is said of curves: of such made by hand, and of real trainings that go well or wrong."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wellfit.settings.params import load_params
from wellfit.training.advice import Settings
from wellfit.training.curves import Classes, Constant
from wellfit.training.layers import Layers, LayerStatistics
from wellfit.training.setup import begin, load_training_data
from wellfit.training.verdict import Finding, verdict

from ..conftest import PLAIN

SHIPPED = Path(__file__).parents[2] / "params.yaml"
EPOCHS = 40
TIME = np.linspace(0, 1, EPOCHS)
FALLING = 2 * np.exp(-8 * TIME) + 0.05  # a loss that comes to rest
Curve = Sequence[float] | np.ndarray | float


def judge(
    train_loss: Curve = FALLING,
    val_loss: Curve = FALLING + 0.02,
    *,
    grad_norm: Curve = 1.0,
    lr: Curve = 0.01,
    scores: tuple[float, float] = (0.98, 0.96),
    classes: int = 3,
    layers: Sequence[Layers] = (),
    epochs: int | None = None,
    constant: Constant | None = None,
    settings: Settings | None = None,
) -> list[Finding]:
    """The verdict on curves; by default those of a training that goes well."""
    n = len(np.atleast_1d(train_loss))
    score = "balanced_accuracy" if classes else "r2"
    columns: dict[str, Any] = {
        "train/loss": train_loss,
        "val/loss": val_loss,
        "grad_norm": np.broadcast_to(grad_norm, n),
        "lr": np.broadcast_to(lr, n),
        f"train/{score}": np.full(n, scores[0]),
        f"val/{score}": np.full(n, scores[1]),
    }
    history = [{name: float(values[i]) for name, values in columns.items()} for i in range(n)]
    best = int(np.argmin(val_loss)) + 1
    n_epochs = n if epochs is None else epochs
    return verdict(history, layers, best, n_epochs, classes, constant=constant, settings=settings)


def kinds(findings: Sequence[Finding]) -> list[str]:
    return [finding.kind for finding in findings]


def test_over_fitting_when_the_validation_loss_rises_while_the_training_loss_falls() -> None:
    val = FALLING + np.linspace(0, 0.6, EPOCHS)
    (found,) = judge(val_loss=val)
    assert found.kind == "over-fitting"
    best = int(val.argmin())
    assert f"rose from {val.min():.3g} in epoch {best + 1} to {val[-2]:.3g} at the end" in found.text
    assert "model.dropout" in found.text


def test_over_fitting_when_the_scores_are_far_apart() -> None:
    (found,) = judge(scores=(0.99, 0.7))
    assert found.kind == "over-fitting"
    assert "0.99 on training rows and 0.7 on validation rows" in found.text
    assert kinds(judge(scores=(0.9, 0.5), classes=0)) == ["over-fitting"]


def test_under_fitting_when_hardly_anything_is_learned() -> None:
    flat = np.full(EPOCHS, 1.09)
    (found,) = judge(flat, flat, scores=(0.36, 0.34))
    assert found.kind == "under-fitting"
    assert "a constant prediction has 0.333" in found.text
    assert kinds(judge(flat, flat, scores=(0.1, 0.12), classes=0)) == ["under-fitting"]
    assert judge(scores=(0.36, 0.34), classes=0) == []  # of a regression that is something
    assert kinds(judge(scores=(0.3, -0.5), classes=0)) == ["over-fitting"]  # by heart is learned as well
    assert kinds(judge(flat, flat, scores=(0.2, -0.5), classes=0)) == ["under-fitting"]


def test_no_signal_where_only_the_training_rows_profit() -> None:
    falling, rising = np.linspace(1, 0.8, EPOCHS), np.linspace(1, 1.1, EPOCHS)
    (found,) = judge(falling, rising, scores=(0.05, -0.02), classes=0)
    assert found.kind == "no signal"
    assert found.text == (
        "r2 is 0.05 on training rows and -0.02 on validation rows, where a constant prediction has 0: what is learned "
        "of the training rows does not help on others, so the inputs may not tell the target, or the rows may be too "
        "few"
    )
    assert kinds(judge(falling, falling, scores=(0.05, -0.02), classes=0)) == ["under-fitting"]
    four = Classes(("no", "yes"), (970, 30), (216, 4))
    assert kinds(judge_unequal((0.81, 0.33), counts=four)) == ["no signal", "few rows to validate"]
    assert kinds(judge_unequal((0.55, 0.33), counts=four)) == ["under-fitting", "few rows to validate"]
    assert kinds(judge(FALLING, FALLING + np.linspace(0, 3, EPOCHS), scores=(0.3, 0.0), classes=0)) == ["over-fitting"]


@pytest.mark.parametrize("decay", [0.01, 0.5])
def test_under_fitting_when_it_ends_while_it_still_falls(decay: float) -> None:
    slow = 2 * np.exp(-decay * TIME)
    (found,) = judge(slow, slow + 0.1)
    assert found.kind == "under-fitting"
    assert f"still falling in epoch {EPOCHS}" in found.text
    assert judge(slow, slow + 0.1, epochs=100) == []  # early stopping has ended it


def test_a_loss_that_rose_in_the_last_of_a_few_epochs_is_not_still_falling() -> None:
    lr = np.array([0.5, 1.0, 0.01])
    falling, rising = np.array([2.0, 1.5, 1.4]), np.array([2.0, 1.5, 1.6])
    assert kinds(judge(falling, falling, lr=lr, epochs=3)) == ["under-fitting"]
    assert judge(falling, rising, lr=lr, epochs=3) == []


def test_a_schedule_that_goes_to_zero_does_not_hide_that_the_loss_was_still_falling() -> None:
    cosine = 0.5 + 0.5 * np.cos(np.pi * TIME)
    moved = np.cumsum(cosine) / cosine.sum()
    slow, fast = (2 * np.exp(-speed * moved) + 0.05 for speed in (0.5, 8))
    assert slow[-5] - slow[-1] < 0.01 * (slow[0] - slow[-1])  # it looks as if it had come to rest
    assert kinds(judge(slow, slow, lr=cosine)) == ["under-fitting"]
    assert judge(fast, fast, lr=cosine) == []


def test_under_fitting_when_dropout_leaves_too_little() -> None:
    found = judge(scores=(0.35, 0.6))
    assert kinds(found) == ["under-fitting"]
    assert "lower model.dropout" in found[0].text


@pytest.mark.parametrize("classes", [0, 10])
def test_exploding_gradients_when_the_loss_is_far_above_a_constants(classes: int) -> None:
    losses = FALLING.copy()
    losses[3] = 50.0
    norms = np.ones(EPOCHS)
    norms[3] = 900.0
    (found,) = judge(losses, grad_norm=norms, classes=classes)
    assert found.kind == "exploding gradients"
    assert "train/loss was 50 in epoch 4, with a gradient norm of 900" in found.text


def test_exploding_gradients_when_a_spike_takes_the_loss_with_it() -> None:
    losses, norms = FALLING.copy(), np.ones(EPOCHS)
    norms[20] = 100.0
    assert judge(losses, grad_norm=norms) == []  # a spike that does no harm
    losses[20] = 1.5
    (found,) = judge(losses, grad_norm=norms)
    assert found.kind == "exploding gradients"
    assert "grad_norm was 100 in epoch 21, where its median until then was 1" in found.text
    assert "optim.clip_norm" in found.text


def test_learning_rate_too_high_when_the_loss_oscillates_and_validation_suffers() -> None:
    zigzag = np.where(np.arange(EPOCHS) % 2 == 0, 1.0, 0.6)
    val = 0.4 + 0.6 * TIME
    (found,) = judge(zigzag, val)
    assert found.kind == "learning rate too high"
    assert "rose in 19 of 39 epochs, the first time in epoch 3" in found.text
    assert judge(zigzag) == []  # validation does not mind: rows are mixed, or the rate falls in time
    assert kinds(judge(zigzag, val, lr=zigzag)) != ["learning rate too high"]  # it rises when the rate does


def test_learning_rate_too_high_when_the_loss_ends_above_its_beginning() -> None:
    rising = np.linspace(2.0, 2.5, EPOCHS)
    found = judge(rising, rising, scores=(0.1, 0.1), classes=10)
    assert kinds(found) == ["learning rate too high", "under-fitting"]
    assert "from 2 in the first epoch up to 2.49 at the end" in found[0].text
    assert "raise" not in found[1].text  # the advice of the two must not quarrel


def with_layers(**statistics: Sequence[float]) -> list[Layers]:
    """The same in every epoch, of layers a, b, c."""
    fixed = {"grad_norm": [1.0, 1.0, 1.0], "dead_share": [0.0, 0.1, float("nan")]} | statistics
    epoch = {name: {key: values[i] for key, values in fixed.items()} for i, name in enumerate("abc")}
    return [epoch] * EPOCHS


def test_vanishing_gradients_when_little_reaches_the_first_layer() -> None:
    (found,) = judge(layers=with_layers(grad_norm=[1e-5, 1e-3, 0.5]))
    assert found.kind == "vanishing gradients"
    assert "of a, the first layer, is 1e-05, that of c, the last, 0.5" in found.text
    assert kinds(judge(layers=with_layers(grad_norm=[0.0, 0.0, 0.0]))) == ["vanishing gradients"]
    assert judge(layers=with_layers(grad_norm=[0.1, 2.0, 1.0])) == []


def test_vanishing_gradients_when_nothing_moves_though_nothing_is_learned() -> None:
    flat = np.full(EPOCHS, 1.0)
    found = judge(flat, flat, grad_norm=1e-9, scores=(-0.4, -0.5), classes=0)
    assert kinds(found) == ["vanishing gradients", "under-fitting"]
    assert judge(grad_norm=1e-9) == []  # it has arrived


def test_dead_units() -> None:
    (found,) = judge(layers=with_layers(dead_share=[0.2, 0.75, float("nan")]))
    assert found.kind == "dead units"
    assert f"75 % in b (epoch {EPOCHS})" in found.text
    assert " a " not in found.text
    assert judge(layers=with_layers(dead_share=[0.2, 0.5, float("nan")])) == []


@pytest.mark.parametrize(
    "curves",
    [
        {},
        {"layers": with_layers()},
        {"train_loss": FALLING + 0.3, "val_loss": FALLING},  # dropout: the training loss lies above
        {"val_loss": FALLING + np.linspace(0, 0.02, EPOCHS)},  # a little over its best when early stopping ends it
        {"train_loss": FALLING + 0.9, "val_loss": FALLING + 1 + np.linspace(0, 0.4, EPOCHS)},  # of a noisy target
        {"train_loss": FALLING[::-1], "scores": (0.5, 0.95)},  # mixup: the training rows are not scored as they are
        {"train_loss": 2 * np.exp(-1.5 * TIME), "val_loss": 2 * np.exp(-1.5 * TIME)},  # slow, but it gets slower
        {"grad_norm": FALLING**3},  # three orders of magnitude down, as it should be
        {"scores": (0.6, 0.4), "classes": 0},  # a noisy target
        {"train_loss": FALLING[:1], "val_loss": FALLING[:1]},
        {"train_loss": FALLING[:2], "val_loss": FALLING[:2]},
    ],
)
def test_nothing_is_said_of_a_training_that_goes_well(curves: dict[str, Any]) -> None:
    assert judge(**curves) == []


UNEQUAL = Classes(("no", "yes"), (970, 30), (200, 20))


def judge_unequal(
    auc: tuple[float, float],
    balanced: tuple[float, float] = (0.55, 0.53),
    counts: Classes = UNEQUAL,
    val_loss: Curve = FALLING + 0.02,
    **more: Any,
) -> list[Finding]:
    """The verdict on curves whose balanced accuracy and ROC AUC are those of training and validation rows."""
    scores = {"train/balanced_accuracy": balanced[0], "val/balanced_accuracy": balanced[1]}
    scores |= {"train/roc_auc": auc[0], "val/roc_auc": auc[1], "grad_norm": 1.0, "lr": 0.01}
    losses = np.broadcast_to(FALLING, EPOCHS), np.broadcast_to(val_loss, EPOCHS)
    history = [
        scores | {"train/loss": float(train), "val/loss": float(val)} for train, val in zip(*losses, strict=True)
    ]
    classes = len(counts.names)
    return verdict(history, (), int(np.argmin(losses[1])) + 1, EPOCHS, classes, counts=counts, **more)


def test_a_rare_class_is_judged_by_the_order_of_the_rows() -> None:
    (found,) = judge_unequal((0.96, 0.95))
    assert found.kind == "rare class"
    assert found.text == (
        "class 'yes' has 3 % of the training rows and is hardly ever predicted: on validation rows balanced_accuracy "
        "is 0.53, though roc_auc is 0.95: set loss.class_weights balanced, evaluate.threshold f1 or train.monitor "
        "val/average_precision"
    )
    (found,) = judge_unequal((0.96, 0.95), counts=Classes(("fraud", "ok"), (30, 970), (20, 200)))
    assert found.text.startswith("class 'fraud' has 3 % of the training rows")
    assert found.text.endswith(": set loss.class_weights balanced or evaluate.threshold balanced_accuracy")
    assert judge_unequal((0.96, 0.95), balanced=(0.8, 0.7)) == []
    assert judge_unequal((0.96, 0.95), settings={"evaluate.threshold": "f1"}) == []
    (found,) = judge_unequal((0.55, 0.52))
    assert found.kind == "under-fitting"
    assert (
        "roc_auc is 0.55 on training rows and 0.52 on validation rows, where a constant prediction has 0.5"
        in found.text
    )
    equal = Classes(("no", "yes"), (700, 300), (150, 70))
    assert kinds(judge_unequal((0.96, 0.95), counts=equal)) == ["under-fitting"]


@pytest.mark.parametrize(("val_auc", "rare", "is_over_fitting"), [(0.7, 400, True), (0.7, 20, False), (0.5, 20, True)])
def test_an_auc_of_few_rows_must_be_lower_to_show_over_fitting(
    val_auc: float, rare: int, is_over_fitting: bool
) -> None:
    counts = Classes(("no", "yes"), (970, 30), (20 * rare, rare))
    assert ("over-fitting" in kinds(judge_unequal((0.99, val_auc), counts=counts))) == is_over_fitting


def test_over_fitting_cannot_be_told_by_two_rows() -> None:
    rising = FALLING + np.linspace(0, 0.6, EPOCHS)
    assert kinds(judge_unequal((0.96, 0.95), (0.9, 0.9), val_loss=rising)) == ["over-fitting"]
    two = Classes(("no", "yes"), (970, 30), (218, 2))
    (found,) = judge_unequal((0.99, 0.6), (0.9, 0.9), two, val_loss=rising)
    assert found.kind == "few rows to validate"
    assert found.text.startswith(
        "only 2 of 220 validation rows are of another class than 'no', so their loss and scores"
    )
    three = Classes(("a", "b", "c"), (500, 480, 20), (100, 100, 1))  # rows of a and b are enough
    assert kinds(judge_unequal((0.9, 0.9), (0.9, 0.9), three, val_loss=rising)) == ["over-fitting"]


def test_of_many_classes_with_rare_ones_the_loss_decides() -> None:
    counts = Classes(("a", "b", "c"), (500, 490, 10), (100, 98, 2))
    history = {"train/balanced_accuracy": 0.34, "val/balanced_accuracy": 0.34, "grad_norm": 1.0, "lr": 0.01}
    epochs = [history | {"train/loss": float(loss), "val/loss": float(loss)} for loss in FALLING]

    def judged(constant: Constant | None) -> list[str]:
        return kinds(verdict(epochs, (), EPOCHS, EPOCHS, 3, counts=counts, constant=constant))

    assert judged(None) == ["under-fitting"]
    assert judged(Constant(0.75, 0.75)) == []
    assert judged(Constant(0.055, 0.055)) == ["under-fitting"]


def test_a_training_that_ends_worse_than_a_constant() -> None:
    flat = np.full(EPOCHS, 0.8)
    found = judge(flat, flat, scores=(0.51, 0.5), classes=2, constant=Constant(0.69, 0.69))
    assert kinds(found) == ["under-fitting", "worse than a constant"]
    assert found[1].text == (
        "val/loss is 0.8 in epoch 1, whose weights are kept, where the shares of the classes as a prediction for every "
        "row would have 0.69"
    )
    assert kinds(judge(flat, flat, scores=(0.51, 0.5), classes=2, constant=Constant(0.69, 0.81))) == ["under-fitting"]
    (found_alone,) = judge(flat, flat, scores=(0.4, 0.3), classes=0, constant=Constant(1, 0.7))
    assert found_alone.kind == "worse than a constant"
    assert "the mean of the targets as a prediction for every row would have 0.7: set train.monitor" in found_alone.text


def test_what_is_set_already_is_not_advised() -> None:
    settings = {"model.dropout": 0.9, "optim.weight_decay": 0.1, "model.hidden": [8]}
    (found,) = judge(scores=(0.99, 0.7), settings=settings)
    assert found.text.endswith(": raise optim.weight_decay, or take a smaller network by model.hidden")
    (found,) = judge(scores=(0.99, 0.7), settings={})
    assert found.text.endswith("0.7 on validation rows")


def train(prepared: Path, name: str, *overrides: str) -> list[Finding]:
    """The verdict on a real training."""
    base = [f"data.name={name}", "tune.enabled=false", "train.threads=1", "train.device=cpu"]
    params = load_params(SHIPPED, [*PLAIN, *base, *overrides])
    data = load_training_data(params, prepared / name)
    training = begin([params], data, packed=False)
    statistics = training.learner.layers = LayerStatistics(training.learner.model, data.val.x, training.learner.inputs)
    history, layers = [], []
    for epoch in training.epochs:
        history.append(epoch.of(0))
        layers.append(statistics.finish_epoch())
    assert not training.members.failure[0]
    best_epoch = int(training.members.best_epoch[0])
    return verdict(history, layers, best_epoch, params.train.epochs, len(data.meta.class_names))


@pytest.mark.parametrize("name", ["moons", "diabetes", "digits"])
def test_nothing_is_said_of_the_shipped_configuration(prepared: Path, name: str) -> None:
    assert train(prepared, name) == []


@pytest.mark.parametrize(
    ("name", "overrides", "expected"),
    [
        (
            "diabetes",
            "model.dropout=0 model.norm=none optim.weight_decay=0 train.patience=null schedule.name=constant",
            ["over-fitting"],
        ),
        ("moons", "optim.lr=0.00001", ["under-fitting"]),
        ("moons", "train.epochs=3 optim.lr=0.001 schedule.warmup_epochs=0", ["under-fitting"]),
        ("diabetes", "optim.name=adam optim.lr=3", ["exploding gradients"]),
        (
            "moons",
            "model.activation=sigmoid model.norm=none model.hidden=[32,32,32,32,32,32,32,32]",
            ["vanishing gradients", "under-fitting"],
        ),
        ("moons", "model.init=zeros model.norm=none", ["vanishing gradients", "dead units", "under-fitting"]),
    ],
)
def test_what_is_said_of_trainings_that_go_wrong(
    prepared: Path, name: str, overrides: str, expected: list[str]
) -> None:
    assert set(expected) <= set(kinds(train(prepared, name, *overrides.split())))
