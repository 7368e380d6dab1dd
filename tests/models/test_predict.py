from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from wellfit.interruptions import deferred
from wellfit.models import predict as module
from wellfit.models.kept import Kept
from wellfit.models.packed import packed
from wellfit.models.predict import chunk_rows, predict, predict_own


@pytest.mark.parametrize("training", [True, False])
def test_predict_restores_the_mode_it_found(training: bool) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.9)).train(training)
    predict(model, lambda rows: rows, torch.randn(4, 3))
    assert [layer.training for layer in model.modules()] == [training] * 3


@pytest.mark.parametrize("chunk", [1, 7, 20, 100])
def test_predict_in_chunks_is_predict_at_once(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))
    x = torch.randn(20, 3)
    sizes: list[int] = []
    model.register_forward_hook(lambda layer, inputs, outputs: sizes.append(len(outputs)))
    outputs = predict(model, lambda rows: rows * 2, x)
    assert max(sizes) == min(chunk, 20)
    assert not outputs.requires_grad
    torch.testing.assert_close(outputs, model.eval()(x * 2), check_device=False)


@pytest.mark.parametrize("most", [1, 21, 60, 100])
def test_each_member_of_a_packed_network_sees_all_rows(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(module, "PACKED_CHUNK", most)
    singles = [nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)) for _ in range(3)]
    x, model = torch.randn(20, 2, 3), packed(singles)
    sizes: list[int] = []
    model.register_forward_hook(lambda layer, inputs, outputs: sizes.append(outputs.shape[1]))
    outputs = predict(model, lambda rows: rows * 2, x)
    assert max(sizes) == min(20, max(1, most // 3))
    assert outputs.shape == (3, 20, 2)
    for member, single in zip(outputs, singles, strict=True):
        torch.testing.assert_close(member, single.eval()(x * 2), check_device=False)
    assert all(layer.training for layer in model.modules())


@pytest.mark.parametrize("own", [False, True])
def test_a_pack_takes_no_more_bytes_of_rows_at_once_than_a_network(monkeypatch: pytest.MonkeyPatch, own: bool) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", 6 * 4 * 12)  # 12 rows of six numbers
    model = packed([nn.Sequential(nn.Flatten(), nn.Linear(6, 2)) for _ in range(3)])
    x = torch.randn(20, 2, 3)
    sizes: list[int] = []

    def encode(rows: Tensor) -> Tensor:
        sizes.append(len(rows))
        return x[rows] if own else rows

    outputs = predict_own(model, encode, torch.arange(20).expand(3, 20), (2, 3)) if own else predict(model, encode, x)
    assert sizes == ([12] * 5 if own else [12, 8])
    torch.testing.assert_close(outputs, model(x.expand(3, *x.shape)).detach(), check_device=False)


def test_outputs_of_chunks_do_not_split_the_memory_of_the_next_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 5)
    copies: list[Tensor] = []
    copy_of = Kept.copy_of
    monkeypatch.setattr(Kept, "copy_of", lambda self, x: (copies.append(copy_of(self, x)), copies[-1])[1])
    outputs = predict(nn.Linear(3, 2), lambda rows: rows, torch.randn(20, 3))
    assert torch.equal(torch.cat(copies), outputs)
    assert len({each.untyped_storage().data_ptr() for each in copies}) == 1


def test_an_interruption_waits_for_a_chunk_at_most(monkeypatch: pytest.MonkeyPatch, ctrl_c: Callable[[], None]) -> None:
    monkeypatch.setattr(module, "CHUNK", 5)
    begun: list[Tensor] = []

    def encode(rows: Tensor) -> Tensor:
        begun.append(rows)
        ctrl_c()
        return rows

    with pytest.raises(KeyboardInterrupt), deferred():
        predict(nn.Linear(3, 2), encode, torch.randn(20, 3))
    assert len(begun) == 1


def test_images_that_a_network_sees_enlarged_pass_it_in_smaller_chunks() -> None:
    assert chunk_rows((3, 32, 32)) == 1365
    assert chunk_rows((3, 32, 32), seen=3 * 224 * 224) == 27
