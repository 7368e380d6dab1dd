from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OrdinalEncoder

from wellfit.data.encode import MISSING, encode, fit_columns
from wellfit.data.meta import Column

CELLS = st.tuples(
    st.none() | st.floats(-100, 100, width=32),
    st.none() | st.sampled_from("abcde"),
    st.floats(-1, 1, width=32),
    st.sampled_from(["x", "y"]),
)


def frame(rows: list[Any]) -> pd.DataFrame:
    columns = list(zip(*rows, strict=True))
    return pd.DataFrame(
        {
            "gaps": np.array(columns[0], float),
            "letter": pd.Categorical(columns[1], categories=list("edcba")),
            "whole": np.array(columns[2], float),
            "side": pd.Categorical(columns[3], categories=["x", "y"]),
        }
    )


@given(train=st.lists(CELLS, min_size=1, max_size=12), new=st.lists(CELLS, min_size=1, max_size=12))
@settings(deadline=None)
def test_it_is_what_scikit_learn_makes_of_the_training_rows(train: list[Any], new: list[Any]) -> None:
    old, rows = frame(train), frame(new)
    columns = fit_columns(old, max_categories=100)
    numbers = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    plain = ColumnTransformer([("n", numbers, ["gaps", "whole"]), ("c", codes, ["letter", "side"])])
    texts = ["letter", "side"]

    def named(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(**{name: table[name].astype(object).fillna(MISSING) for name in texts})

    expected = plain.fit(named(old)).transform(named(rows))
    encoded = encode(columns, rows)
    assert encoded.dtype == np.float32
    np.testing.assert_allclose(encoded, expected.astype(np.float32))
    assert [column.name for column in columns] == ["gaps", "whole", "letter", "side"]
    assert columns[0].flags_missing == bool(old["gaps"].isna().any())


def test_what_is_kept_as_json_encodes_the_same() -> None:
    rows = frame([(1.0, "a", 0.1, "x"), (None, None, 0.3, "y"), (4.0, "b", 0.2, "x")])
    columns = fit_columns(rows, 100)
    again = tuple(Column.model_validate_json(column.model_dump_json()) for column in columns)
    assert again == columns
    np.testing.assert_array_equal(encode(again, rows), encode(columns, rows))
    # gaps, whole, gap?, letter, side
    np.testing.assert_allclose(encode(columns, rows)[1], [2.5, 0.3, 1.0, 0.0, 1.0])


def test_the_most_frequent_categories_are_told_apart() -> None:
    letters = ["c"] * 3 + ["a"] * 3 + ["e", "d", "d", None, None]
    rows = pd.DataFrame({"letter": pd.Categorical(letters)})
    (column,) = fit_columns(rows, max_categories=3)
    assert column.categories == (MISSING, "a", "c"), "of equally frequent ones the first by name"
    assert encode((column,), rows)[:, 0].tolist() == [2, 2, 2, 1, 1, 1, -1, -1, -1, 0, 0]


def test_missing_cells_that_the_training_rows_do_not_have() -> None:
    columns = fit_columns(frame([(1.0, "a", 0.0, "x"), (2.0, "b", 0.0, "x"), (9.0, "b", 0.0, "y")]), 100)
    assert encode(columns, frame([(None, None, 0.0, "x")])).tolist() == [[2.0, 0.0, -1.0, 0.0]]


@pytest.mark.parametrize("kind", ["numbers", "categories"])
def test_a_table_of_one_kind(kind: str) -> None:
    rows = frame([(1.0, "a", 0.5, "x"), (2.0, "b", 0.25, "y")])
    rows = rows[["gaps", "whole"] if kind == "numbers" else ["letter", "side"]]
    assert encode(fit_columns(rows, 100), rows).shape == (2, 2)


def test_other_columns_and_another_order_do_not_matter() -> None:
    rows = frame([(1.0, "a", 0.5, "x"), (2.0, "b", 0.25, "y")])
    columns = fit_columns(rows, 100)
    turned = rows[rows.columns[::-1]].assign(more=1)
    np.testing.assert_array_equal(encode(columns, turned), encode(columns, rows))
