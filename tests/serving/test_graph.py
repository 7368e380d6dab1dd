"""The graph computes what the model computes, before it is written in any format."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

import wellfit
from wellfit.data.meta import Meta
from wellfit.data.target import TRANSFORMS
from wellfit.metrics.conformal import Spread
from wellfit.metrics.decision import Decision
from wellfit.serving.graph import INVERSES, PredictionGraph, interpolate
from wellfit.serving.predictor import Predictor

from .own import csv_file, image_folder, leave_model
from .test_predictor import NUMBERS, PICTURES
from .test_rows import frame

PLAIN = ["model.name=linear", "model.numeric=standard", "model.embedding=none", "model.embedding_width=null"]


def inputs_of(model: Predictor, rows: pd.DataFrame) -> list[NDArray[np.generic]]:
    """What the graph takes, of rows as their owner has them."""
    return as_inputs(model.meta, model.encode(rows))


def as_inputs(meta: Meta, stored: NDArray[np.generic]) -> list[NDArray[np.generic]]:
    """What the graph takes, of rows as they are stored."""
    if meta.kind == "images":
        return [stored]
    n_numbers, n_standard = len(meta.quantiles), len(meta.mean)
    numbers = stored[:, :n_numbers].copy()
    flagged = [i for i, column in enumerate(meta.columns) if column.flags_missing]
    for place, flag in zip(flagged, stored[:, n_numbers:n_standard].T, strict=True):
        numbers[flag == 1, place] = np.nan
    codes = stored[:, n_standard:].astype(np.int64)
    return [each for each in (numbers, codes) if each.shape[1]]


def numbers_file(root: Path) -> Path:
    rows = frame()
    rows[rows["age"] != ""].to_csv(root / "own.csv", index=False)
    return root / "own.csv"


def run(model: Predictor, *inputs: NDArray[np.generic]) -> dict[str, NDArray[np.generic]]:
    with torch.no_grad():
        outputs = PredictionGraph(model)(*map(torch.from_numpy, inputs))
    return {name: each.numpy() for name, each in outputs.items()}


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    root = tmp_path_factory.mktemp("classes")
    csv_file(root / "own.csv")
    decision = Decision(coverage=0.9, bound=0.6, temperature=1.5, threshold=0.6)
    return wellfit.load(leave_model(root, *PLAIN, decision=decision)[0])


def test_classes_are_predicted_alike(classes: Predictor) -> None:
    found = run(classes, *inputs_of(classes, frame()))
    np.testing.assert_allclose(found["probabilities"], classes.predict_proba(frame()), atol=1e-12)
    np.testing.assert_array_equal(classes.classes_[found["predicted"]], classes.predict(frame()))
    assert 0 < found["predicted"].mean() < 1
    np.testing.assert_array_equal(found["sets"], classes.predict_set(frame()))
    assert 1 < found["sets"].sum(1).mean() < 2


def test_no_set_is_empty(classes: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classes, "decision", Decision(coverage=0.9, bound=0.3))
    sets = run(classes, *inputs_of(classes, frame()))["sets"]
    np.testing.assert_array_equal(sets, classes.predict_set(frame()))
    assert (classes.predict_proba(frame()).max(1) < 0.7).any()


def test_gaps_are_filled_and_codes_that_no_category_has_are_none(classes: Predictor) -> None:
    rows = frame().iloc[1:9]
    numbers, codes = inputs_of(classes, rows)
    income = [column.name for column in classes.meta.columns].index("income")
    numbers[:, income], codes[:, 0] = np.nan, 99
    expected = classes.predict_proba(rows.assign(income="", member="what"))
    assert abs(expected - classes.predict_proba(rows)).max() > 1e-3
    for code in (99, -1, -5):
        codes[:, 0] = code
        np.testing.assert_allclose(run(classes, numbers, codes)["probabilities"], expected, atol=1e-12)


@pytest.mark.parametrize(
    ("transform", "spread"),
    [
        ("none", Spread((2.0,), (0.5,))),
        ("log", Spread()),
        ("quantile", Spread((1.0, 4.0, 6.0), (0.5, 2.0, 1.0))),
    ],
)
def test_numbers_and_intervals_are_predicted_alike(tmp_path: Path, transform: str, spread: Spread) -> None:
    numbers_file(tmp_path)
    decision = Decision(coverage=0.9, bound=2.0, spread=spread, smearing=(-0.4, 0.1, 0.5))
    settings = [*PLAIN, *NUMBERS, f"data.target_transform={transform}"]
    model = wellfit.load(leave_model(tmp_path, *settings, decision=decision)[0])
    found = run(model, *inputs_of(model, frame()))
    np.testing.assert_allclose(found["predicted"], model.predict(frame()), rtol=1e-12)
    assert np.std(found["predicted"]) > 0.1
    interval = np.column_stack([found["low"], found["high"]])
    np.testing.assert_allclose(interval, model.predict_interval(frame()), rtol=1e-12)


def test_without_coverage_there_are_no_intervals_and_no_bound_is_infinity(tmp_path: Path) -> None:
    numbers_file(tmp_path)
    model = wellfit.load(leave_model(tmp_path, *PLAIN, *NUMBERS, decision=Decision())[0])
    assert list(run(model, *inputs_of(model, frame()))) == ["predicted"]
    model.decision = Decision(coverage=0.9)
    assert np.isposinf(run(model, *inputs_of(model, frame()))["high"]).all()


def test_pixels_are_predicted_alike(tmp_path: Path) -> None:
    path = image_folder(tmp_path / "pictures", 30)
    images = ["data.name=images", f"data.path={path}", "data.target=null", "data.id=null", "data.image_size=null"]
    model = wellfit.load(leave_model(tmp_path, *images, *PICTURES)[0])
    pixels = model.encode(sorted(path.rglob("*.png")))
    np.testing.assert_allclose(run(model, pixels)["probabilities"], model.predict_proba(pixels), atol=1e-12)


def test_each_transform_has_an_inverse() -> None:
    assert INVERSES.keys() == TRANSFORMS.keys()


@pytest.mark.parametrize("points", [(1.0,), (1.0, 2.0), (-3.0, 0.5, 1.0, 7.0)])
def test_lines_are_broken_as_numpys(points: tuple[float, ...]) -> None:
    x, values = np.linspace(-5, 9, 99), tuple(np.random.default_rng(0).normal(size=len(points)).tolist())
    found = interpolate(torch.from_numpy(x), points, values)
    np.testing.assert_allclose(found.numpy(), np.interp(x, points, values), rtol=1e-12)
