"""The model as its users meet it: scikit-learn's conventions, images in every form, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import is_classifier, is_regressor
from sklearn.metrics import get_scorer

import wellfit
from wellfit.data.store import load_split
from wellfit.errors import WellfitError
from wellfit.metrics.decision import Decision
from wellfit.serving.predictor import Predictor

from .own import csv_file, image_folder, leave_model
from .test_rows import frame

NUMBERS = ["data.target=age", "data.task=regression", "data.drop=[sold]", "data.text=drop"]
PICTURES = ["model.name=cnn", "model.channels=[4]", "model.embedding=none", "model.embedding_width=null"]


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    root = tmp_path_factory.mktemp("classes")
    csv_file(root / "own.csv")
    return wellfit.load(leave_model(root)[0])


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    root = tmp_path_factory.mktemp("numbers")
    rows = frame()
    rows[rows["age"] != ""].to_csv(root / "own.csv", index=False)
    return wellfit.load(leave_model(root, *NUMBERS, decision=Decision(coverage=0.9, bound=2.0))[0])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Predictor, Path, np.ndarray]:
    """A model of images, its folder of images, and their pixels."""
    root = tmp_path_factory.mktemp("pictures")
    path = image_folder(root / "pictures", 30)
    images = ["data.name=images", f"data.path={path}", "data.target=null", "data.id=null", "data.image_size=null"]
    folder, meta, _ = leave_model(root, *images, *PICTURES)
    split = load_split(root / "processed" / "images", meta, "train")
    return wellfit.load(folder), path, np.array(split.x)


def test_it_keeps_to_scikit_learns_conventions_for_classes(classes: Predictor) -> None:
    assert is_classifier(classes)
    rows = frame()
    chances, predicted = classes.predict_proba(rows), classes.predict(rows)
    assert classes.classes_.tolist() == ["bad", "good"]
    assert classes.n_features_in_ == len(classes.feature_names_in_) == 7
    assert chances.shape == (120, 2)
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    np.testing.assert_array_equal(predicted, classes.classes_[chances.argmax(axis=1)])
    assert len(set(predicted)) == 2
    for scoring in ("accuracy", "neg_log_loss", "roc_auc"):
        assert np.isfinite(get_scorer(scoring)(classes, rows, rows["sold"])), scoring


def test_it_keeps_to_scikit_learns_conventions_for_numbers(numbers: Predictor) -> None:
    assert is_regressor(numbers)
    rows = frame()
    predicted = numbers.predict(rows)
    assert predicted.shape == (120,)
    assert predicted.dtype == np.float64
    assert np.isfinite(get_scorer("r2")(numbers, rows, np.arange(120)))
    interval = numbers.predict_interval(rows)
    np.testing.assert_allclose(interval, np.column_stack([predicted - 2, predicted + 2]))


def test_rows_alone_or_in_another_order_are_predicted_alike(classes: Predictor) -> None:
    rows = frame()
    together = classes.predict_proba(rows)
    np.testing.assert_allclose(classes.predict_proba(rows[::-1])[::-1], together, atol=1e-6)
    alone = np.concatenate([classes.predict_proba(rows.iloc[[i]]) for i in range(5)])
    np.testing.assert_allclose(alone, together[:5], atol=1e-6)


def test_an_array_has_the_columns_in_their_order(classes: Predictor) -> None:
    rows = frame()
    array = rows[list(classes.feature_names_in_)].to_numpy()
    np.testing.assert_array_equal(classes.predict_proba(array), classes.predict_proba(rows))


@pytest.mark.parametrize("rows", [np.zeros((3, 2)), np.zeros(7), [[1, 2], [3]], "text"])
def test_rows_of_another_shape_are_refused(classes: Predictor, rows: Any) -> None:
    with pytest.raises(WellfitError, match=r"rows must be a DataFrame,? or an array \(n, 7\)"):
        classes.predict(rows)


def test_no_rows_are_no_predictions(classes: Predictor) -> None:
    assert classes.predict_proba(frame().iloc[:0]).shape == (0, 2)


def test_sets_hold_classes_until_they_reach_the_bound(classes: Predictor) -> None:
    rows = frame()
    sets = classes.predict_set(rows)
    np.testing.assert_array_equal(sets, classes.decision.sets(classes.predict_proba(rows)))
    assert sets.any(axis=1).all()


def test_the_threshold_decides_between_two_classes(tmp_path: Path) -> None:
    csv_file(tmp_path / "own.csv")
    model = wellfit.load(leave_model(tmp_path, decision=Decision(threshold=0.9))[0])
    chances = model.predict_proba(frame())[:, 1]
    np.testing.assert_array_equal(model.predict(frame()) == "good", chances > 0.9)
    with pytest.raises(WellfitError, match=r"no sets, as evaluate\.coverage was null"):
        model.predict_set(frame())


def test_what_is_for_the_other_task_is_not_there(classes: Predictor, numbers: Predictor) -> None:
    with pytest.raises(AttributeError, match="use predict_set"):
        classes.predict_interval(frame())
    with pytest.raises(AttributeError, match="predict_proba is for classes"):
        numbers.predict_proba(frame())
    with pytest.raises(AttributeError, match="use predict_interval"):
        numbers.predict_set(frame())


def test_images_come_as_files_bytes_and_arrays(pictures: tuple[Predictor, Path, np.ndarray]) -> None:
    model, folder, _ = pictures
    files = sorted(folder.rglob("*.png"))
    expected = model.predict_proba(files)
    assert expected.shape == (30, 2)
    np.testing.assert_array_equal(model.predict_proba([str(file) for file in files]), expected)
    np.testing.assert_array_equal(model.predict_proba([file.read_bytes() for file in files]), expected)
    pixels = model.encode(files)
    assert pixels.shape == (30, 3, 8, 10)
    for array in (pixels, pixels.transpose(0, 2, 3, 1), pixels.reshape(30, -1), pixels.astype(np.float64)):
        np.testing.assert_allclose(model.predict_proba(array), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("rows", "rule"),
    [
        ("one.png", "must be a list of files or bytes, or an array, got a single one"),
        (np.full((1, 3, 8, 10), 0.5), "must be from 0 to 255, got none above 1: multiply them by 255"),
    ],
)
def test_what_is_no_list_of_images_is_refused(
    pictures: tuple[Predictor, Path, np.ndarray], rows: object, rule: str
) -> None:
    with pytest.raises(WellfitError, match=rule):
        pictures[0].predict(rows)


def test_a_column_that_is_there_twice_is_refused(classes: Predictor) -> None:
    rows = frame()
    with pytest.raises(WellfitError, match="the rows have two columns named 'city'"):
        classes.predict(pd.concat([rows, rows["city"]], axis=1))


def test_images_are_read_as_preprocess_read_them(pictures: tuple[Predictor, Path, np.ndarray], tmp_path: Path) -> None:
    model, folder, train = pictures
    read = model.encode(sorted(folder.rglob("*.png")))
    known = {image.tobytes() for image in read}
    assert all(image.tobytes() in known for image in train)
    larger = sorted(image_folder(tmp_path / "larger", 2, (16, 20)).rglob("*.png"))
    assert model.encode(larger).shape == (2, 3, 8, 10)


def test_grey_images_need_no_axis_for_channels(tmp_path: Path) -> None:
    path = image_folder(tmp_path / "pictures", 30)
    images = [
        "data.name=images",
        f"data.path={path}",
        "data.target=null",
        "data.id=null",
        "data.image_size=null",
        "data.channels=grey",
    ]
    model = wellfit.load(leave_model(tmp_path, *images, *PICTURES)[0])
    pixels = model.encode(sorted(path.rglob("*.png")))
    assert pixels.shape == (30, 1, 8, 10)
    np.testing.assert_array_equal(model.predict_proba(pixels[:, 0]), model.predict_proba(pixels))


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        (np.zeros((2, 3, 9, 9)), "an array (n, 3, 8, 10), got the shape (2, 3, 9, 9)"),
        (np.array(1.0), "got the shape ()"),
        (np.full((1, 3, 8, 10), np.nan), "images must have finite pixels"),
        (["nowhere.png"], "nowhere.png is not a file"),
        ([b"not an image"], "image 0 is not an image that can be read"),
        ([b""], "image 0 is empty"),
        (np.array([["a"]]), "images must be files, bytes or numbers"),
        (pd.DataFrame({"a": ["x"]}), "images must be files, bytes or numbers"),
    ],
)
def test_what_is_no_image_is_refused(pictures: tuple[Predictor, Path, np.ndarray], rows: Any, fault: str) -> None:
    with pytest.raises(WellfitError) as caught:
        pictures[0].predict(rows)
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)
