"""Members of a pack that validate different folds are what they would be alone, and on data without the others."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from wellfit.data.store import load_meta, save_meta, save_split
from wellfit.errors import WellfitError
from wellfit.settings.params import Params
from wellfit.training.folds import Folds
from wellfit.training.loop import BatchOrder
from wellfit.training.setup import TrainingData, begin, load_training_data
from wellfit.training.tensors import Tensors

from .conftest import describe, rows_of
from .test_learner_pack import BASE, alone, assert_same, train

Make = Callable[..., Params]
CPU = torch.device("cpu")
SIZES = {"train": 41, "val": 20, "test": 10}
FOLDS = [1, 2]  # of the training rows, in turn: 21 and 20
BY_TIME = [-1, -1, 2, 2, 1]


def write(folder: Path, kind: str = "table", of_train: Sequence[int] = FOLDS, *, weighted: bool = False) -> Path:
    """A processed data set in three folds."""
    random = np.random.default_rng(0)
    splits = {name: rows_of(kind, n, random) for name, n in SIZES.items()}
    if weighted:
        splits = {
            name: split._replace(weights=random.integers(0, 3, len(split.y)).astype(np.float32))
            for name, split in splits.items()
        }
    if kind == "regression":  # a score that is left out where a target is below 0 is left out for a whole pack
        splits = {name: split._replace(y=split.y + 200) for name, split in splits.items()}
    fold = np.resize(of_train, SIZES["train"]).astype(np.int64)
    splits["train"] = splits["train"]._replace(folds=fold)
    folder.mkdir()
    manifest: dict[str, str] = {}
    for name, split in splits.items():
        if kind == "table":  # a column without variation would leave gradients that are nothing but rounding
            split.x[:, 1] = 7 + random.normal(size=len(split.y))
        manifest |= save_split(folder, name, split)  # type: ignore[arg-type]
    save_meta(folder, describe(kind, splits, manifest))
    return folder


@pytest.fixture
def params(make_params: Make) -> Params:
    return make_params("table", "data.folds=3").replace(BASE)


def numbers(*values: int) -> Tensors:
    return Tensors(torch.tensor(values, dtype=torch.float32)[:, None], torch.tensor(values))


def folds_of(*fold: int) -> Folds:
    return Folds(numbers(*range(len(fold))), torch.tensor(fold))


def trained(folds: Folds, fold: int) -> list[int]:
    return folds.trains(fold).nonzero().flatten().tolist()


def test_a_fold_is_trained_on_the_others_or_by_time_on_older_rows() -> None:
    folds = folds_of(1, 2, 2, 1, 0, 0)
    assert folds.n_folds == 3
    assert [trained(folds, k) for k in range(3)] == [[0, 1, 2, 3], [1, 2, 4, 5], [0, 3, 4, 5]]
    assert [folds.validation(k).tolist() for k in range(3)] == [[4, 5], [0, 3], [1, 2]]
    folds = folds_of(2, -1, 1, -1, 0, 0)
    assert [trained(folds, k) for k in range(3)] == [[0, 1, 2, 3], [0, 1, 3], [1, 3]]
    assert folds.validated(0).x[:, 0].tolist() == [4, 5]


def test_shorter_folds_are_filled_with_rows_of_weight_zero() -> None:
    folds = folds_of(1, 2, 2, 0, 0)
    rows, weights = folds.validated_by([2, 1, 2])
    assert rows.tolist() == [[1, 2], [0, 0], [1, 2]]
    assert weights is not None
    assert weights.tolist() == [[1, 1], [1, 0], [1, 1]]
    assert folds.validated_by([0, 2])[1] is None
    weighted = folds._replace(pool=folds.pool._replace(weights=torch.tensor([5.0, 1, 2, 3, 4])))
    assert weighted.validated_by([2, 1])[1].tolist() == [[1, 2], [5, 0]]  # type: ignore[union-attr]


def test_an_epoch_has_as_many_rows_in_each_fold() -> None:
    folds = folds_of(1, 1, 1, 2, 2, 0, 0)  # trained on 5, 4 and 5 rows
    order = BatchOrder(5, 3, [7, 7, 7], CPU, folds, [0, 1, 2])
    rows = torch.cat(list(order.epoch(np.array([1, 1, 1]))), dim=1)
    assert rows[0].tolist() == torch.cat(list(BatchOrder(5, 3, [7], CPU).epoch(np.array([1]))), dim=1)[0].tolist()
    assert sorted(rows[0].tolist()) == [0, 1, 2, 3, 4]
    assert sorted(rows[1, :4].tolist()) == [3, 4, 5, 6]
    assert rows[1, 4] in [3, 4, 5, 6]
    assert sorted(rows[2].tolist()) == [0, 1, 2, 5, 6]
    shorter = BatchOrder(4, 4, [7], CPU, folds, [2])
    seen = [set(next(shorter.epoch(np.array([epoch])))[0].tolist()) for epoch in range(1, 9)]
    assert {len(each) for each in seen} == {4}
    assert set().union(*seen) == {0, 1, 2, 5, 6}
    order.change([2, 0], [7], [1])
    changed = torch.cat(list(order.epoch(np.array([1, 1, 1]))), dim=1)
    assert changed.tolist() == rows[[2, 0, 1]].tolist()


@pytest.mark.parametrize(
    ("kind", "of_train", "weighted"),
    [("table", FOLDS, False), ("regression", FOLDS, True), ("table", BY_TIME, False), ("images", FOLDS, False)],
)
def test_a_pack_of_different_folds_equals_single_runs(
    make_params: Make, tmp_path: Path, kind: str, of_train: Sequence[int], weighted: bool
) -> None:
    params = make_params(kind, "data.folds=3").replace(BASE | {"model.dropout": 0.3, "train.patience": 2})
    data = load_training_data(params, write(tmp_path / "data", kind, of_train, weighted=weighted))
    changes = [{"train.fold": fold, "train.seed": seed} for fold, seed in ((2, 0), (0, 0), (1, 0), (1, 5))]
    members = [params.replace(each) for each in changes]
    traces = train(begin(members, data, packed=True), members)
    for trace in traces:
        assert_same(trace, alone(trace.params, data))
    assert len({trace.best for trace in traces}) == 4


def test_members_of_other_folds_join(params: Params, tmp_path: Path) -> None:
    data = load_training_data(params, write(tmp_path / "data"))
    members = [params.replace({"train.fold": fold}) for fold in (0, 1)]
    joining = [params.replace({"train.fold": 2, "optim.lr": 0.02})]
    traces = train(begin(members, data, packed=True), members, {1: lambda _: ([1], joining)})
    for trace in traces[1:]:
        assert_same(trace, alone(trace.params, data))


@pytest.mark.parametrize("packed", [False, True])
def test_a_model_never_sees_the_rows_that_it_validates(params: Params, tmp_path: Path, packed: bool) -> None:
    """It is what it would be of data that hold the rows of the other folds alone."""
    data = load_training_data(params, write(tmp_path / "data", of_train=[1, 2, 1]))
    assert data.folds is not None
    pool, one = data.folds.pool, data.folds.fold == 1
    own = [params.replace({"train.fold": 1})]
    (trace,) = train(begin(own, data, packed=packed), own)
    spoilt = pool._replace(x=torch.where(one[:, None], 1e6, pool.x))
    (other,) = train(begin(own, data._replace(folds=data.folds._replace(pool=spoilt)), packed=packed), own)
    for before, after in zip(trace.weights, other.weights, strict=True):
        assert all(torch.equal(before[name], after[name]) for name in before)
    assert [epoch["val/loss"] for epoch in trace.metrics] != [epoch["val/loss"] for epoch in other.metrics]


def test_fold_0_is_what_it_is_without_folds(params: Params, tmp_path: Path) -> None:
    folder = write(tmp_path / "data")
    found = alone(params, load_training_data(params, folder))
    meta = load_meta(folder)
    manifest = {file: sha for file, sha in meta.manifest.items() if not file.startswith("fold")}
    save_meta(folder, meta.model_copy(update={"manifest": manifest}))
    plain = params.replace({"data.folds": None})
    expected = alone(plain, load_training_data(plain, folder))
    assert found.metrics == expected.metrics
    assert all(torch.equal(found.weights[-1][name], each) for name, each in expected.weights[-1].items())


@pytest.fixture
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wellfit.training.stream.BLOCK_BYTES", 50)  # 3 rows
    monkeypatch.setattr("wellfit.training.batches.ENCODED_BYTES", 0)


def with_budget(params: Params, folder: Path, monkeypatch: pytest.MonkeyPatch, share: float) -> TrainingData:
    """The data with a part of their bytes as the budget."""
    size = sum((folder / f"x_{split}.npy").stat().st_size - 128 for split in ("train", "val"))
    monkeypatch.setattr("wellfit.training.setup.memory_budget", lambda memory, there: int(share * size))
    return load_training_data(params, folder)


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("of_train", [FOLDS, BY_TIME])
@pytest.mark.parametrize("share", [0.99, 0.5, 0.01])
def test_folds_on_disk_are_those_in_memory(
    params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_train: Sequence[int], share: float
) -> None:
    folder = write(tmp_path / "data", of_train=of_train, weighted=True)
    in_memory = with_budget(params, folder, monkeypatch, 1).folds
    on_disk = with_budget(params, folder, monkeypatch, share).folds
    assert in_memory is not None
    assert on_disk is not None
    assert in_memory.pool.stream is None
    assert on_disk.pool.stream is not None
    assert len(on_disk.pool.stream.windows) == (21 if share == 0.01 else math.ceil(2 / share))
    for fold in range(3):
        validated = [each.validated(fold) for each in (in_memory, on_disk)]
        learned = [[part[each.trains(fold)] for part in each.pool[:3]] for each in (in_memory, on_disk)]  # type: ignore
        for ours, theirs in (validated, learned):
            rows = [
                sorted(map(tuple, torch.cat([each[0], each[1][:, None], each[2][:, None]], dim=1).tolist()))
                for each in (ours, theirs)
            ]
            assert rows[0] == rows[1]


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("of_train", [FOLDS, BY_TIME])
@pytest.mark.parametrize("share", [0.99, 0.5, 0.01])
def test_a_window_has_rows_of_each_member(
    params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_train: Sequence[int], share: float
) -> None:
    data = with_budget(params, write(tmp_path / "data", of_train=of_train), monkeypatch, share)
    folds, stream = data.folds, data.train.stream
    assert folds is not None
    assert stream is not None
    order = BatchOrder(41, 8, [7, 7, 7], CPU, folds, [0, 1, 2], stream=stream)
    steps = list(order.epoch(np.array([1, 1, 1])))
    assert [each.shape[1] for each in steps] == order.sizes
    rows = torch.cat(steps, dim=1)
    assert rows[0].sort().values.tolist() == list(range(41))
    start = 0
    for window in stream.windows:
        end = start + int(folds.trains(0)[window].sum())
        for fold in range(3):
            seen, own = set(rows[fold, start:end].tolist()), set(window[folds.trains(fold)[window]].tolist())
            assert len(seen) == min(len(own) or end, end - start)
            assert seen <= (own or set(trained(folds, fold)))
        start = end


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize(("kind", "packed"), [("table", True), ("table", False), ("regression", True)])
def test_folds_on_disk_train_as_those_in_memory(
    make_params: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, packed: bool
) -> None:
    params = make_params(kind, "data.folds=3").replace(BASE)
    on_disk = with_budget(params, write(tmp_path / "data", kind, weighted=True), monkeypatch, 0.5)
    folds, n = on_disk.folds, len(on_disk.train.y)
    assert folds is not None
    pool = folds.pool._replace(x=folds.pool.x.clone(), stream=None)
    in_memory = on_disk._replace(train=pool.between(0, n), val=pool.between(n), folds=folds._replace(pool=pool))
    members = [params.replace({"train.fold": fold}) for fold in ([0, 1, 2] if packed else [2])]
    order = begin(members, on_disk, packed=packed).order
    found = []
    for data in (on_disk, in_memory):
        training = begin(members, data, packed=packed)
        training.order = order  # else it would be another in memory
        found.append(train(training, members))
    for ours, theirs in zip(*found, strict=True):
        assert ours.metrics == theirs.metrics
        for mine, other in zip(ours.weights, theirs.weights, strict=True):
            assert all(torch.equal(mine[name], other[name]) for name in mine)


def test_the_loss_is_that_of_the_rows_of_the_fold(params: Params, tmp_path: Path) -> None:
    data = load_training_data(params, write(tmp_path / "data"))
    assert data.folds is not None
    members = [params.replace({"train.fold": fold}) for fold in (1, 2)]
    training = begin(members, data, packed=True)
    epoch = next(training.epochs)
    for k, fold in enumerate((1, 2)):
        rows = data.folds.validated(fold)
        assert len(rows.y) == 22 - fold
        training.learner.model.eval()
        with torch.no_grad():
            x = training.learner.inputs(rows.x)
            logits = training.learner.model(x.expand(2, *x.shape))[k]
        expected = log_loss(rows.y, logits.double().softmax(1), labels=[0, 1, 2])
        assert epoch.metrics["val/loss"][k] == pytest.approx(expected, rel=1e-4)


def test_folds_train_in_bf16_much_as_in_fp32(params: Params, tmp_path: Path) -> None:
    data = load_training_data(params, write(tmp_path / "data"))
    losses = []
    for precision in ("fp32", "bf16"):
        members = [params.replace({"train.fold": fold, "train.precision": precision}) for fold in (0, 1, 2)]
        losses.append(next(begin(members, data, packed=True).epochs).metrics["val/loss"])
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert not np.array_equal(*losses)


def test_data_prepared_with_another_number_of_folds_are_refused(params: Params, tmp_path: Path) -> None:
    folder = write(tmp_path / "data")
    for folds in (None, 5):
        with pytest.raises(WellfitError, match=r"prepared with data\.folds 3, which is (null|5) now: run `dvc repro"):
            load_training_data(params.replace({"data.folds": folds}), folder)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("train.fold=3", "train.fold must be 0 to data.folds - 1, and 0 where that is null, got 3"),
        ("model.name=cnn", "as one pack, which model.name cnn does not"),
        ("train.compile=true", "data.folds needs train.compile false, got True"),
    ],
)
def test_what_folds_do_not_go_with_is_refused(make_params: Make, change: str, text: str) -> None:
    with pytest.raises(WellfitError, match=text):
        make_params("images", "data.folds=3", change)
