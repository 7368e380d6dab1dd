import errno
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from wellfit.models.inputs import inputs_of
from wellfit.settings.params import Params
from wellfit.training import batches as module
from wellfit.training.batches import Batch, Batches, kept_encoded, rows_of
from wellfit.training.setup import TrainingData, load_training_data

from ..conftest import resident

CPU = torch.device("cpu")
Load = Callable[..., tuple[Params, TrainingData]]
INDICES = torch.tensor([[3, 0, 7, 7, 11], [20, 1, 2, 3, 4]])


@pytest.fixture
def load(processed: Callable[..., Path], make_params: Callable[..., Params]) -> Load:
    """Params and the data they train on."""

    def run(kind: str, *overrides: str) -> tuple[Params, TrainingData]:
        params = make_params(kind, *overrides)
        return params, load_training_data(params, processed(kind, {}))

    return run


def batches_of(data: TrainingData, members: list[Params], *, packed: bool = True, augmented: bool = False) -> Batches:
    inputs = inputs_of(members[0].model, data.meta, CPU)
    rows = rows_of(data.train, inputs, encodes_once=packed and not augmented)
    batches = Batches(data.train, rows, inputs.shape, packed=packed)
    batches.change([], members, augmented=augmented)
    return batches


def assert_equal(one: Batch, other: Batch) -> None:
    for name, value in one._asdict().items():
        expected = getattr(other, name)
        assert torch.equal(value, expected) if isinstance(value, Tensor) else value == expected, name


@pytest.mark.parametrize("kind", ["table", "images"])
@pytest.mark.parametrize("part", [4, 1000])
@pytest.mark.parametrize("encodes_once", [False, True])
def test_rows_are_encoded_before_or_when_they_are_taken(
    load: Load, kind: str, part: int, encodes_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, data = load(kind)
    inputs = inputs_of(params.model, data.meta, CPU)
    monkeypatch.setattr(module, "PART_BYTES", part * 4 * math.prod(inputs.shape))
    sizes: list[int] = []
    encode = type(inputs).__call__
    monkeypatch.setattr(type(inputs), "__call__", lambda self, rows: (sizes.append(len(rows)), encode(self, rows))[1])
    rows = rows_of(data.train, inputs, encodes_once=encodes_once)
    assert sizes == ([min(part, 35 - start) for start in range(0, 35, part)] if encodes_once else [])
    assert (rows.x is data.train.x) == (not encodes_once)
    indices = INDICES.flatten()
    assert torch.equal(rows.encoded_at(indices), inputs(data.train.x[indices]))


@pytest.mark.parametrize("kind", ["table", "images"])
def test_a_part_of_rows_on_disk_is_not_held_once_it_is_encoded(
    processed: Callable[..., Path], make_params: Callable[..., Params], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("wellfit.training.setup.memory_budget", lambda memory, there: 100)
    params, folder = make_params(kind), processed(kind, {"val": 3000})
    data = load_training_data(params, folder)
    inputs = inputs_of(params.model, data.meta, CPU)
    rows = rows_of(data.val, inputs, encodes_once=True)
    for part in data.val.x.split(1000):
        assert torch.equal(rows.encoded(part), inputs(part))
        rows.encoded(part)
        assert resident(folder / "x_val.npy") == 0


@pytest.mark.parametrize("budget", [100, 10**9])
def test_rows_that_are_scored_in_each_epoch_are_encoded_once(
    processed: Callable[..., Path], make_params: Callable[..., Params], monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    monkeypatch.setattr("wellfit.training.setup.memory_budget", lambda memory, there: budget)
    monkeypatch.setattr(module, "ENCODED_BYTES", 0)
    monkeypatch.setattr(module, "PART_BYTES", 700)
    params, folder = make_params("table"), processed("table", {"val": 3000})
    data = load_training_data(params, folder)
    inputs = inputs_of(params.model, data.meta, CPU)
    rows = rows_of(data.val, inputs, encodes_once=True)
    expected = inputs(data.val.x)
    assert rows.x is data.val.x
    kept = kept_encoded(rows, inputs)
    if budget == 100:
        assert resident(folder / "x_val.npy") == 0
    assert kept.forget is not None
    assert kept_encoded(kept, inputs) is kept
    assert torch.equal(torch.cat([kept.encoded(part) for part in kept.x.split(1000)]), expected)
    monkeypatch.setattr("wellfit.data.scratch.ScratchFile", full_disk)
    assert kept_encoded(rows, inputs) is rows


def full_disk() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("kind", ["table", "images"])
def test_rows_that_grow_or_are_images_are_encoded_anew(load: Load, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENCODED_BYTES", 0)
    monkeypatch.setattr(module, "MOST_TIMES", 0.9 if kind == "table" else 5)
    params, data = load(kind)
    inputs = inputs_of(params.model, data.meta, CPU)
    rows = rows_of(data.val, inputs, encodes_once=True)
    assert kept_encoded(rows, inputs) is rows


def test_rows_that_would_take_too_many_bytes_are_not_encoded_at_once(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, data = load("table")  # 35 rows of 4 numbers of 4 bytes
    inputs = inputs_of(params.model, data.meta, CPU)
    for most, is_encoded in ((35 * 16, True), (35 * 16 - 1, False)):
        monkeypatch.setattr(module, "ENCODED_BYTES", most)
        assert (rows_of(data.train, inputs, encodes_once=True).x is not data.train.x) == is_encoded


@pytest.mark.parametrize(
    ("kind", "override"),
    [
        ("table", "regularize.mixup=0.4"),
        ("table", "regularize.input_noise=0.1"),
        ("images", "regularize.cutmix=1"),
        ("images", "data.augment=[{rotate: 10}]"),
    ],
)
def test_a_member_draws_among_others_what_it_draws_alone(load: Load, kind: str, override: str) -> None:
    params, data = load(kind, "model.name=mlp", override)
    members = [params.replace({"train.seed": seed}) for seed in range(3)]
    augmented = "augment" in override
    pack = batches_of(data, members[:2], augmented=augmented)
    pack.take(INDICES)
    pack.change([1], members[2:], augmented=augmented)
    taken = pack.take(INDICES)
    alone = [batches_of(data, [each], augmented=augmented) for each in members]
    alone[1].take(INDICES[1:])
    second, third = alone[1].take(INDICES[:1]), alone[2].take(INDICES[1:])
    for name, value in taken._asdict().items():
        if isinstance(value, Tensor):
            assert torch.equal(value, torch.cat([getattr(second, name), getattr(third, name)])), name
    assert len(taken.x) == 2
    assert not torch.equal(second.x, alone[0].take(INDICES[:1]).x)


def test_a_plain_network_has_no_dimension_of_members(load: Load) -> None:
    params, data = load("table", "regularize.mixup=0.4")
    plain = batches_of(data, [params], packed=False).take(INDICES[0])
    pack = batches_of(data, [params]).take(INDICES[:1])
    assert torch.equal(plain.x, pack.x[0])
    assert torch.equal(plain.targets, pack.targets[0])
    assert plain.partners is not None
    assert pack.partners is not None
    assert torch.equal(plain.partners, pack.partners[0])
    assert plain.shares == pytest.approx(float(torch.as_tensor(pack.shares)))


def test_random_numbers_go_on_where_they_were(load: Load) -> None:
    params, data = load("images", "regularize.mixup=0.4", "data.augment=[{rotate: 10}]", "model.name=mlp")
    first, second = (batches_of(data, [params], augmented=True) for _ in range(2))
    first.take(INDICES[:1])
    for each, other in zip(first.drawing(), second.drawing(), strict=True):
        other.load_state_dict(each.state_dict())
    assert_equal(first.take(INDICES[1:]), second.take(INDICES[1:]))
