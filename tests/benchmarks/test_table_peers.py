import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

Load = Callable[[str], ModuleType]
LOCKED = ("hgb", "hgb_stopped", "forest", "linear")


def rows(n: int, seed: int, task: str, letters: str) -> tuple[pd.DataFrame, Any]:
    random = np.random.default_rng(seed)
    number, letter = random.normal(size=n), random.choice(list(letters), n)
    y = (number > 0) + 0.1 * random.normal(size=n)
    number[:3] = np.nan
    x = pd.DataFrame({"number": number, "letter": pd.Categorical(letter, categories=list("abcd"))})
    return x, (y > 0.5).astype(np.int64) if task == "classification" else y


@pytest.mark.parametrize("name", LOCKED)
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_peer_predicts_rows_with_gaps_and_with_categories_that_training_had_not(
    load: Load, tmp_path: Path, name: str, task: str
) -> None:
    peers = load("table_peers")
    splits = {"train": rows(80, 0, task, "abc"), "val": rows(40, 1, task, "abc"), "test": rows(20, 2, task, "abcd")}
    peers.save_rows(splits, tmp_path)
    peers.main(name, tmp_path, 0)
    prediction = np.load(tmp_path / "prediction.npy")
    said = json.loads((tmp_path / "peer.json").read_text())
    target = splits["test"][1]
    if task == "classification":
        np.testing.assert_allclose(prediction.sum(1), 1)
        assert (prediction.argmax(1) == target)[3:].mean() > 0.8
    else:
        assert np.abs(prediction[3:, 0] - target[3:]).mean() < 0.35
    assert prediction.shape == (20, 2 if task == "classification" else 1)
    assert said["seconds"] > 0


def test_the_reference_is_one_line_of_scikit_learn(load: Load, tmp_path: Path) -> None:
    peers = load("table_peers")
    splits = {name: rows(60, seed, "classification", "abc") for seed, name in enumerate(peers.SPLITS)}
    peers.save_rows(splits, tmp_path)
    peers.main("hgb", tmp_path, 0)
    model = HistGradientBoostingClassifier(random_state=0).fit(*splits["train"])
    np.testing.assert_array_equal(np.load(tmp_path / "prediction.npy"), model.predict_proba(splits["test"][0]))


def test_validation_rows_decide_how_many_trees_are_taken(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    peers = load("table_peers")
    monkeypatch.setattr(peers, "MOST_TREES", 40)
    train = rows(100, 0, "regression", "abc")
    noise = np.random.default_rng(1).normal(size=100)
    alike, unlike = (peers.boosting_stopped(train, val, False, 0) for val in (train, (train[0], noise)))
    assert alike.n_iter_ == 40
    assert unlike.n_iter_ < 40


def test_the_linear_peer_has_a_column_for_each_category_and_one_that_flags_gaps(load: Load) -> None:
    train = rows(60, 0, "regression", "abc")
    model = load("table_peers").linear(train, train, False, 0)
    assert model[-1].n_features_in_ == 3 + 1 + 1
