from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import Tensor, nn

from wellfit.data.meta import Meta
from wellfit.data.target import fit_transform
from wellfit.metrics.names import is_higher_better
from wellfit.training.loss import LossConfig
from wellfit.training.mean_loss import MeanLoss
from wellfit.training.members import TrainConfig
from wellfit.training.metrics import classification_scores, regression_scores, scores

VALUES = {"name": "auto", "label_smoothing": 0.0, "class_weights": "none", "focal_gamma": 2.0, "delta": 1.0}


def pack(members: int, n: int, classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits that are often right, and classes of which the last never occurs."""
    random = torch.Generator().manual_seed(seed)
    targets = torch.randint(max(classes - 1, 1), (members, n), generator=random)
    outputs = torch.randn(members, n, classes, generator=random)
    return outputs + 1.5 * torch.nn.functional.one_hot(targets, classes), targets


def weights_of(kind: str, members: int, n: int) -> Tensor | None:
    random = torch.Generator().manual_seed(1)
    drawn = torch.rand(members, n, generator=random) + 0.01
    return {"none": None, "of each row": drawn[0], "of each member": drawn}[kind]


def scaled(std: float, mean: float) -> Meta:
    """Of a target that is standardized and not transformed."""
    return Meta.model_construct(target_std=std, target_mean=mean, target_transform=None)


def row_weights(weights: Tensor | None, member: int) -> np.ndarray | None:
    if weights is None:
        return None
    return (weights[member] if weights.ndim == 2 else weights).double().numpy()


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true", "ignore:A single label was found")
@pytest.mark.parametrize("weighting", ["none", "of each row", "of each member"])
@pytest.mark.parametrize("members", [1, 4])
@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("n", [1, 12, 300])
def test_class_scores_are_scikit_learns(members: int, n: int, classes: int, weighting: str) -> None:
    outputs, targets = pack(members, n, classes)
    weights = weights_of(weighting, members, n)
    scores = classification_scores(outputs, targets, weights, ranked=False)
    names = ["accuracy", "balanced_accuracy", "precision", "recall", "f1", "macro_f1"]
    assert list(scores) == names
    for k in range(members):
        true, predicted = targets[k].numpy(), outputs[k].argmax(-1).numpy()
        w = {"sample_weight": row_weights(weights, k)}
        p = {"average": "binary" if classes == 2 else "macro", "zero_division": 0} | w
        expected = {
            "accuracy": metrics.accuracy_score(true, predicted, **w),
            "balanced_accuracy": metrics.balanced_accuracy_score(true, predicted, **w),
            "precision": metrics.precision_score(true, predicted, **p),
            "recall": metrics.recall_score(true, predicted, **p),
            "f1": metrics.f1_score(true, predicted, **p),
            "macro_f1": metrics.f1_score(true, predicted, average="macro", **w),
        }
        assert {name: scores[name][k] for name in names} == pytest.approx(expected)
    assert all(values.shape == (members,) for values in scores.values())


@pytest.mark.parametrize("weighting", ["none", "of each row", "of each member"])
@pytest.mark.parametrize("members", [1, 4])
@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("decimals", [None, 0])
def test_scores_of_the_order_are_scikit_learns(
    members: int, classes: int, decimals: int | None, weighting: str
) -> None:
    n = 200
    outputs, targets = pack(members, n, classes + 1)
    outputs = outputs[..., :classes]  # so that each class occurs
    if decimals is not None:  # ties: whole numbers, and rows that stand there twice
        outputs = outputs.round(decimals=decimals)
        outputs[:, n // 2 :] = outputs[:, : n // 2]
    weights = weights_of(weighting, members, n)
    scores = classification_scores(outputs, targets, weights)
    assert list(scores)[-2:] == ["roc_auc", "average_precision"]
    for k in range(members):
        true, w = targets[k].numpy(), {"sample_weight": row_weights(weights, k)}
        ranked = (outputs[k, :, 1] - outputs[k, :, 0]).numpy() if classes == 2 else outputs[k].log_softmax(-1).numpy()
        each = range(classes) if classes > 2 else [1]
        for name, score in (
            ("roc_auc", metrics.roc_auc_score),
            ("average_precision", metrics.average_precision_score),
        ):
            of_class = [score(true == c, ranked[:, c] if classes > 2 else ranked, **w) for c in each]
            assert scores[name][k] == pytest.approx(np.mean(of_class))
    assert all(values.shape == (members,) for values in scores.values())


@pytest.mark.parametrize("classes", [2, 5])
def test_scores_of_the_order_are_those_of_the_probabilities(classes: int) -> None:
    outputs, targets = pack(1, 400, classes + 1)
    outputs = outputs[..., :classes]
    probabilities, true = outputs[0].double().softmax(-1).numpy(), targets[0].numpy()
    ranked = probabilities[:, 1] if classes == 2 else probabilities
    scores = classification_scores(outputs, targets)
    assert scores["roc_auc"][0] == pytest.approx(metrics.roc_auc_score(true, ranked, multi_class="ovr"))
    assert scores["average_precision"][0] == pytest.approx(metrics.average_precision_score(true, ranked))


def test_rows_that_are_sure_still_have_an_order() -> None:
    logit = torch.tensor([[20.0, 30.0, 40.0, 50.0]])  # probabilities of 1 in float32
    scores = classification_scores(torch.stack([-logit, logit], -1), torch.tensor([[0, 1, 0, 1]]))
    assert scores["roc_auc"] == [0.75]


def test_equal_outputs_are_one_tie() -> None:
    scores = classification_scores(torch.zeros(1, 5, 2), torch.tensor([[0, 1, 0, 1, 1]]))
    assert scores["roc_auc"] == [0.5]
    assert scores["average_precision"] == pytest.approx([0.6])


def test_classes_for_which_a_score_is_not_defined_are_left_out_of_it() -> None:
    outputs, targets = pack(2, 60, 5)  # of five classes the last does not occur
    scores = classification_scores(outputs, targets)
    for k in range(2):
        true, ranked = targets[k].numpy(), outputs[k].log_softmax(-1).numpy()
        areas = [metrics.roc_auc_score(true == c, ranked[:, c]) for c in range(4)]
        assert scores["roc_auc"][k] == pytest.approx(np.mean(areas))
        precisions = [metrics.average_precision_score(true == c, ranked[:, c]) for c in range(4)]
        assert scores["average_precision"][k] == pytest.approx(np.mean(precisions))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("single", [0, 1])
def test_a_score_that_is_not_defined_is_left_out(classes: int, single: int) -> None:
    outputs = torch.randn(2, 8, classes)
    targets = torch.full((2, 8), single)
    scores = classification_scores(outputs, targets)
    assert "roc_auc" not in scores
    assert ("average_precision" in scores) == (classes == 3 or single == 1)
    assert all(np.isfinite(values).all() for values in scores.values())
    targets[1, :4] = 1 - single  # defined for one member alone, which cannot be told of a pack
    assert "roc_auc" not in classification_scores(outputs, targets)


def test_rows_that_weigh_nothing_do_not_count() -> None:
    outputs, targets = pack(3, 100, 4)
    kept = torch.arange(100) < 60
    weighted = classification_scores(outputs, targets, kept.float())
    without = classification_scores(outputs[:, kept], targets[:, kept])
    for name, values in without.items():
        np.testing.assert_allclose(weighted[name], values, rtol=1e-12)


def test_outputs_that_blew_up_are_scored_without_a_warning() -> None:
    for value in (float("nan"), float("inf")):
        for classes in (2, 3):
            classification_scores(torch.full((1, 6, classes), value), torch.tensor([[0, 1, 1, 0, 1, 0]]))
        regression_scores(torch.full((1, 4, 1), value), torch.randn(1, 4), scaled(1.0, 10.0))


@pytest.mark.parametrize("classes", [2, 3])
def test_half_precision_is_scored(classes: int) -> None:
    outputs, targets = pack(1, 100, classes + 1)
    outputs = outputs[..., :classes]
    half = classification_scores(outputs.bfloat16(), targets)
    single = classification_scores(outputs.bfloat16().float(), targets)
    assert half == single


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
    assert {v[0] for v in classification_scores(right.roll(1, -1), targets, ranked=False).values()} == {0.0}


@pytest.mark.parametrize("weighting", ["none", "of each row", "of each member"])
@pytest.mark.parametrize("members", [1, 4])
@pytest.mark.parametrize(("mean", "std"), [(20.0, 1.0), (1e4, 50.0)])
def test_number_scores_are_scikit_learns_in_the_targets_unit(
    members: int, mean: float, std: float, weighting: str
) -> None:
    targets = torch.randn(members, 200)
    outputs = (targets + 0.3 * torch.randn(members, 200) + 0.1)[..., None]
    weights = weights_of(weighting, members, 200)
    scores = regression_scores(outputs, targets, scaled(std, mean), weights)
    assert list(scores) == ["rmse", "mae", "r2", "msle"]
    for k in range(members):
        true, predicted = mean + std * targets[k].double().numpy(), mean + std * outputs[k, :, 0].double().numpy()
        w = {"sample_weight": row_weights(weights, k)}
        assert scores["rmse"][k] == pytest.approx(metrics.root_mean_squared_error(true, predicted, **w), rel=1e-5)
        assert scores["mae"][k] == pytest.approx(metrics.mean_absolute_error(true, predicted, **w), rel=1e-5)
        assert scores["r2"][k] == pytest.approx(metrics.r2_score(true, predicted, **w), rel=1e-5)
        assert scores["msle"][k] == pytest.approx(metrics.mean_squared_log_error(true, predicted, **w), rel=1e-5)
    assert all(values.shape == (members,) for values in scores.values())


@pytest.mark.parametrize("name", ["log", "quantile"])
def test_scores_of_a_transformed_target_are_in_its_own_unit(name: str) -> None:
    own_unit = np.random.default_rng(0).lognormal(10, 1, (2, 100))
    transform, _ = fit_transform(name, own_unit[0], 0.0)
    assert transform is not None
    meta = Meta.model_construct(target_std=0.7, target_mean=2.0, target_transform=transform)
    targets = torch.from_numpy((transform.forward(own_unit) - 2.0) / 0.7)
    outputs = (targets + 0.3 * torch.randn(2, 100))[..., None]
    scores = regression_scores(outputs, targets, meta)
    predicted = transform.inverse(outputs[..., 0].numpy() * 0.7 + 2.0)
    for k in range(2):
        known = own_unit[k].clip(own_unit[0].min(), own_unit[0].max()) if name == "quantile" else own_unit[k]
        true = transform.inverse(transform.forward(known))
        assert scores["rmse"][k] == pytest.approx(metrics.root_mean_squared_error(true, predicted[k]))
        assert scores["mae"][k] == pytest.approx(metrics.mean_absolute_error(true, predicted[k]))
        assert scores["r2"][k] == pytest.approx(metrics.r2_score(true, predicted[k]))
        assert scores["msle"][k] == pytest.approx(metrics.mean_squared_log_error(true, predicted[k]))
    assert (scores["rmse"] > 1000).all()


def test_msle_takes_a_negative_prediction_for_zero_and_is_left_out_for_negative_targets() -> None:
    mean, std = 1000.0, 500.0
    own_unit = torch.tensor([0.0, 500.0, 2500.0], dtype=torch.float64)
    targets = ((own_unit - mean) / std).float()[None]
    outputs = targets[..., None].clone()
    outputs[0, 0] -= 3.0  # a prediction of -1500 for a target of 0
    assert regression_scores(outputs, targets, scaled(std, mean))["msle"] == pytest.approx([0.0])
    assert "msle" not in regression_scores(outputs, targets, scaled(std, mean - 1.0))


@pytest.mark.parametrize("seed", range(5))
def test_rounding_of_the_standardized_target_makes_no_target_negative(seed: int) -> None:
    random = np.random.default_rng(seed)
    own_unit = np.append(random.gamma(2.0, 1e5 * random.random(), 50), 0.0)
    mean, std = own_unit.mean(), own_unit.std()
    targets = torch.from_numpy(((own_unit - mean) / std).astype(np.float32))[None]
    assert "msle" in regression_scores(targets[..., None], targets, scaled(std, mean))


@pytest.mark.parametrize("value", [0.25, 0.1])
@pytest.mark.parametrize("weighting", ["none", "of each row"])
@pytest.mark.parametrize("error", [0.0, 0.5])
def test_r2_of_a_constant_target_is_scikit_learns(error: float, weighting: str, value: float) -> None:
    targets = torch.full((1, 6), value)
    scores = regression_scores((targets + error)[..., None], targets, scaled(2.0, 0.0), weights_of(weighting, 1, 6))
    expected = metrics.r2_score(targets[0].numpy(), (targets[0] + error).numpy())
    assert scores["r2"][0] == expected
    assert np.isfinite(scores["r2"]).all()  # or the loop would take it for a training that blew up


def test_every_metric_that_can_be_monitored_has_its_direction() -> None:
    monitors = TrainConfig.model_fields["monitor"].annotation.__args__  # type: ignore[union-attr]
    higher = {monitor for monitor in monitors if is_higher_better(monitor)}
    errors = {"val/loss", "val/rmse", "val/mae", "val/msle"}
    assert set(monitors) - higher == errors
    numbers = regression_scores(torch.ones(1, 4, 1), torch.ones(1, 4), scaled(1.0, 1.0))
    scores = {*classification_scores(*pack(1, 50, 3)), *numbers}
    assert set(monitors) == {"val/loss", *(f"val/{name}" for name in scores)}


# With the loss


def scores_of(task: str, members: int, classes: int = 0, **changes: Any) -> Callable[..., dict[str, np.ndarray]]:
    numbers = task == "regression"
    meta = Meta.model_construct(
        name="x",
        task=task,
        class_names=tuple("abcd"[:classes]),
        target_mean=10.0 if numbers else None,
        target_std=4.0 if numbers else None,
    )
    return partial(
        scores, meta, MeanLoss([LossConfig.model_validate(VALUES | changes)] * members, meta, torch.device("cpu"))
    )


def rows_of(kind: str) -> tuple[Callable[..., dict[str, np.ndarray]], Tensor, Tensor]:
    """Outputs and targets of three members."""
    if kind == "regression":
        return scores_of("regression", 3), torch.randn(3, 30, 1), torch.randn(3, 30).clamp(min=-2)
    if kind == "one logit":
        bce = scores_of("classification", 3, 2, name="bce")
        return bce, torch.randn(3, 30, 1), torch.arange(30).expand(3, 30) % 2
    return scores_of("classification", 3, 4), torch.randn(3, 30, 4), torch.arange(30).expand(3, 30) % 4


@pytest.mark.parametrize("weighs", [False, True])
@pytest.mark.parametrize("kind", ["regression", "classes", "one logit"])
def test_scores_are_scikit_learns_for_each_member(kind: str, weighs: bool) -> None:
    scored, outputs, targets = rows_of(kind)
    weights = torch.rand(3, 30) if weighs else None
    found = scored(outputs, targets, weights, ranked=True)
    assert next(iter(found)) == "loss"
    assert all(values.shape == (3,) for values in found.values())
    for k in range(3):
        row, true = outputs[k], targets[k]
        own = np.ones(30) if weights is None else weights[k].double().numpy()
        if kind == "regression":
            predicted, true = row[:, 0].double() * 4 + 10, true.double() * 4 + 10
            expected = {
                "loss": metrics.mean_squared_error(targets[k], row[:, 0], sample_weight=own),
                "rmse": metrics.root_mean_squared_error(true, predicted, sample_weight=own),
                "mae": metrics.mean_absolute_error(true, predicted, sample_weight=own),
                "r2": metrics.r2_score(true, predicted, sample_weight=own),
                "msle": metrics.mean_squared_log_error(true, predicted.clamp_min(0), sample_weight=own),
            }
        else:
            logits = torch.cat([torch.zeros(30, 1), row], 1) if kind == "one logit" else row
            shares = logits.double().softmax(1).numpy()
            losses = nn.functional.cross_entropy(logits, true, reduction="none").numpy()
            ranking = shares[:, 1] if kind == "one logit" else shares
            expected = {
                "loss": np.average(losses, weights=own),
                "accuracy": metrics.accuracy_score(true, logits.argmax(1), sample_weight=own),
                "macro_f1": metrics.f1_score(true, logits.argmax(1), average="macro", sample_weight=own),
            }
            if kind == "one logit" or not weighs:  # scikit-learn takes no weights of rows for several classes
                expected["roc_auc"] = metrics.roc_auc_score(true, ranking, multi_class="ovr", sample_weight=own)
        assert {name: found[name][k] for name in expected} == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_rows_are_sorted_where_it_is_asked_for() -> None:
    scored, outputs, targets = rows_of("classes")
    plain, ranked = (scored(outputs, targets, None, ranked=each) for each in (False, True))
    assert set(ranked) - set(plain) == {"roc_auc", "average_precision"}
    assert all(np.array_equal(values, ranked[name]) for name, values in plain.items())


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", ["regression", "classes", "one logit"])
def test_outputs_that_are_no_numbers_cost_no_other_member(kind: str, bad: float) -> None:
    scored, outputs, targets = rows_of(kind)
    sound = scored(outputs, targets, None, ranked=True)
    outputs[1] = bad
    found = scored(outputs, targets, None, ranked=True)
    assert not np.isfinite(found["loss"][1])
    for name, values in sound.items():
        np.testing.assert_array_equal(found[name][[0, 2]], values[[0, 2]])
