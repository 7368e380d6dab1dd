import errno
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from wellfit.data import scratch as module
from wellfit.data.scratch import (
    ScratchFile,
    chosen_blocks,
    copied,
    each_column,
    empty_array,
    forget,
    joined,
    memory_budget,
    row_blocks,
    taken,
)

from ..conftest import resident


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(module, "BLOCK_BYTES", 100)
    monkeypatch.setattr(module, "GROUP_BYTES", 500)
    monkeypatch.setattr(module, "SCATTERED", 4)


@pytest.fixture(params=["in memory", "on disk"])
def rows(request: pytest.FixtureRequest) -> np.ndarray:
    """60 rows of 3 columns; two blocks hold fewer."""
    made = empty_array((60, 3), np.float32, 10_000 if request.param == "in memory" else 719)
    assert isinstance(made, np.memmap) == (request.param == "on disk")
    made[:] = np.arange(180).reshape(60, 3)
    return made


def test_a_budget_is_in_gib_or_a_third_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "memory_bytes", lambda: 6 * 2**30)
    assert memory_budget("auto") == 2 * 2**30
    assert memory_budget(0.5) == 2**29
    assert memory_budget("auto", 9 * 2**30) == 3 * 2**30  # of a GPU


@pytest.mark.parametrize("budget", [720, 719])
def test_blocks_are_joined_in_memory_or_on_disk(rows: np.ndarray, budget: int) -> None:
    order = np.arange(60)[::-1]
    found = joined(chosen_blocks(rows, order), rows, 60, budget)
    assert isinstance(found, np.memmap) == (budget == 719)
    np.testing.assert_array_equal(found, np.asarray(rows)[order])


def test_a_copy_does_not_hold_the_file_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", 8192)
    file = tmp_path / "x.npy"
    np.save(file, np.arange(60_000).reshape(20_000, 3))
    rows = np.load(file, mmap_mode="r")
    found = copied(rows)
    assert resident(file) == 0
    np.testing.assert_array_equal(found, rows)
    assert resident(file) > 0
    assert type(found) is np.ndarray
    assert found.flags.writeable


def test_a_scratch_file_has_no_name() -> None:
    file = ScratchFile()
    places = [file.append(text) for text in (b"some", b"more")]
    assert [bytes(file.read(place, np.dtype(np.uint8), 4)) for place in places] == [b"some", b"more"]
    assert not list(Path(".wellfit").iterdir())


def test_parts_are_all_rows(rows: np.ndarray) -> None:
    whole = np.arange(180, dtype=np.float32).reshape(60, 3)
    parts = [part.copy() for part in row_blocks(rows)]
    assert [len(part) for part in parts] == [8] * 7 + [4]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    chosen = np.array([59, 3, 3, *range(20, 40)])
    np.testing.assert_array_equal(np.concatenate(list(chosen_blocks(rows, chosen))), whole[chosen])
    np.testing.assert_array_equal(taken(rows, chosen), whole[chosen])
    columns = list(each_column(rows))
    np.testing.assert_array_equal(columns, whole.T)
    assert all(column.flags.c_contiguous for column in columns)
    np.testing.assert_array_equal(list(each_column(rows[:, 1:])), whole.T[1:])
    np.testing.assert_array_equal(list(each_column(rows, lambda some: some[:, :1] > 9)), whole.T[:1] > 9)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_is_behind_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[2]) * os.sysconf("SC_PAGE_SIZE")  # of files

    monkeypatch.setattr(module, "BLOCK_BYTES", 2**20)
    rows, before, most = empty_array((2**15, 256), np.float32, 0), resident(), 0
    for block in row_blocks(rows):
        block[:] = 1
        most = max(most, resident())
    assert most - before < 2**22 < rows.nbytes == 2**25
    assert (rows == 1).all()
    assert resident() - before > 2**24
    forget(rows)
    assert resident() - before < 2**22


def test_a_full_disk_is_an_error_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match="No space left"):
        empty_array((60, 3), np.float32, 0)
