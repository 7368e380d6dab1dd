"""What the training rows were: the bins, and that new rows are counted as stored ones are."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import wellfit
from wellfit.data.store import load_split
from wellfit.serving.drift import Counted
from wellfit.serving.profile import Bins, fit_bins, fit_profile, observe
from wellfit.serving.rows import Summary

from .own import csv_file, image_folder, leave_model
from .test_predictor import PICTURES
from .test_rows import frame


def bins_of(values: list[float], categories: list[str] | None = None) -> Bins:
    """The bins of a column of training rows."""
    return fit_bins("size", np.array(values, np.float32), categories)


def test_numbers_stand_in_tenths_of_the_training_rows() -> None:
    values = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    bins = bins_of(values.tolist())
    assert bins.counts == (0, *[100] * 10, 0, 0)
    new = np.random.default_rng(1).normal(0.5, 2, 500).astype(np.float32)
    edges = [-np.inf, np.nextafter(np.float32(bins.lowest), np.float32(-9)), *bins.uppers, np.inf]
    expected = pd.Series(pd.cut(new, edges)).value_counts(sort=False).tolist()
    np.testing.assert_array_equal(bins.count(new), [*expected, 0])
    assert bins.labels[0].startswith("below -")
    assert len(bins.labels) == len(bins.counts)


@pytest.mark.parametrize(
    ("values", "labels", "counts"),
    [
        ([0.0] * 91 + [*range(1, 10)], ["below 0", "0", "0 to 9", "above 9", "missing"], [0, 91, 9, 0, 0]),
        ([3.0] * 5, ["below 3", "3", "above 3", "missing"], [0, 5, 0, 0]),
        ([3.0], ["below 3", "3", "above 3", "missing"], [0, 1, 0, 0]),
        ([np.nan, np.nan], ["below", "a number", "missing"], [0, 0, 2]),
        ([1.0, np.nan, 2.0], ["below 1", "1", "1 to 2", "above 2", "missing"], [0, 1, 1, 0, 1]),
    ],
)
def test_ties_make_fewer_bins(values: list[float], labels: list[str], counts: list[int]) -> None:
    bins = bins_of(values)
    assert bins.labels == labels
    assert list(bins.counts) == counts


def test_what_lies_outside_and_what_is_missing_is_counted_apart() -> None:
    bins = bins_of([3.0] * 5)
    np.testing.assert_array_equal(bins.count(np.array([2.9, 3, 3.1, 4, np.nan])), [1, 1, 2, 1])
    categories = bins_of([0, 1, 1, -1], ["a", "b"])
    assert categories.labels == ["a", "b", "unseen or rare", "missing"]
    np.testing.assert_array_equal(categories.count(np.array([1, -1, -1, np.nan])), [0, 1, 2, 1])
    np.testing.assert_array_equal(bins_of([np.nan]).count(np.array([5.0, np.nan])), [0, 1, 1])
    np.testing.assert_array_equal(bins.count(np.array([])), [0, 0, 0, 0])


@pytest.mark.parametrize("kind", ["table", "images"])
def test_the_training_rows_as_a_file_are_counted_as_they_were_when_stored(tmp_path: Path, kind: str) -> None:
    csv_file(tmp_path / "own.csv")
    pictures = image_folder(tmp_path / "pictures", 40)
    images = ["data.name=images", f"data.path={pictures}", "data.target=null", "data.id=null", *PICTURES]
    folder, meta, _ = leave_model(tmp_path, *(images if kind == "images" else []))
    model = wellfit.load(folder)
    train = load_split(tmp_path / "processed" / meta.name, meta, "train")
    rows = [pictures / name for name in train.ids] if kind == "images" else frame().set_index("id").loc[train.ids]
    counted = Counted(model.profile)
    model.encode(rows, Summary(counted))
    found = counted.compare()
    assert found.rows == found.training_rows == meta.split_sizes["train"]
    assert [(each.psi, each.moved) for each in found.columns] == [(0, "no")] * len(found.columns)
    names = {each.name for each in found.columns}
    colours = {f"{what} of {colour}" for what in ("brightness", "contrast") for colour in ("red", "green", "blue")}
    assert names == (colours if kind == "images" else {column.name for column in meta.columns})
    missing = {bins.name: bins.counts[-1] for bins in model.profile.columns}
    if kind == "table":
        gaps = (frame().set_index("id").loc[train.ids] == "").sum()
        assert (missing["age"], missing["city"], missing["income"]) == (gaps["age"], gaps["city"], 0)


def test_predictions_are_counted_by_class_or_by_tenths(tmp_path: Path) -> None:
    csv_file(tmp_path / "own.csv")
    folder, meta, _ = leave_model(tmp_path)
    model = wellfit.load(folder)
    val = load_split(tmp_path / "processed" / "csv", meta, "val")
    predicted = model.predictions(np.array(val.x)).predicted
    assert model.profile.predictions.categories == ("bad", "good")
    assert list(model.profile.predictions.counts) == [*((predicted == name).sum() for name in ("bad", "good")), 0, 0]
    numbers = fit_profile(meta.model_copy(update={"class_names": ()}), val.x, np.arange(20.0)).predictions
    assert (numbers.lowest, numbers.uppers[-1], sum(numbers.counts)) == (0, 19, 20)


@pytest.mark.parametrize("kind", ["table", "images"])
def test_a_profile_made_in_parts_is_the_same(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    csv_file(tmp_path / "own.csv")
    pictures = image_folder(tmp_path / "pictures", 12)
    images = ["data.name=images", f"data.path={pictures}", "data.target=null", "data.id=null", *PICTURES]
    folder, meta, _ = leave_model(tmp_path, *(images if kind == "images" else []))
    x = load_split(tmp_path / "processed" / meta.name, meta, "train").x
    expected = wellfit.load(folder).profile
    monkeypatch.setattr("wellfit.data.scratch.BLOCK_BYTES", 3 * x[:1].nbytes)
    monkeypatch.setattr("wellfit.data.scratch.GROUP_BYTES", 2 * 4 * len(x))  # two columns
    assert fit_profile(meta, x, np.zeros(3)).columns == expected.columns


def test_brightness_and_contrast_are_those_of_the_pixels(tmp_path: Path) -> None:
    pictures = image_folder(tmp_path / "pictures", 12)
    images = ["data.name=images", f"data.path={pictures}", "data.target=null", "data.id=null", *PICTURES]
    _, meta, _ = leave_model(tmp_path, *images)
    pixels = np.random.default_rng(0).integers(0, 255, (5, *meta.input_shape)).astype(np.uint8)
    found = observe(meta, pixels, None)
    np.testing.assert_allclose(found[:, :3], pixels.mean((2, 3)), rtol=1e-6)
    np.testing.assert_allclose(found[:, 3:], pixels.std((2, 3)), rtol=1e-5)
