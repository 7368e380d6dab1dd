"""Samples and mistakes: which rows, and how they look."""

from pathlib import Path

import numpy as np
import pytest

from wellfit.data.store import load_split
from wellfit.report.examples import COLUMNS, IMAGES, OTHER, ROWS, samples, wrong_classes, wrong_numbers

from .conftest import made_up


def test_the_most_confident_mistakes_come_first(tmp_path: Path) -> None:
    run = made_up(tmp_path)
    found = wrong_classes(run.test, run.predictions, run.meta)
    y, guess = np.asarray(run.test.y), run.predictions.argmax(axis=1)
    wrong = sorted(np.flatnonzero(y != guess), key=lambda i: -run.predictions[i].max())
    assert found.table
    assert [row[0] for row in found.table.rows] == [str(run.test.ids[i]) for i in wrong[:ROWS]]
    first = found.table.rows[0]
    assert first[1:3] == [run.meta.class_names[y[wrong[0]]], run.meta.class_names[guess[wrong[0]]]]
    assert found.says.startswith(f"{len(wrong)} of 120 test rows were predicted wrong")
    assert not found.pictures


def test_mistakes_are_those_of_the_threshold(tmp_path: Path) -> None:
    run = made_up(tmp_path)
    found = wrong_classes(run.test, run.predictions, run.meta, threshold=0.9)
    missed = np.sum((run.predictions[:, 1] < 0.9) & (np.asarray(run.test.y) == 1))
    mistaken = np.sum((run.predictions[:, 1] > 0.9) & (np.asarray(run.test.y) == 0))
    assert found.says.startswith(f"{missed + mistaken} of 120 test rows were predicted wrong")
    assert found.table
    assert {tuple(row[1:3]) for row in found.table.rows} == {("yes", "no")} | ({("no", "yes")} if mistaken else set())


def test_a_model_without_mistakes_has_none(tmp_path: Path) -> None:
    run = made_up(tmp_path)
    found = wrong_classes(run.test, np.eye(2)[np.asarray(run.test.y)], run.meta)
    assert found.says == "Not one test row was predicted wrong."
    assert found.table is None


def test_the_largest_errors_come_first(tmp_path: Path) -> None:
    run = made_up(tmp_path, classes=())
    found = wrong_numbers(run.test, run.predictions, run.meta)
    assert found.table
    errors = [abs(row[3]) for row in found.table.rows]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] == pytest.approx(np.abs(run.predictions - run.test.y).max())
    assert len(errors) == ROWS


def test_rows_have_their_raw_values(tmp_path: Path) -> None:
    run = made_up(tmp_path)
    train = load_split(run.data_folder, run.meta, "train")
    _, table = samples(train, run.meta)
    assert table
    assert table.header == ["row", "kind", "size", "price", "colour"]
    for row in table.rows:
        x = train.x[int(row[0]) - 1000]
        assert row[2] == ("–" if x[2] == 1 else pytest.approx(float(x[0])))  # flagged: it was missing
        assert row[3] == pytest.approx(float(x[1]))
        assert row[4] == {-1: OTHER, 0: "red", 1: "blue"}[int(x[3])]
    assert {row[1] for row in table.rows} == {"no", "yes"}


def test_of_a_wide_table_the_unusual_columns_of_mistakes_are_shown(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(100)]
    run = made_up(tmp_path, columns=names)
    x = np.array(run.test.x)
    x[:, 70] = 1000
    found = wrong_classes(run.test._replace(x=x), run.predictions, run.meta)
    assert found.table
    assert "c70" in found.table.header
    assert len(found.table.header) == COLUMNS + 4
    assert f"{COLUMNS} of 101 columns" in found.table.caption


def test_images_say_what_they_are(tmp_path: Path) -> None:
    run = made_up(tmp_path, classes=("cat", "dog", "eel"), images=True)
    pictures, table = samples(run.test, run.meta)
    assert table is None
    assert len(pictures) == IMAGES
    assert [picture.caption for picture in pictures] == sorted(["cat", "dog", "eel"] * (IMAGES // 3))
    found = wrong_classes(run.test, run.predictions, run.meta)
    assert found.table is None
    assert " taken for " in found.pictures[0].alt
    assert " confidence" in found.pictures[0].alt


def test_every_class_has_its_turn(tmp_path: Path) -> None:
    run = made_up(tmp_path, classes=[f"k{i:02}" for i in range(30)], images=True)
    pictures, _ = samples(run.test, run.meta)
    assert len({picture.caption for picture in pictures}) == IMAGES
