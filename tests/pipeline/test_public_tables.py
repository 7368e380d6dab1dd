"""`preprocess` on tables in the likeness of well-known public ones, each of which has what its owners meet.

Every table is made here, so that the truth is known: which columns are inputs, what their cells mean, and which
warnings are due. New rows are read as the rows of the file.
"""

import json
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from wellfit.data.meta import Meta
from wellfit.data.store import load_split
from wellfit.errors import WellfitError
from wellfit.serving.folder import describe_reading
from wellfit.serving.rows import Summary, as_arrow, encode_table
from wellfit.settings.params import Params, load_params
from wellfit.stages.preprocess import preprocess

from ..conftest import PARAMS_FILE
from . import public_columns, public_leaks, public_plain, public_shapes
from .public_table import Table

pytestmark = pytest.mark.slow

TABLES = {
    make.__name__: make
    for make in chain(public_plain.TABLES, public_columns.TABLES, public_leaks.TABLES, public_shapes.TABLES)
}
MISSING, OTHER = "(missing)", -1
SHOWN = 37  # characters of a name


def settings(table: Table, path: Path, changes: dict[str, Any]) -> Params:
    name = "parquet" if path.suffix == ".parquet" else "csv"
    chosen = {"name": name, "path": str(path), "target": table.target} | table.settings | changes
    return load_params(PARAMS_FILE, [f"data.{key}={json.dumps(value)}" for key, value in chosen.items()])


@pytest.mark.parametrize("name", TABLES)
def test_a_public_table_is_read_as_its_owner_means_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    table = TABLES[name](np.random.default_rng(0))
    raw, out = tmp_path / "raw", tmp_path / "processed"
    params = settings(table, table.write(table, tmp_path), {})
    if table.refused:
        with pytest.raises(WellfitError) as refusal:
            preprocess(params, raw, out)
        assert not out.exists()
        assert "\n" not in str(refusal.value)
        assert [word for word in table.refused if word not in str(refusal.value)] == [], str(refusal.value)
        write = table.mended or table.write
        params = settings(table, write(table, tmp_path), table.advice)
    preprocess(params, raw, out)
    printed = capsys.readouterr().out
    folder = out / params.data.name
    meta = Meta.from_json((folder / "meta.json").read_text())
    assert_only_these_warnings(table, meta)
    assert all(f"warning: {sentence}" in printed for sentence in meta.warnings)
    inputs = {column: each.holds for column, each in table.fields.items() if each.holds is not None}
    inputs.pop(table.target)
    assert {source.name: source.kind for source in meta.inputs} == {key: kind(holds) for key, holds in inputs.items()}
    assert [column for column in inputs if f"\n  {column[:SHOWN]}" not in printed] == []
    x, y, ids = stored(folder, meta)
    if table.twins_together:
        assert_twins_stand_together(folder, meta)
    assert sorted(ids) == list(range(len(table.fields[table.target].holds)))
    for column, holds in inputs.items():
        assert_holds(meta, x, column, holds[ids] if isinstance(holds, np.ndarray) else [holds[i] for i in ids])
    truth = table.fields[table.target].holds
    if meta.class_names:
        assert [meta.class_names[code] for code in y] == [truth[i] for i in ids]
    else:
        np.testing.assert_allclose(y, truth[ids])
    np.testing.assert_array_equal(as_new_rows(table, meta, params)[ids], x)


def assert_only_these_warnings(table: Table, meta: Meta) -> None:
    """Each is due, and each that is due is there; columns that are left out are named."""
    left = [column for column, each in table.fields.items() if column and each.holds is None]
    unknown = [s for s in meta.warnings if not any(all(word in s for word in words) for words in table.warned)]
    assert unknown == []
    absent = [words for words in table.warned if not any(all(w in s for w in words) for s in meta.warnings)]
    assert absent == [], meta.warnings
    assert [column for column in left if not any(repr(column) in s for s in meta.warnings)] == []


def kind(holds: Any) -> str:
    if isinstance(holds, list):
        return "categories"
    return "dates" if holds.dtype.kind == "M" else "numbers"


def stored(folder: Path, meta: Meta) -> tuple[Any, Any, Any]:
    splits = [load_split(folder, meta, name) for name in ("train", "val", "test")]
    return tuple(np.concatenate([getattr(split, part) for split in splits]) for part in ("x", "y", "ids"))


def assert_twins_stand_together(folder: Path, meta: Meta) -> None:
    splits = [{row.tobytes() for row in load_split(folder, meta, name).x} for name in ("train", "val", "test")]
    assert len(set.union(*splits)) == sum(map(len, splits))


def assert_holds(meta: Meta, x: Any, column: str, holds: Any) -> None:
    """What stands for a column in the arrays is what its cells mean."""
    what = kind(holds)
    if what == "numbers":
        values, fill = values_of(meta, x, column)
        np.testing.assert_allclose(values, np.where(np.isnan(holds), fill, holds), rtol=1e-6, err_msg=column)
    elif what == "dates":
        source = next(source for source in meta.sources if source.name == column)
        there = ~np.isnat(holds)
        dates = pd.DatetimeIndex(holds[there])
        truth = {"year": dates.year, "month": dates.month, "weekday": dates.day_of_week, "hour": dates.hour}
        truth["days"] = (dates - pd.Timestamp(source.origin)).total_seconds() / 86_400
        assert "days" in source.parts
        for part in source.parts:
            values, _ = values_of(meta, x, f"{column}.{part}")
            np.testing.assert_allclose(values[there], truth[part], rtol=1e-6, atol=1e-6, err_msg=f"{column}.{part}")
    else:
        texts = [MISSING if cell is None else cell for cell in holds]
        known = {category: code for code, category in enumerate(categories_of(meta, column))}
        codes = x[:, x.shape[1] - len(meta.category_counts) + category_names(meta).index(column)]
        assert [known.get(text, OTHER) for text in texts] == codes.tolist(), column


def values_of(meta: Meta, x: Any, name: str) -> tuple[Any, float]:
    index, column = next((i, column) for i, column in enumerate(meta.columns) if column.name == name)
    assert column.fill is not None
    return x[:, index], column.fill


def category_names(meta: Meta) -> list[str]:
    return [column.name for column in meta.columns if column.fill is None]


def categories_of(meta: Meta, name: str) -> tuple[str, ...]:
    return next(column.categories for column in meta.columns if column.name == name)


def as_new_rows(table: Table, meta: Meta, params: Params) -> Any:
    """The cells of the file, as a server gets them."""
    reading = describe_reading(params.data, meta)
    assert reading is not None
    frame = table.frame
    if frame is None:
        frame = pd.DataFrame({name: [cell.strip() for cell in each.cells] for name, each in table.fields.items()})
    return encode_table(meta, reading, as_arrow(frame), Path("rows"), 1, Summary())
