from typing import Any

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyClassifier
from sklearn.metrics import log_loss

from wellfit.settings.params import load_params
from wellfit.training.constant import constant_loss
from wellfit.training.tensors import Tensors

from ..conftest import PARAMS_FILE
from .conftest import describe, rows_of

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("weights", [None, RANDOM.uniform(0, 2, 40).astype(np.float32)])
@pytest.mark.parametrize("class_weights", ["none", "balanced", [1.0, 2.0, 0.5]])
def test_the_shares_of_the_classes_are_scikit_learns(class_weights: Any, weights: np.ndarray | None) -> None:
    splits: Any = {name: rows_of("table", n, RANDOM) for name, n in (("train", 31), ("val", 40), ("test", 9))}
    meta = describe("table", splits, {})
    config = load_params(PARAMS_FILE, ["data.name=wine"]).loss.model_copy(update={"class_weights": class_weights})
    y, counts = splits["val"].y, np.array(meta.class_counts)
    of_classes = {"none": np.ones(3), "balanced": counts.sum() / (3 * counts)}.get(str(class_weights), class_weights)
    of_rows = np.asarray(of_classes)[y] * (1 if weights is None else weights)
    shares = DummyClassifier(strategy="prior").fit(
        splits["train"].x, splits["train"].y, np.asarray(of_classes)[splits["train"].y]
    )
    expected = log_loss(y, shares.predict_proba(splits["val"].x), sample_weight=of_rows)
    rows = Tensors(torch.zeros(40, 4), torch.tensor(y), None if weights is None else torch.tensor(weights))
    assert constant_loss(config, meta, rows) == pytest.approx(expected, rel=1e-5)


def test_two_classes_with_one_output() -> None:
    splits: Any = {name: rows_of("table", n, RANDOM) for name, n in (("train", 31), ("val", 40), ("test", 9))}
    meta = describe("table", splits, {}).model_copy(update={"class_names": ("p", "q"), "class_counts": (24, 6)})
    config = load_params(PARAMS_FILE, ["data.name=breast_cancer"]).loss.model_copy(update={"name": "bce"})
    y = torch.tensor([0, 0, 1])
    found = constant_loss(config, meta, Tensors(torch.zeros(3, 4), y, None))
    assert found == pytest.approx(-(2 * np.log(0.8) + np.log(0.2)) / 3, rel=1e-6)


def test_the_mean_of_numbers() -> None:
    splits: Any = {name: rows_of("regression", n, RANDOM) for name, n in (("train", 31), ("val", 40), ("test", 9))}
    config = load_params(PARAMS_FILE, ["data.name=diabetes"]).loss
    y = torch.tensor([0.5, -2.0])
    assert constant_loss(config, describe("regression", splits, {}), Tensors(torch.zeros(2, 4), y, None)) == 2.125
