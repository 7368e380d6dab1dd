"""From a study and a final model to the ensemble that is delivered."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from wellfit.data.store import load_meta, load_split
from wellfit.errors import WellfitError
from wellfit.serving.ensemble import Selection
from wellfit.serving.model import TrainedModel, load_model
from wellfit.settings.params import Params, load_params
from wellfit.stages.train import train
from wellfit.stages.tune import tune
from wellfit.training.checkpoint import load_checkpoints, save_checkpoints

from ..conftest import PLAIN

PARAMS_FILE = Path(__file__).parents[2] / "params.yaml"
BASE = ["data.name=diabetes", "train.epochs=4", "model.hidden=[8]", "train.threads=1", "train.ensemble=6"]
BASE += ["tune.n_trials=4", "tune.pack=4", "tune.leaders=2", "tune.repeats=2", "tune.pruner=none"]

pytestmark = pytest.mark.usefixtures("publisher_here")


def run_train(project: Path, prepared: Path, *changes: str) -> Params:
    params = load_params(PARAMS_FILE, [*PLAIN, *BASE, *changes])
    data = prepared / params.data.name
    train(params, data, project / "reports/tune", project / "models", project / "reports/train")
    return params


def test_trials_repeats_and_the_final_model_are_candidates(
    project: Path, prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = load_params(PARAMS_FILE, [*PLAIN, *BASE])
    data, models = prepared / params.data.name, project / "models"
    tune(params, data, project / "reports/tune", models)
    candidates = load_checkpoints(models / "candidates.safetensors")
    repeats = list(csv.DictReader((project / "reports/tune/repeats.csv").read_text().splitlines()))
    expected = {f"trial {number}" for number in range(4)}
    expected |= {f"trial {row['trial']} with seed {row['seed']}" for row in repeats}
    assert {each.info["source"] for each in candidates} == expected
    assert len(repeats) == 4
    losses = [each.info["metrics"]["val/loss"] for each in candidates]
    assert losses == sorted(losses)

    run_train(project, prepared)
    metrics = json.loads((project / "reports/train/metrics.json").read_text())
    table = list(csv.DictReader((project / "reports/train/ensemble.csv").read_text().splitlines()))
    assert sum(float(row["share"]) for row in table) == pytest.approx(1)
    assert len(table) == metrics["ensemble/models"]
    alone = sum(float(row["share"]) * float(row["val_loss"]) for row in table)
    assert metrics["ensemble/val_loss"] <= alone  # a squared error is convex
    meta = load_meta(data)
    val = load_split(data, meta, "val")
    delivered = load_model(models, meta)
    others = metrics["ensemble/best_cross_fitted"], metrics["ensemble/final_val_loss"]
    assert (delivered.ensemble is not None) == (metrics["ensemble/cross_fitted"] < max(others))
    members = {f"{each.info['source']}": TrainedModel([each], meta).predict(val.x) for each in candidates}
    members["the final model"] = delivered.single.predict(val.x)
    mean = sum(float(row["share"]) * members[row["model"]] for row in table)
    assert float(np.mean((mean - val.y) ** 2)) / meta.target_std**2 == pytest.approx(metrics["ensemble/val_loss"])
    assert metrics["ensemble/final_val_loss"] == pytest.approx(metrics["val/loss"])
    if delivered.ensemble is not None:
        np.testing.assert_allclose(delivered.model.predict(val.x), mean, rtol=1e-5)
    assert f"from {len(candidates)} models: validation loss" in capsys.readouterr().out

    # Of data that are no longer these.
    old = [each._replace(info=each.info | {"data_sha256": "old"}) for each in candidates]
    save_checkpoints(models / "candidates.safetensors", old)
    with pytest.raises(WellfitError, match=r"train\.ensemble: trial \d.* was trained on other data"):
        run_train(project, prepared)


def test_what_the_study_left_is_read_before_the_training(
    project: Path, prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = load_params(PARAMS_FILE, [*PLAIN, *BASE])
    file = project / "models" / "candidates.safetensors"
    tune(params, prepared / "diabetes", project / "reports/tune", project / "models")
    file.write_bytes(file.read_bytes()[:-100])
    capsys.readouterr()
    with pytest.raises(WellfitError, match=r"candidates\.safetensors is damaged"):
        run_train(project, prepared)
    assert "epoch" not in capsys.readouterr().out
    file.unlink()
    with pytest.raises(WellfitError, match=r"candidates\.safetensors not found"):
        run_train(project, prepared)
    assert not (project / "models" / "best.safetensors").exists()
    run_train(project, prepared, "train.ensemble=0")  # which needs none


@pytest.mark.parametrize(
    ("final", "single", "cross_fitted", "is_kept"),
    [
        (0.5, 0.5, 0.4, True),
        (0.5, 0.5, 0.6, False),
        (0.9, 0.5, 0.6, True),
        (0.9, 0.5, 0.5, True),
        (0.5, 0.5, 0.5, False),
    ],
)
def test_a_mean_that_is_better_only_on_the_rows_that_selected_it_is_not_delivered(
    project: Path,
    prepared: Path,
    monkeypatch: pytest.MonkeyPatch,
    final: float,
    single: float,
    cross_fitted: float,
    is_kept: bool,
) -> None:
    found = Selection(np.array([0.5, 0.5]), np.array([final, 0.7]), 0.3, cross_fitted, single)
    monkeypatch.setattr("wellfit.stages.ensemble.select_ensemble", lambda *_: found)
    run_train(project, prepared, "tune.enabled=false", "train.seeds=2")
    delivered = load_model(project / "models", load_meta(prepared / "diabetes"))
    assert (delivered.ensemble is not None) == is_kept


def test_no_model_is_a_candidate_twice(project: Path, prepared: Path) -> None:
    params = load_params(PARAMS_FILE, [*PLAIN, *BASE])
    tune(params, prepared / params.data.name, project / "reports/tune", project / "models")
    run_train(project, prepared, "train.ensemble=99", "train.seeds=3")
    table = list(csv.DictReader((project / "reports/train/ensemble.csv").read_text().splitlines()))
    assert len({row["val_loss"] for row in table}) == len(table)
    final = [row["model"] for row in table if row["model"].startswith("the final model with")]
    assert set(final) <= {"the final model with seed 3", "the final model with seed 4"}, "0 to 2 are of the study"


def test_without_a_study_there_are_other_seeds(project: Path, prepared: Path) -> None:
    run_train(project, prepared, "tune.enabled=false")
    assert load_model(project / "models", load_meta(prepared / "diabetes")).ensemble is None
    assert (project / "reports/train/ensemble.csv").read_text() == "model,share,val_loss\n"
    run_train(project, prepared, "tune.enabled=false", "train.seeds=4")
    table = list(csv.DictReader((project / "reports/train/ensemble.csv").read_text().splitlines()))
    names = {"the final model", *(f"the final model with seed {seed}" for seed in (1, 2, 3))}
    assert {row["model"] for row in table} <= names
    assert len(table) > 1
