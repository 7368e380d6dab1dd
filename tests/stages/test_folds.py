"""A cross-validation from the split to what is delivered."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import log_loss, mean_squared_error

from wellfit.data.fetch import fetch
from wellfit.data.prepare import prepare
from wellfit.data.store import load_folds, load_meta, load_split
from wellfit.serving.model import TrainedModel, load_model
from wellfit.settings.params import Params, load_params
from wellfit.stages.train import train
from wellfit.stages.tune import tune
from wellfit.training.checkpoint import Checkpoint, load_checkpoint, load_checkpoints
from wellfit.training.setup import TrainingData, begin, load_training_data

from ..conftest import PLAIN

PARAMS_FILE = Path(__file__).parents[2] / "params.yaml"
BASE = [
    "data.folds=3",
    "data.n_samples=120",
    "train.epochs=3",
    "model.hidden=[8]",
    "train.threads=1",
    "schedule.warmup_epochs=0",
]
BASE += ["train.ensemble=6", "tune.n_trials=3", "tune.leaders=1", "tune.repeats=1", "tune.pruner=none"]
BASE += ["track.layers=false"]

pytestmark = pytest.mark.usefixtures("publisher_here")


@pytest.fixture(scope="module")
def in_folds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Processed moons and diabetes in three folds."""
    folder = tmp_path_factory.mktemp("folds")
    for name in ("moons", "diabetes"):
        params = load_params(PARAMS_FILE, [*PLAIN, *BASE, f"data.name={name}"])
        fetch(params.data, params.fetch, folder / "raw")
        prepare(params.data, folder / "raw", folder / "processed")
    return folder / "processed"


def run_train(project: Path, data: Path, *changes: str) -> Params:
    params = load_params(PARAMS_FILE, [*PLAIN, *BASE, *changes])
    train(params, data / params.data.name, project / "reports/tune", project / "models", project / "reports/train")
    return params


def table_of(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text().splitlines()))


def without(rows: np.ndarray, params: Params, data: TrainingData) -> Checkpoint:
    """A model of the same configuration, trained where nothing of some rows of the pool is to be known."""
    assert data.folds is not None
    x = data.folds.pool.x.clone()
    x[rows] = 1e5
    spoilt = data._replace(folds=data.folds._replace(pool=data.folds.pool._replace(x=x)))
    training, weights = begin([params], spoilt, packed=False), {}
    for _ in training.epochs:
        weights = training.learner.weights(0)
    return Checkpoint(weights, {"config": params.model_dump(mode="json")})


@pytest.mark.parametrize("budget", [10**9, 100])
def test_predictions_are_of_models_that_have_not_seen_the_row(
    project: Path, in_folds: Path, monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    """Of one epoch: its weights are the best ones, whatever the rows that validate it are."""
    for module in ("training.setup", "stages.ensemble"):
        monkeypatch.setattr(f"wellfit.{module}.memory_budget", lambda *_: budget)
    params = run_train(project, in_folds, "data.name=moons", "tune.enabled=false", "train.epochs=1")
    folder = in_folds / "moons"
    data, meta = load_training_data(params, folder), load_meta(folder)
    assert data.folds is not None
    assert (data.train.stream is None) == (budget == 10**9)
    found = table_of(project / "reports/train/validation.csv")
    assert [row["fold"] for row in found] == ["0"] * 32 + ["1"] * 32 + ["2"] * 32
    for fold, rows in enumerate(load_folds(folder, meta, 10**9)):
        own = [row for row in found if row["fold"] == str(fold)]
        assert [int(row["id"]) for row in own] == rows.ids.tolist()
        assert [row["actual"] for row in own] == [meta.class_names[k] for k in rows.y]
        model = without(data.folds.validation(fold).numpy(), params.replace({"train.fold": fold}), data)
        expected = TrainedModel([model], meta).predict(rows.x)
        chances = [[float(row[f"p_{name}"]) for name in meta.class_names] for row in own]
        np.testing.assert_allclose(chances, expected, atol=2e-4)


@pytest.mark.parametrize("name", ["moons", "diabetes"])
def test_candidates_are_judged_by_rows_they_have_not_seen_and_predict_as_the_mean_of_their_folds(
    project: Path, in_folds: Path, name: str
) -> None:
    folder, models = in_folds / name, project / "models"
    params = load_params(PARAMS_FILE, [*PLAIN, *BASE, f"data.name={name}"])
    tune(params, folder, project / "reports/tune", models)
    run_train(project, in_folds, f"data.name={name}", "train.seeds=2")
    meta = load_meta(folder)
    delivered, members = load_model(models, meta), load_checkpoints(models / "ensemble.safetensors")
    assert sum(delivered.sources.values()) == pytest.approx(1)
    assert [each.info["config"]["train"]["fold"] for each in members] == [0, 1, 2] * len(delivered.sources)
    for source, share in delivered.sources.items():
        shares = [each.info["share"] for each in members if each.info["source"] == source]
        assert shares == pytest.approx([share / 3] * 3)
    test = load_split(folder, meta, "test")
    mean = sum(each.info["share"] * TrainedModel([each], meta).predict(test.x) for each in members)
    np.testing.assert_allclose(delivered.model.predict(test.x), mean, rtol=1e-5)

    # What is written is what the ensemble was judged by.
    metrics = json.loads((project / "reports/train/metrics.json").read_text())
    rows = table_of(project / "reports/train/validation.csv")
    assert len(rows) == sum(meta.split_sizes[split] for split in ("train", "val"))
    if name == "moons":
        actual = [meta.class_names.index(row["actual"]) for row in rows]
        loss = log_loss(actual, [[float(row[f"p_{each}"]) for each in meta.class_names] for row in rows])
    else:
        error = mean_squared_error([float(row["actual"]) for row in rows], [float(row["predicted"]) for row in rows])
        loss = error / meta.target_std**2
    others = metrics["ensemble/best_cross_fitted"], metrics["ensemble/final_val_loss"]
    is_kept = metrics["ensemble/cross_fitted"] < max(others)
    assert loss == pytest.approx(metrics["ensemble/val_loss" if is_kept else "ensemble/final_val_loss"], rel=1e-4)
    final = [each for each in members if each.info["source"] == "the final model"]
    if final and params.train.fold == 0:
        single = load_checkpoint(models / "best.safetensors").weights
        assert all((single[key] == value).all() for key, value in final[0].weights.items())


def test_without_an_ensemble_the_models_of_the_folds_are_delivered(project: Path, in_folds: Path) -> None:
    changes = ["data.name=diabetes", "tune.enabled=false", "train.ensemble=0", "train.fold=1"]
    run_train(project, in_folds, *changes)
    meta = load_meta(in_folds / "diabetes")
    assert load_model(project / "models", meta).sources == {"the final model": pytest.approx(1)}
    members = load_checkpoints(project / "models/ensemble.safetensors")
    assert [each.info["config"]["train"]["fold"] for each in members] == [0, 1, 2]
    shown = load_checkpoint(project / "models/best.safetensors")
    assert shown.info["config"]["train"]["fold"] == 1
    assert all((members[1].weights[name] == value).all() for name, value in shown.weights.items())


def test_without_folds_the_validation_rows_are_predicted_by_what_is_delivered(project: Path, prepared: Path) -> None:
    run_train(project, prepared, "data.folds=null", "data.name=diabetes", "tune.enabled=false", "train.seeds=3")
    meta = load_meta(prepared / "diabetes")
    val = load_split(prepared / "diabetes", meta, "val")
    rows = table_of(project / "reports/train/validation.csv")
    assert list(rows[0]) == ["id", "fold", "actual", "predicted"]
    assert {row["fold"] for row in rows} == {"0"}
    assert [int(row["id"]) for row in rows] == val.ids.tolist()
    expected = load_model(project / "models", meta).model.predict(val.x)
    np.testing.assert_allclose([float(row["predicted"]) for row in rows], expected, rtol=1e-5)
