from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wellfit.data.frame import DiskFrame, chosen_rows, frame_blocks, frame_of, without

N = 50


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("wellfit.data.frame.BLOCK_BYTES", 10 * 8 * 3)


@pytest.fixture
def table() -> pd.DataFrame:
    colours = pd.Categorical.from_codes(np.arange(N) % 4 - 1, categories=["red", "green", "blue"])
    return pd.DataFrame({"a": np.arange(N) / 7, "colour": colours, "b": np.where(np.arange(N) % 5, 1.5, np.nan)})


@pytest.fixture
def stored(table: pd.DataFrame) -> DiskFrame:
    frame = frame_of(((name, table[name]) for name in table.columns), N, 3, 8 * 3 * N - 1)
    assert isinstance(frame, DiskFrame)
    return frame


def test_a_small_table_stays_in_memory(table: pd.DataFrame) -> None:
    frame = frame_of(((name, table[name]) for name in table.columns), N, 3, 8 * 3 * N)
    assert isinstance(frame, pd.DataFrame)
    pd.testing.assert_frame_equal(frame, table)


def test_columns_are_those_that_were_stored(table: pd.DataFrame, stored: DiskFrame) -> None:
    assert (stored.columns, len(stored)) == (list(table.columns), N)
    for name in table.columns:
        pd.testing.assert_series_equal(stored[name], table[name])
    rows = np.array([3, 4, 17, 49])
    chosen, expected = chosen_rows(stored, rows), chosen_rows(table, rows)
    assert list(chosen.columns) == list(expected.columns)
    for name in table.columns:
        pd.testing.assert_series_equal(chosen[name], expected[name])


def test_blocks_are_all_rows(table: pd.DataFrame, stored: DiskFrame) -> None:
    blocks = list(frame_blocks(stored))
    assert [len(block) for block in blocks] == [10] * 5
    pd.testing.assert_frame_equal(pd.concat(blocks), table)
    assert [block is table for block in frame_blocks(table)] == [True]


def test_columns_are_left_out_and_added(table: pd.DataFrame, stored: DiskFrame) -> None:
    fewer = without(stored, ["colour"])
    assert isinstance(fewer, DiskFrame)
    fewer.add("c", table["a"].to_numpy()[::-1])
    assert (list(fewer.columns), list(stored.columns)) == (["a", "b", "c"], list(table.columns))
    pd.testing.assert_series_equal(fewer["c"], pd.Series(table["a"].to_numpy()[::-1], name="c"))
    pd.testing.assert_series_equal(stored["b"], table["b"])
    assert list(without(table, ["a", "b"]).columns) == ["colour"]
