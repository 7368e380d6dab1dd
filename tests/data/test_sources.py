from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import HashingVectorizer

from wellfit.data.meta import Source
from wellfit.data.sources import N_HASHED, expand, fit_sources, input_names
from wellfit.errors import WellfitError

DATES = Source(name="when", kind="dates", formats=("%d/%m/%Y %H:%M", "ISO8601"))
WHEN: list[str | None] = ["31/12/2023 8:26", "1/2/2024 9:00", None, "13/2/2024 20:00", "soon"]


def table(**columns: list[Any]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Categorical(cells) for name, cells in columns.items()})


def fit(train: pd.DataFrame, *sources: Source) -> tuple[Any, Any]:
    return fit_sources(sources, train, lambda index: f"t.csv row {index + 2}")


def test_dates_become_parts_as_the_training_rows_have_them() -> None:
    rows = table(when=WHEN)
    (source,), warnings = fit(rows.iloc[:4], DATES)
    assert warnings == ()
    assert source.origin == "2023-12-31"
    parts, unread = expand([source], rows)
    assert list(parts) == ["when.year", "when.month", "when.weekday", "when.hour", "when.days"]
    np.testing.assert_allclose(parts.iloc[0], [2023, 12, 6, 8, (8 * 60 + 26) / 1440])
    np.testing.assert_allclose(parts.iloc[1], [2024, 2, 3, 9, 32 + 9 / 24])
    assert parts.iloc[[2, 4]].isna().all(axis=None)
    assert unread == [("when", 1, "soon")]


def test_new_rows_may_have_dates_as_databases_have_them() -> None:
    german = DATES.model_copy(update={"formats": DATES.formats[:1]})
    (source,), _ = fit(table(when=["31/12/2023 8:26", "1/2/2024 9:00"]), german)
    parts, unread = expand([source], table(when=["2024-02-01 09:00:00", "2024-02-01T09:00", "2/1/2024"]))
    np.testing.assert_allclose(parts["when.days"], [32 + 9 / 24, 32 + 9 / 24, np.nan])
    assert unread == [("when", 1, "2/1/2024")]


def test_parts_that_are_the_same_in_all_training_rows_are_left_out() -> None:
    rows = table(when=["2024-05-01", "2024-05-31", None, "2025-06-30"])
    (source,), _ = fit(rows.iloc[:3], DATES)
    assert source.parts == ("weekday", "days")
    assert expand([source], rows)[0]["when.days"].tolist()[3] == 425


@pytest.mark.parametrize("cells", [["2024-05-01"] * 3, [None, None, None], ["2024-05-01", None, None]])
def test_dates_that_say_nothing_are_left_out_with_a_warning(cells: list[Any]) -> None:
    sources, warnings = fit(table(when=cells, colour=["a", "b", "a"]), DATES, Source(name="colour", kind="categories"))
    assert [source.name for source in sources] == ["colour"]
    assert warnings == ("column 'when' has the same date, or none, in all training rows and is left out",)
    with pytest.raises(WellfitError, match=r"column 'when' has the same date.* no other column to learn from"):
        fit(table(when=cells), DATES)


@pytest.mark.parametrize(
    ("kind", "cells", "said"),
    [
        ("numbers", [0.0, 0.0, 0.0, 12.0], "is 0"),
        ("numbers", [0.0, np.nan, 0.0, 12.0], None),  # the flag of missing numbers tells rows apart
        ("numbers", [np.nan, np.nan, np.nan, 12.0], "is missing"),
        ("numbers", [1e-9, 0.0, 0.0, 0.0], None),
        ("categories", ["a", "a", "a", "b"], "is 'a'"),
        ("categories", ["a", None, "a", "b"], None),
        ("categories", [None, None, None, "b"], "is missing"),
        ("text", ["a", "a", "a", "b"], None),
    ],
)
def test_what_is_the_same_in_all_training_rows_is_left_out(kind: Any, cells: list[Any], said: str | None) -> None:
    rows = table(other=["x", "y", "x", "y"]).assign(c=cells if kind == "numbers" else pd.Categorical(cells))
    sources, warnings = fit(rows.iloc[:3], Source(name="c", kind=kind), Source(name="other", kind="categories"))
    expected = () if said is None else (f"column 'c' {said} in all training rows and is left out",)
    assert warnings == expected
    assert [source.name for source in sources] == ["c", "other"][len(expected) :]


def test_the_name_of_a_part_may_be_taken() -> None:
    rows = table(**{"when": ["2023-05-01", "2024-06-02"], "when.year": ["a", "b"]})
    with pytest.raises(WellfitError, match=r"column 'when\.year' has the name of an input made of another one"):
        fit(rows, DATES, Source(name="when.year", kind="categories"))


def test_words_are_counted_as_scikit_learn_counts_them() -> None:
    texts = ["a red house", "red, Red barn", None, "blue house"]
    source = Source(name="text", kind="text")
    (fitted,), _ = fit(table(text=texts).iloc[:1], source)
    counts, unread = expand([fitted], table(text=texts))
    words = HashingVectorizer(n_features=N_HASHED, alternate_sign=False, norm=None)
    expected = words.transform([text or "" for text in texts]).toarray()
    np.testing.assert_array_equal(counts, expected)
    assert counts.iloc[1].sum() == 3
    assert list(counts) == input_names(source)
    assert (fitted, unread) == (source, [])


def test_what_is_kept_as_json_makes_the_same_of_new_rows() -> None:
    rows = table(when=WHEN[:4], text=["a red house", "red barn", None, "blue house"])
    sources, _ = fit(rows, DATES, Source(name="text", kind="text"))
    again = [Source.model_validate_json(source.model_dump_json()) for source in sources]
    new = table(when=["13/2/2024 20:00"], text=["blue house"])
    np.testing.assert_array_equal(expand(again, new)[0].iloc[0], expand(sources, rows)[0].iloc[3])
