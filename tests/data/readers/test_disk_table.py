from pathlib import Path

import pyarrow as pa
import pytest

from wellfit.data.readers.disk_table import DiskTable, Parts


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def collected(tables: list[pa.Table], budget: int | None) -> pa.Table | DiskTable:
    parts = Parts(budget)
    for table in tables:
        parts.add(table)
    assert parts.n_rows == sum(map(len, tables))
    return parts.as_table([table.schema for table in tables])


def test_a_table_on_disk_has_the_columns_of_one_in_memory() -> None:
    tables = [
        pa.table({"text": ["a", None], "number": [1, 2], "kind": pa.array(["x", "y"]).dictionary_encode()}),
        pa.table({"text": ["b", "é\n"], "number": [3, None], "kind": pa.array(["z", "x"]).dictionary_encode()}),
        # Of another file.
        pa.table({"number": [0.5], "text": ["c"], "kind": pa.array([None], "string").dictionary_encode(), "more": [7]}),
    ]
    whole = collected(tables, None)
    assert isinstance(whole, pa.Table)
    # In memory at first, and then not, or never.
    for budget in (0, tables[0].nbytes, tables[0].nbytes + tables[1].nbytes):
        stored = collected(tables, budget)
        assert isinstance(stored, DiskTable)
        assert (stored.column_names, stored.num_rows) == (whole.column_names, whole.num_rows)
        for name in whole.column_names:
            assert stored.column(name).type == whole.column(name).type
            assert stored.column(name).to_pylist() == whole.column(name).to_pylist()
        assert stored.drop_columns(["number"]).column_names == ["text", "kind", "more"]
    assert isinstance(collected(tables, sum(table.nbytes for table in tables)), pa.Table)


def test_a_table_without_rows() -> None:
    stored = collected([pa.table({"a": pa.array([], pa.string())})], 0)
    assert (stored.num_rows, stored.column("a").to_pylist()) == (0, [])


@pytest.mark.parametrize("budget", [None, 0])
def test_types_with_nothing_in_common_are_refused(budget: int | None) -> None:
    with pytest.raises(pa.ArrowException):
        collected([pa.table({"a": ["text"]}), pa.table({"a": [[1]]})], budget)
