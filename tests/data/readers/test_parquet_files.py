from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wellfit.data.readers import parquet_files
from wellfit.data.readers.parquet_files import find_columns, parquet_parts
from wellfit.errors import WellfitError


def read(path: Path) -> pa.Table:
    return pa.concat_tables(parquet_parts(path, find_columns(path)))


def test_a_parquet_file_keeps_its_types(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    frame = pd.DataFrame({"n": [1, 2], "x": [0.5, None], "s": ["a", None], "d": pd.to_datetime(["2024-01-01"] * 2)})
    frame.to_parquet(path)
    assert read(path).to_pandas().equals(frame)


def test_a_damaged_parquet_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": list(range(1000))}), path)
    whole = path.read_bytes()
    for body in (b"", whole[: len(whole) // 2], b"a,b\n1,2\n", whole[:-8] + b"\xff\xff\xff\x7fPAR1"):
        path.write_bytes(body)
        fault = (
            "a whole Parquet file: " if body.startswith(b"PAR1") else "a Parquet file; set data.name to csv, if it is"
        )
        with pytest.raises(WellfitError, match=rf"t\.parquet is not {fault}") as raised:
            read(path)
        assert "\n" not in str(raised.value)


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    pq.write_table(pa.table([[1], [2]], names=["a", "a"]), tmp_path / "t.parquet")
    with pytest.raises(WellfitError, match="two columns are named 'a'"):
        find_columns(tmp_path / "t.parquet")


def test_levels_of_the_index_are_known_and_those_without_a_name_are_no_columns(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    frame = pd.DataFrame({"a": [1, 2], "b": [3, 4], "c": [5, 6]})
    for table, expected in [
        (frame, (("a", "b", "c"), (), ())),
        (frame.iloc[[1, 0]], (("a", "b", "c"), (), ())),
        (frame.set_index(["a", "b"]), (("c", "a", "b"), ("a", "b"), ())),
        (frame.set_index(pd.Index(["x", "y"])), (("a", "b", "c"), (), ())),
    ]:
        table.to_parquet(path)
        assert find_columns(path) == expected
        assert read(path).column_names == list(expected[0])


def test_what_pandas_declared_as_categories_stays_so_whatever_its_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_files, "PART_ROWS", 4)
    path = tmp_path / "t.parquet"
    frame = pd.DataFrame({"code": [3, 1, 3, 2, None, 1], "grade": list("abcabc"), "n": np.arange(6)})
    frame = frame.astype({"code": "category", "grade": "category"})
    frame.to_parquet(path)
    assert find_columns(path).categories == ("code", "grade")
    table = read(path)
    assert [pa.types.is_dictionary(field.type) for field in table.schema] == [True, True, False]
    assert table.column("code").to_pylist() == [3, 1, 3, 2, None, 1]
