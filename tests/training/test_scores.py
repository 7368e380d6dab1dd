from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import Tensor
from torch.nn import functional

from wellfit.data.store import Meta
from wellfit.training.loss import Loss, LossConfig
from wellfit.training.scores import Scores

VALUES = {"name": "auto", "label_smoothing": 0.0, "class_weights": "none", "focal_gamma": 2.0, "delta": 1.0}
CPU = torch.device("cpu")


def scores_of(task: str, members: int, classes: int = 0, **changes: Any) -> Scores:
    numbers = task == "regression"
    meta = Meta.model_construct(
        name="x",
        task=task,
        class_names=tuple("abcd"[:classes]),
        target_mean=10.0 if numbers else None,
        target_std=4.0 if numbers else None,
    )
    return Scores(meta, Loss([LossConfig.model_validate(VALUES | changes)] * members, meta, CPU))


def rows_of(kind: str) -> tuple[Scores, Tensor, Tensor]:
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
    scores, outputs, targets = rows_of(kind)
    weights = torch.rand(3, 30) if weighs else None
    found = scores(outputs, targets, weights, ranked=True)
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
            losses = functional.cross_entropy(logits, true, reduction="none").numpy()
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
    scores, outputs, targets = rows_of("classes")
    plain, ranked = (scores(outputs, targets, None, ranked=each) for each in (False, True))
    assert set(ranked) - set(plain) == {"roc_auc", "average_precision"}
    assert all(np.array_equal(values, ranked[name]) for name, values in plain.items())


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", ["regression", "classes", "one logit"])
def test_outputs_that_are_no_numbers_cost_no_other_member(kind: str, bad: float) -> None:
    scores, outputs, targets = rows_of(kind)
    sound = scores(outputs, targets, None, ranked=True)
    outputs[1] = bad
    found = scores(outputs, targets, None, ranked=True)
    assert not np.isfinite(found["loss"][1])
    for name, values in sound.items():
        np.testing.assert_array_equal(found[name][[0, 2]], values[[0, 2]])
