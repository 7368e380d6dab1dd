"""The columns that a user knows, in rows as they are stored."""

import numpy as np
import pandas as pd

from wellfit.data.encode import encode, fit_columns
from wellfit.data.meta import Column, Meta, Source
from wellfit.explain.columns import OTHER, features_of, places_of

TABLE = pd.DataFrame(
    {
        "age": [1.0, 2.0, 3.0, 4.0],
        "height": [np.nan, 5.0, 6.0, 7.0],
        "colour": pd.Categorical(["red", "blue", None, "red"]),
        "weight": [8.0, 8.0, np.nan, 9.0],
    }
)


def meta_of(columns: tuple[Column, ...], **fields: object) -> Meta:
    known = {
        "name": "csv",
        "kind": "table",
        "task": "regression",
        "columns": columns,
        "class_names": (),
        "target_name": "price",
        "input_shape": (len(columns),),
        "split_sizes": {"train": 1, "val": 1, "test": 1},
        "mean": (),
        "std": (),
        "target_mean": 0.0,
        "target_std": 1.0,
        "class_counts": (),
        "warnings": (),
        "manifest": {},
    }
    return Meta.model_validate(known | fields)


def test_the_places_are_where_encode_puts_the_columns() -> None:
    columns = fit_columns(TABLE, 10)
    stored = encode(columns, TABLE)
    places = {place.column.name: place for place in places_of(meta_of(columns))}
    assert {name: place.stored for name, place in places.items()} == {
        "age": [0],
        "height": [1, 3],
        "weight": [2, 4],
        "colour": [5],
    }
    for name, place in places.items():
        cells = [place.cell(row) for row in stored]
        raw = TABLE[name].astype(object).where(TABLE[name].notna(), None).tolist()
        assert cells == (raw if name != "colour" else ["red", "blue", "(missing)", "red"])


def test_a_category_that_is_not_told_apart() -> None:
    columns = fit_columns(TABLE, 1)
    place = places_of(meta_of(columns))[-1]
    assert [place.cell(row) for row in encode(columns, TABLE)] == ["red", OTHER, OTHER, "red"]


def test_each_column_is_a_feature() -> None:
    features = features_of(meta_of(fit_columns(TABLE, 10)))
    assert [feature.name for feature in features] == ["age", "height", "weight", "colour"]
    assert sorted(index for feature in features for index in feature.stored) == list(range(6))
    row = encode(fit_columns(TABLE, 10), TABLE)[0]
    assert [feature.cell(row) for feature in features] == [1.0, None, 8.0, "red"]


def test_what_was_made_of_one_column_is_one_feature() -> None:
    sources = (
        Source(name="sold", kind="dates", parts=("year", "days")),
        Source(name="sepal.year", kind="numbers"),
        Source(name="note", kind="text"),
    )
    names = ["sold.year", "sepal.year", "sold.days", *(f"note.words{i}" for i in range(16))]
    columns = tuple(Column(name=name, fill=0.0, flags_missing=name == "sold.days", categories=()) for name in names)
    features = features_of(meta_of(columns, sources=sources))
    assert [feature.name for feature in features] == ["sold", "sepal.year", "note"]
    assert features[0].stored == [0, 2, 19]
    assert len(features[2].stored) == 16
    assert features[0].cell(np.zeros(20, np.float32)) is None
