"""All that is explained, put together: what is taken of the data, and the tables that are left."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wellfit.data.meta import Column, Meta, Source
from wellfit.data.store import Split
from wellfit.explain import explanation
from wellfit.explain.explanation import (
    ExplainConfig,
    Explanation,
    ImageExplanation,
    TableExplanation,
    explain,
    write_tables,
)

from .test_columns import meta_of

CONFIG = ExplainConfig(enabled=True, rows=200, repeats=2, columns=2, permutations=20, seed=0)
RANDOM = np.random.default_rng(0)


def numbers(n: int) -> tuple[Column, ...]:
    return tuple(Column(name=f"c{i}", fill=0.0, flags_missing=False, categories=()) for i in range(n))


def table(columns: int, rows: int = 400, weights: Any = None) -> Split:
    x = RANDOM.normal(size=(rows, columns)).astype(np.float32)
    return Split(x, x[:, 0] * 3.0, np.arange(rows), weights)


class Counted:
    """Triples the first column, and counts what it is asked."""

    def __init__(self) -> None:
        self.rows = 0

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        self.rows += len(rows)
        return rows[:, 0] * 3.0


def of_numbers(columns: int, config: ExplainConfig = CONFIG, **splits: Split) -> tuple[TableExplanation, int]:
    train, test = splits.get("train", table(columns)), splits.get("test", table(columns))
    predict, meta = Counted(), meta_of(numbers(columns))
    predictions = predict(test.x) + RANDOM.normal(size=len(test.y))
    found = explain(predict, train, test, predictions, meta, config)
    assert isinstance(found, TableExplanation)
    return found, predict.rows


def test_the_strongest_column_is_found_in_every_part() -> None:
    found, _ = of_numbers(4)
    assert found.importance.order[0] == 0
    assert found.importance.rows == 200
    assert [each.name for each in found.dependence] == ["c0", f"c{found.importance.order[1]}"]
    np.testing.assert_allclose(found.dependence[0].mean[:, 0], 3 * found.dependence[0].values, rtol=1e-5)
    assert np.all(found.contributions.values[:, 1:] == 0)
    assert found.permutations == 20


def test_parts_of_a_date_are_drawn_and_counts_of_words_are_not() -> None:
    names = ["t.words0", "d.year", "d.days", "n"]
    columns = tuple(Column(name=name, fill=0.0, flags_missing=False, categories=()) for name in names)
    sources = (Source(name="t", kind="text"), Source(name="d", kind="dates", parts=("year", "days")))
    test, predict = table(4), Counted()
    found = explain(predict, test, test, predict(test.x), meta_of(columns, sources=sources), CONFIG)
    assert isinstance(found, TableExplanation)
    assert found.importance.names == ("t", "d", "n")
    assert found.importance.order[0] == 0
    assert [each.name for each in found.dependence] == ["d.year", "d.days"]


@pytest.mark.parametrize(("columns", "rows", "permutations"), [(4, 400, 400), (20, 200, 87), (200, 100, 10)])
def test_how_many_rows_pass_through_the_model_is_bounded(
    columns: int, rows: int, permutations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explanation, "PASSES", 20_000)
    found, passed = of_numbers(columns, CONFIG.model_copy(update={"rows": 400, "repeats": 5, "permutations": 1000}))
    assert found.importance.rows == rows
    assert found.permutations == permutations
    assert passed < 60_000 or columns == 200  # where it is the fewest rows and permutations


def test_fewer_rows_pass_where_there_are_many_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """150 rows of two columns, shuffled twice, have 600 times seven probabilities."""
    test = table(2)
    test = test._replace(y=np.arange(len(test.y)) % 7)
    monkeypatch.setattr(explanation, "PROBABILITIES", 7 * 600)
    found, _ = classes(test, np.full((len(test.y), 7), 1 / 7))
    assert isinstance(found, TableExplanation)
    assert found.importance.rows == 150


def test_rows_of_weight_zero_are_neither_scored_nor_background() -> None:
    weights = (np.arange(400) % 2).astype(np.float32)
    test, train = table(2, weights=weights), table(2, weights=weights)
    test.x[weights == 0] = train.x[weights == 0] = 1000.0
    found, _ = of_numbers(2, test=test, train=train)
    assert found.importance.scores["rmse"].mean[0] < 100
    assert np.abs(found.contributions.base).max() < 100


def classes(test: Split, predictions: np.ndarray) -> tuple[Explanation, Meta]:
    names = ("a", "b", "c", "d", "e", "f", "g")
    counts = (5, 50, 10, 40, 30, 20, 60)
    meta = meta_of(
        numbers(2), task="classification", class_names=names, class_counts=counts, target_mean=None, target_std=None
    )

    def predict(rows: np.ndarray) -> np.ndarray:
        odds = np.exp(rows[:, :1] * np.linspace(-1, 1, 7))
        return odds / odds.sum(axis=1, keepdims=True)

    return explain(predict, table(2), test, predictions, meta, CONFIG), meta


def test_of_many_classes_the_most_frequent_are_drawn_and_the_predicted_ones_explained() -> None:
    y = np.repeat(np.arange(7), 20)
    test = Split(RANDOM.normal(size=(140, 2)).astype(np.float32), y, np.arange(140))
    predictions = np.eye(7)[y] * 0.5 + 0.5 / 7
    predictions[[3, 90]] = np.eye(7)[[6, 1]]  # two mistakes
    found, _ = classes(test, predictions)
    assert isinstance(found, TableExplanation)
    assert found.outputs == [1, 3, 4, 5, 6]
    assert found.dependence[0].mean.shape[1] == 5
    assert found.examples.mistakes == 2
    assert found.examples.rows[:2].tolist() == [3, 90]
    assert found.examples.outputs[:2].tolist() == [6, 1]
    assert len(found.examples.rows) == 6
    np.testing.assert_allclose(
        found.contributions.values.sum(axis=1), found.contributions.predictions - found.contributions.base
    )


def test_images_are_occluded() -> None:
    meta = meta_of(
        (), kind="images", task="classification", class_names=("dark", "bright"), class_counts=(5, 5), mean=(128.0,)
    )
    x = RANDOM.integers(0, 256, (60, 1, 8, 8)).astype(np.uint8)
    y = (x.mean(axis=(1, 2, 3)) > 128).astype(np.int64)
    bright = x.mean(axis=(1, 2, 3)) / 255
    predictions = np.stack([1 - bright, bright], axis=1)
    split = Split(x, y, np.arange(60))

    def predict(rows: np.ndarray) -> np.ndarray:
        share = rows.mean(axis=(1, 2, 3)) / 255
        return np.stack([1 - share, share], axis=1)

    found = explain(predict, split, split, predictions, meta, CONFIG)
    assert isinstance(found, ImageExplanation)
    assert found.occlusion.heat.shape == (len(found.examples.rows), 8, 8)


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_the_tables_have_what_was_found(tmp_path: Path) -> None:
    test = table(3)
    found, _ = of_numbers(3, test=test)
    worse = found.importance.scores["rmse"]
    turned = worse._replace(mean=worse.mean[::-1])  # the last column is the most important one
    found = found._replace(importance=found.importance._replace(scores={"rmse": turned}))
    write_tables(tmp_path, found, test, meta_of(numbers(3)))
    importance = read(tmp_path / "importance.csv")
    assert [line["column"] for line in importance] == ["c2", "c0", "c1"]
    assert float(importance[0]["rmse"]) == worse.mean[0]
    assert float(importance[1]["rmse_spread"]) == worse.spread[0]
    lines = read(tmp_path / "contributions.csv")
    assert len(lines) == 3 * len(found.examples.rows)
    for line in lines[:3]:
        row = int(line["id"])
        assert line["output"] == "price"
        assert float(line["value"]) == test.x[row, int(line["column"][1])]
    total = sum(float(line["contribution"]) for line in lines[:3])
    assert total == pytest.approx(float(lines[0]["prediction"]) - float(lines[0]["mean_prediction"]))


def test_nothing_asked_for_leaves_headers(tmp_path: Path) -> None:
    write_tables(tmp_path, None, table(1), meta_of(numbers(1)))
    assert (tmp_path / "importance.csv").read_text() == "column,rmse,rmse_low,rmse_high,rmse_spread\n"
    assert read(tmp_path / "contributions.csv") == []
