"""New rows: as the training rows were read, with what is odd about them counted."""

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import wellfit
from wellfit.data.meta import Meta
from wellfit.data.store import load_split
from wellfit.errors import WellfitError
from wellfit.serving.predictor import Predictor
from wellfit.serving.rows import Summary, as_arrow, encode_table

from .own import HEADER, csv_file, leave_model, lines


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Predictor, Path, Meta]:
    root = tmp_path_factory.mktemp("own")
    csv_file(root / "own.csv")
    folder, meta, _ = leave_model(root)
    return wellfit.load(folder), root, meta


def frame(rows: list[str] | None = None) -> pd.DataFrame:
    names, *cells = csv.reader(io.StringIO(HEADER + "".join(lines() if rows is None else rows)))
    return pd.DataFrame(cells, columns=names)


def said(model: Predictor, rows: pd.DataFrame) -> list[str]:
    summary = Summary()
    model.encode(rows, summary)
    return summary.sentences(model.meta)


def test_rows_of_the_file_come_out_as_preprocess_stored_them(made: tuple[Predictor, Path, Meta]) -> None:
    model, root, meta = made
    split = load_split(root / "processed" / "csv", meta, "test")
    rows = frame().set_index("id", drop=False).loc[split.ids]
    np.testing.assert_array_equal(model.encode(rows), split.x)
    assert said(model, rows) == []


def test_the_order_of_columns_and_what_is_no_input_do_not_matter(made: tuple[Predictor, Path, Meta]) -> None:
    model, _, _ = made
    rows = frame()
    turned = rows[rows.columns[::-1]].drop(columns=["sold", "id"])
    np.testing.assert_array_equal(model.encode(turned), model.encode(rows))
    assert said(model, turned) == []
    assert said(model, turned.assign(extra=1, more=2)) == [
        "columns that the model does not know are passed over: 'extra', 'more'"
    ]


def test_what_is_odd_counts_as_missing_or_unknown_and_is_told(made: tuple[Predictor, Path, Meta]) -> None:
    model, _, _ = made
    rows = frame().iloc[:6].copy()
    rows["share"] = ["x", "7%", "y", "1%", "2%", "3%"]
    rows["city"] = ["Rome", "Paris", "Oslo", "Paris", "Kyiv", ""]
    rows["when"] = [*rows["when"][:4], "soon", ""]
    assert said(model, rows) == [
        "column 'share': 'x' (1 more like it) cannot be read as in the training rows, and counts as missing",
        "column 'when': 'soon' cannot be read as in the training rows, and counts as missing",
        "column 'city': 'Paris' (2 more like it) is no category of the training rows, or a rare one",
    ]
    gaps = frame().iloc[:6].assign(share=["", "7%", "", "1%", "2%", "3%"])
    assert said(model, gaps) == ["column 'share': 2 of 6 cells are missing, and none was in the training rows"]
    np.testing.assert_array_equal(model.encode(gaps), model.encode(gaps.assign(share=rows["share"])))


def test_numbers_far_outside_those_of_the_training_rows_are_told(made: tuple[Predictor, Path, Meta]) -> None:
    model, _, _ = made
    rows = frame().iloc[:6].copy()
    assert said(model, rows.assign(age=["-3", "0", "", "10", "11", "12"])) == []
    rows["age"] = ["-500", "999999", "3", "-500", "", "1"]
    rows["income"] = ["$1", *rows["income"][1:5], "$9,999,999.00"]
    assert said(model, rows) == [
        "column 'income': 9999999 lies far outside what the training rows had (1200.5 to 12900.5)",
        "column 'age': -500 (2 more like it) lies far outside what the training rows had (0 to 9)",
    ]


@pytest.mark.parametrize("name", ["when", "income", "member", "city", "note", "age"])
def test_a_column_that_is_not_there_is_missing_in_each_row(made: tuple[Predictor, Path, Meta], name: str) -> None:
    model, _, _ = made
    rows = frame()
    without = rows.drop(columns=name)
    np.testing.assert_array_equal(model.encode(without), model.encode(rows.assign(**{name: ""})))
    assert said(model, without) == [f"column {name!r} is not there: it counts as missing in each row"]


def test_rows_without_any_input_are_refused(made: tuple[Predictor, Path, Meta]) -> None:
    model, _, _ = made
    with pytest.raises(WellfitError, match=r"the rows: none of the columns that the model takes \(when, income"):
        model.encode(pd.DataFrame({"a": [1], "b": [2]}))


def test_values_of_other_types_are_read_as_their_text(made: tuple[Predictor, Path, Meta]) -> None:
    model, _, _ = made
    rows = frame().iloc[1:7].copy()
    typed = rows.assign(
        age=rows["age"].map(float),
        when=pd.to_datetime(rows["when"], format="%d/%m/%Y %H:%M").dt.strftime("%d/%m/%Y %H:%M"),
        city=rows["city"].astype("category"),
        member=np.array([True, False, True, True, False, True], object),
        income=rows["income"].map(lambda text: float(text.strip("$").replace(",", ""))),
    )
    np.testing.assert_array_equal(
        model.encode(typed), model.encode(rows.assign(member=["Yes", "no", "Yes", "YES", "no", "yes"]))
    )


def test_a_column_of_mixed_objects_becomes_text() -> None:
    table = as_arrow(pd.DataFrame({1: [1, "a", None], "b": [1.5, 2.5, np.nan]}))
    assert table.column_names == ["1", "b"]
    assert table.column("1").to_pylist() == ["1", "a", None]
    assert table.column("b").to_pylist() == [1.5, 2.5, None]


def test_parts_of_a_file_add_up(made: tuple[Predictor, Path, Meta]) -> None:
    model, _, meta = made
    assert model.reading is not None
    rows = frame().assign(city="Paris", share="?")
    rows.loc[0, "share"] = "bad"
    summary, whole = Summary(), Summary()
    table = pa.Table.from_pandas(rows, preserve_index=False)
    parts = [encode_table(meta, model.reading, table.slice(i, 50), Path("f.csv"), 2, summary) for i in (0, 50, 100)]
    np.testing.assert_array_equal(np.concatenate(parts), model.encode(rows, whole))
    assert summary.sentences(meta) == whole.sentences(meta)
    assert summary.rows == whole.rows == 120
    assert (summary.missing["share"], summary.unread["share"].cells, summary.unseen["city"].cells) == (119, 1, 120)


def test_a_column_that_was_left_out_is_known(tmp_path: Path) -> None:
    rows = [f"7,{line}" for line in lines()]
    csv_file(tmp_path / "own.csv", rows, f"same,{HEADER}")
    folder, meta, _ = leave_model(tmp_path)
    assert "same" in meta.left_out
    assert said(wellfit.load(folder), frame().assign(same="8")) == []
