from pathlib import Path

import numpy as np
import pytest
import torch

from wellfit.data.store import load_array, save_array
from wellfit.training import stream as module
from wellfit.training.loop import BatchOrder
from wellfit.training.stream import Stream, as_tensor

from ..conftest import resident

CPU = torch.device("cpu")


@pytest.fixture
def rows(tmp_path: Path) -> np.ndarray:
    save_array(tmp_path / "x.npy", np.arange(3000, dtype=np.float32).reshape(1000, 3))
    return load_array(tmp_path / "x.npy")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", 7 * 12)  # 7 rows


def test_rows_are_those_of_the_file_and_no_copy_of_them(rows: np.ndarray) -> None:
    x = Stream(rows, 4000).x
    assert x.data_ptr() == rows.ctypes.data
    assert torch.equal(x, torch.from_numpy(np.array(rows)))


@pytest.mark.parametrize(("budget", "windows"), [(24_000, 1), (23_999, 2), (8_000, 3), (2_400, 10), (1, 143)])
def test_two_windows_fit_into_the_budget(rows: np.ndarray, budget: int, windows: int) -> None:
    found = Stream(rows, budget).windows
    assert len(found) == windows
    assert torch.equal(torch.cat(found).sort().values, torch.arange(1000))
    sizes = [len(each) for each in found]
    assert max(sizes) - min(sizes) <= 7 + 6  # a block, and the last one may be short


def test_a_window_has_whole_blocks_from_everywhere(rows: np.ndarray) -> None:
    for window in Stream(rows, 6_000).windows:
        assert window.diff().min() > 0
        steps = window.diff()
        assert (steps == 1).double().mean() == pytest.approx(6 / 7, abs=0.1)
        assert window.double().mean() == pytest.approx(500, abs=120)
        assert window.min() < 150
        assert window.max() > 850


def test_a_window_gets_its_share_of_each_stratum(rows: np.ndarray) -> None:
    strata = np.repeat([2, -1, 0], [500, 300, 200])
    stream = Stream(rows, 6_000, strata)
    assert torch.equal(torch.cat(stream.windows).sort().values, torch.arange(1000))
    for window in stream.windows:
        counts = [(strata[window] == each).sum() for each in (2, -1, 0)]
        assert counts == pytest.approx([125, 75, 50], abs=2 * 7)


@pytest.mark.parametrize("batch", [1, 32, 33, 999, 5000])
def test_an_epoch_has_each_row_once_window_by_window(rows: np.ndarray, batch: int) -> None:
    stream = Stream(rows, 6_000)
    order = BatchOrder(1000, batch, [3, 4], CPU, stream=stream)
    epochs = [list(order.epoch(np.array([1, 2]))) for _ in range(2)]
    in_memory = list(BatchOrder(1000, batch, [3, 4], CPU).epoch(np.array([1, 2])))
    assert [each.shape for each in epochs[0]] == [each.shape for each in in_memory]
    first, again = (torch.cat(each, dim=1) for each in epochs)
    assert torch.equal(first, again)
    start = 0
    for window in stream.windows:
        part = first[:, start : start + len(window)]
        assert torch.equal(part.sort(1).values, window.expand(2, -1))
        assert not torch.equal(part[0], part[1])  # each member shuffles for itself
        assert not torch.equal(part[0], window)
        start += len(window)
    other = torch.cat(list(order.epoch(np.array([2, 2]))), dim=1)
    assert torch.equal(other[1], first[1])
    assert not torch.equal(other[0], first[0])


def test_a_member_sees_its_rows_in_the_same_order_in_any_pack(rows: np.ndarray) -> None:
    stream = Stream(rows, 6_000)
    alone = torch.cat(list(BatchOrder(1000, 64, [7], CPU, stream=stream).epoch(np.array([5]))), dim=1)
    pack = torch.cat(list(BatchOrder(1000, 64, [1, 7], CPU, stream=stream).epoch(np.array([9, 5]))), dim=1)
    assert torch.equal(pack[1], alone[0])


def test_the_system_is_told_what_is_needed_and_what_is_not(rows: np.ndarray) -> None:
    told: list[int | str] = []
    stream = Stream(rows, 6_000)
    stream._read = lambda window: told.append(window)  # type: ignore
    stream.forget = lambda: told.append("done")  # type: ignore
    list(BatchOrder(1000, 64, [7], CPU, stream=stream).epoch(np.array([1])))
    assert told == ["done", 1, "done", 2, "done", 3, "done", 0]


def test_no_window_is_held_when_another_one_begins(tmp_path: Path) -> None:
    save_array(tmp_path / "x.npy", np.arange(2**18, dtype=np.float32).reshape(256, 1024))  # a row is a page
    stream = Stream(load_array(tmp_path / "x.npy"), 2**19)
    assert len(stream.windows) == 4
    for window in range(len(stream.windows)):
        stream.enter(window)
        assert resident(tmp_path / "x.npy") == 0
        read = stream.x.index_select(0, stream.windows[window])
        assert torch.equal(read[:, 0], 1024 * stream.windows[window].float())
        assert resident(tmp_path / "x.npy") > 0


def test_a_tensor_of_a_file_says_nothing(rows: np.ndarray, recwarn: pytest.WarningsRecorder) -> None:
    assert as_tensor(rows).shape == (1000, 3)
    assert not recwarn.list
