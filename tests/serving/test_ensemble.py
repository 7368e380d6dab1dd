"""Which models are averaged, and what the mean predicts."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.metrics import log_loss, mean_squared_error

from wellfit.data.meta import Meta
from wellfit.data.store import load_meta, load_split
from wellfit.errors import WellfitError
from wellfit.models import build_model
from wellfit.models.inputs import Inputs
from wellfit.serving.ensemble import fit_of_rows, select, select_ensemble
from wellfit.serving.model import TrainedModel, load_model
from wellfit.settings.params import Params
from wellfit.training.checkpoint import Checkpoint, save_checkpoint, save_checkpoints
from wellfit.training.record import resolved_config

Make = Callable[..., Params]
Processed = Callable[..., Path]


def untrained(params: Params, meta: Meta, width: int, source: str, **info: Any) -> Checkpoint:
    torch.manual_seed(params.train.seed)
    inputs = Inputs(meta, params.model.numeric, torch.device("cpu"))
    network = build_model(params.model, inputs.shape, width, inputs.columns)
    said = {"config": resolved_config(params), "data_sha256": meta.sha256, "epoch": 1, "metrics": {}, "source": source}
    return Checkpoint(network.state_dict(), said | info)


def predictions(models: int, rows: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    y = random.integers(classes, size=rows)
    logits = random.normal(size=(models, rows, classes)) + 2 * np.eye(classes)[y]
    return softmax(logits, axis=2), y


def best_of_all(losses: Callable[[np.ndarray], float], models: int, size: int) -> float:
    """The lowest loss of any mean of so many models at most, by trying all."""
    picks = itertools.chain.from_iterable(
        itertools.combinations_with_replacement(range(models), n) for n in range(1, size + 1)
    )
    return min(losses(np.bincount(pick, minlength=models) / len(pick)) for pick in picks)


def test_the_loss_is_scikit_learns_and_close_to_the_best_of_all_means() -> None:
    probabilities, y = predictions(5, 60, 3)
    fits = probabilities[:, np.arange(60), y]
    found = select(fits, None, 4, "classification")
    mean = np.tensordot(found.shares, probabilities, 1)
    assert found.loss == pytest.approx(log_loss(y, mean))
    assert found.losses.tolist() == pytest.approx([log_loss(y, each) for each in probabilities])
    assert found.shares.sum() == pytest.approx(1)
    best = best_of_all(lambda shares: log_loss(y, np.tensordot(shares, probabilities, 1)), 5, 4)
    assert best <= found.loss <= best + 0.01
    assert found.loss < found.losses.min()


def test_numbers_are_selected_by_their_squared_error_with_weights() -> None:
    random = np.random.default_rng(1)
    y, weights = random.normal(size=50), random.integers(0, 3, 50).astype(np.float32)
    predicted = y + random.normal(size=(6, 50)) + random.normal(size=(6, 1))
    found = select(predicted - y, weights, 8, "regression")
    mean = found.shares @ predicted
    assert found.loss == pytest.approx(mean_squared_error(y, mean, sample_weight=weights))
    ignored = predicted.copy()
    ignored[:, weights == 0] += 1000
    assert select(ignored - y, weights, 8, "regression").shares.tolist() == found.shares.tolist()


def test_a_model_may_count_several_times_and_a_bad_one_does_not() -> None:
    y = np.zeros(40)
    predicted = np.stack([np.full(40, 1.0), np.full(40, -2.0), np.full(40, 50.0)])
    found = select(predicted - y, None, 3, "regression")
    assert found.shares.tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert found.loss == pytest.approx(0)
    assert select(predicted - y, None, 1, "regression").shares.tolist() == [1, 0, 0]


def test_the_best_mean_on_the_way_is_kept_and_not_the_last() -> None:
    found = select(np.array([np.full(40, 1.0), np.full(40, -1.0)]), None, 3, "regression")
    assert found.shares.tolist() == [0.5, 0.5]  # a third model could only move it away from zero
    assert found.loss == 0


def test_of_many_candidates_the_mean_over_quarters_of_them_counts() -> None:
    # All are equally good and independent.
    fits = np.random.default_rng(3).normal(size=(60, 40))
    found, few = select(fits, None, 60, "regression"), select(fits, None, 5, "regression")
    assert found.shares.sum() == pytest.approx(1)
    assert select(fits, None, 60, "regression").shares.tolist() == found.shares.tolist()
    assert (found.shares > 0).sum() > 5
    assert (few.shares > 0).sum() == 5
    assert few.shares.sum() == pytest.approx(1)
    # A model that all selections would take counts in the quarters that have it, and the mean is then no gain.
    fits = np.concatenate([np.full((1, 40), 0.1), np.full((59, 40), 1.0)])
    found = select(fits, None, 60, "regression")
    assert 20 * found.shares[0] == pytest.approx(round(20 * found.shares[0]))
    assert 0 < found.shares[0] < 0.5
    assert found.best_cross_fitted < found.cross_fitted


def test_what_the_selection_gained_by_luck_is_not_in_the_cross_fitted_loss() -> None:
    gained, cross_fitted = [], []
    for seed in range(100, 220):
        fits = np.random.default_rng(seed).normal(size=(60, 50))  # all alike: only luck can choose
        mean = select(fits, None, 1, "regression")
        gained.append(1 - mean.loss)
        cross_fitted.append(1 - mean.cross_fitted)
    assert np.mean(gained) > 0.25
    assert np.mean(cross_fitted) == pytest.approx(0, abs=0.08)


def test_the_fit_of_rows(make_params: Make, processed: Processed) -> None:
    for kind, width in (("table", 3), ("regression", 1)):
        data = processed(kind)
        meta = load_meta(data)
        rows = load_split(data, meta, "val")
        model = TrainedModel([untrained(make_params(kind), meta, width, "trial 0")], meta)
        predicted, found = model.predict(rows.x), fit_of_rows(model, rows, meta)
        if width == 3:
            assert found.tolist() == [p[c] for p, c in zip(predicted, rows.y, strict=True)]
        else:
            np.testing.assert_allclose(found * meta.target_std, predicted - rows.y, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", ["table", "regression"])
def test_an_ensemble_predicts_the_mean_of_its_models(
    make_params: Make, processed: Processed, tmp_path: Path, kind: str
) -> None:
    data = processed(kind)
    meta, width = load_meta(data), 3 if kind == "table" else 1
    rows = load_split(data, meta, "test").x
    settings = [["train.seed=1"], ["train.seed=2", "model.embedding=ple", "model.numeric=robust"]]
    members = [
        untrained(make_params(kind, *changes), meta, width, f"trial {k}", share=share)
        for k, (changes, share) in enumerate(zip(settings, (0.75, 0.25), strict=True))
    ]
    save_checkpoint(tmp_path / "best.safetensors", *members[1])
    save_checkpoints(tmp_path / "ensemble.safetensors", members)
    delivered = load_model(tmp_path, meta)
    assert delivered.sources == {"trial 0": 0.75, "trial 1": 0.25}
    one, two = (TrainedModel([member], meta).predict(rows) for member in members)
    np.testing.assert_allclose(delivered.model.predict(rows), 0.75 * one + 0.25 * two, rtol=1e-6)
    np.testing.assert_allclose(delivered.single.predict(rows), two)
    save_checkpoints(tmp_path / "ensemble.safetensors", [])
    assert load_model(tmp_path, meta).ensemble is None


def test_models_of_other_data_are_refused(make_params: Make, processed: Processed, tmp_path: Path) -> None:
    data = processed()
    meta = load_meta(data)
    mine, other = (untrained(make_params(), meta, 3, "trial 4", data_sha256=sha) for sha in (meta.sha256, "other"))
    with pytest.raises(WellfitError, match=r"train.ensemble: trial 4 was trained on other data .*dvc repro tune"):
        select_ensemble([[mine], [other]], [load_split(data, meta, "val")], meta, 2)
    save_checkpoint(tmp_path / "best.safetensors", *mine)
    save_checkpoints(tmp_path / "ensemble.safetensors", [Checkpoint(other.weights, other.info | {"share": 1.0})])
    with pytest.raises(WellfitError, match=r"ensemble\.safetensors was trained on other data"):
        load_model(tmp_path, meta)
