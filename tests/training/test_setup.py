import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wellfit.data import store
from wellfit.data.settings import own_settings
from wellfit.errors import WellfitError
from wellfit.settings.params import Params, load_params
from wellfit.training import setup as module
from wellfit.training.loop import BatchOrder
from wellfit.training.schedule import lr_table
from wellfit.training.setup import begin, check_can_train, load_training_data, steps_per_epoch

from ..conftest import PLAIN, peak
from .conftest import SHIPPED, SMALL, describe

Processed = Callable[..., Path]
MakeParams = Callable[..., Params]


@pytest.mark.parametrize("kind", ["table", "regression", "images"])
def test_training_opens_the_training_and_validation_rows_alone(
    processed: Processed, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    folder = processed(kind)
    asked: list[str] = []
    opened: list[str] = []
    load_split, np_load = store.load_split, np.load

    def split(folder: Path, meta: store.Meta, name: Any) -> store.Split:
        asked.append(name)
        return load_split(folder, meta, name)

    def load(file: Path, *args: Any, **options: Any) -> Any:
        opened.append(file.name)
        return np_load(file, *args, **options)

    monkeypatch.setattr(module, "load_split", split)
    monkeypatch.setattr(np, "load", load)
    for file in folder.glob("*_test.npy"):
        file.unlink()  # what is not there cannot be read
    params = make_params(kind)
    data = load_training_data(params, folder)
    list(begin([params], data, packed=False).epochs)
    assert asked == ["train", "val"]
    assert not [name for name in opened if "test" in name]


def test_rows_are_those_of_the_splits(processed: Processed, make_params: MakeParams) -> None:
    folder = processed("table")
    data = load_training_data(make_params("table"), folder)
    assert data.meta == store.load_meta(folder)
    assert (data.train.x.shape, data.val.x.shape) == ((35, 4), (20, 4))
    for tensors, name in ((data.train, "train"), (data.val, "val")):
        assert tensors.y.tolist() == np.load(folder / f"y_{name}.npy").tolist()


@pytest.mark.parametrize(("kind", "members"), [("table", 1), ("table", 3), ("regression", 2), ("images", 1)])
def test_rows_on_disk_train_as_those_in_memory(
    processed: Processed, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch, kind: str, members: int
) -> None:
    monkeypatch.setattr("wellfit.training.stream.BLOCK_BYTES", 50)
    monkeypatch.setattr("wellfit.training.batches.ENCODED_BYTES", 0)
    params, folder = make_params(kind), processed(kind, {"train": 90, "val": 30})
    configs = [params.replace({"train.seed": seed}) for seed in range(members)]
    in_memory = load_training_data(params, folder)
    monkeypatch.setattr(module, "memory_budget", lambda memory, there: in_memory.val.x.nbytes // 2)
    on_disk = load_training_data(params, folder)
    assert (in_memory.train.stream, in_memory.val.stream) == (None, None)
    assert on_disk.train.stream is not None
    assert on_disk.val.stream is not None
    found, order = [], begin(configs, on_disk, packed=members > 1).order
    for data in (on_disk, in_memory):
        training = begin(configs, data, packed=members > 1)
        training.order = order  # else it would be another in memory
        epochs = [epoch.metrics for epoch in training.epochs]
        found.append((epochs, [training.learner.weights(k) for k in range(members)]))
    for (ours, weights), (theirs, others) in [found]:
        for mine, other in zip(ours, theirs, strict=True):
            for name in mine.keys() - {"seconds", "samples_per_second"}:
                np.testing.assert_array_equal(mine[name], other[name])
        for mine, other in zip(weights, others, strict=True):
            assert all(torch.equal(mine[name], other[name]) for name in mine)


TRAIN = """
import json, sys
from pathlib import Path
from wellfit.settings.params import load_params
from wellfit.training.setup import begin, load_training_data
shipped, folder, settings = json.loads(sys.argv[1])
params = load_params(Path(shipped), settings)
members = [params.replace({"train.fold": fold}) for fold in range(params.data.folds or 1)]
list(begin(members, load_training_data(params, Path(folder)), packed=True).epochs)
"""


@pytest.mark.slow
@pytest.mark.parametrize("folds", [None, 3])
def test_images_that_memory_does_not_hold_are_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folds: int | None
) -> None:
    """20,000 and 8,000 images of 3 x 64 x 64: 344 MB."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    splits = {}
    for split, n in (("train", 20_000), ("val", 8_000)):
        x = random.integers(0, 256, (n, 3, 64, 64), dtype=np.uint8)
        fold = np.arange(n) % 2 + 1 if folds and split == "train" else None
        splits[split] = store.Split(x, np.arange(n) % 3, np.arange(n), None, fold)
    manifest: dict[str, str] = {}
    for split, rows in splits.items():
        manifest |= store.save_split(tmp_path, split, rows)  # type: ignore[arg-type]
    few = {split: rows._replace(x=rows.x[:100]) for split, rows in splits.items()}
    store.save_meta(tmp_path, describe("images", few, manifest))
    settings = ["data.name=digits", "model.name=linear", "train.epochs=1", "train.batch_size=200"]
    settings = [*PLAIN, *SMALL, *settings, f"data.folds={folds or 'null'}"]
    peaks = [
        peak(TRAIN, json.dumps([str(SHIPPED), str(tmp_path), [*settings, f"data.memory={memory}"]]))
        for memory in (0.02, 100.0)
    ]
    assert peaks[0] < peaks[1] - (200_000 if folds else 100_000)


def test_missing_data_is_one_line(tmp_path: Path, make_params: MakeParams) -> None:
    with pytest.raises(WellfitError, match=r"meta\.json not found; `dvc repro preprocess` makes it"):
        load_training_data(make_params(), tmp_path)


def test_damaged_data_is_one_line(processed: Processed, make_params: MakeParams) -> None:
    folder = processed("table")
    path = folder / "x_val.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(WellfitError, match=r"x_val\.npy is not the file that meta\.json describes"):
        load_training_data(make_params("table"), folder)


def test_a_device_that_is_not_there_is_one_line(
    processed: Processed, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(WellfitError, match=r"^train\.device cuda is not available"):
        load_training_data(make_params("table", "train.device=cuda"), processed("table"))


@pytest.mark.parametrize(("rows", "batch_size"), [(35, 8), (33, 8), (35, 100), (35, 5)])
def test_steps_per_epoch_are_those_of_the_order(
    processed: Processed, make_params: MakeParams, rows: int, batch_size: int
) -> None:
    params = make_params("table", f"train.batch_size={batch_size}")
    data = load_training_data(params, processed("table", {"train": rows}))
    order = BatchOrder(rows, batch_size, [0], torch.device("cpu"))
    assert steps_per_epoch(params, data) == len(list(order.epoch(np.array([1]))))


def test_nothing_is_trained_before_the_epochs_are_asked_for(processed: Processed, make_params: MakeParams) -> None:
    params = make_params("table")
    training = begin([params], load_training_data(params, processed("table")), packed=False)
    before = training.learner.weights(0)
    assert all(torch.equal(before[name], tensor) for name, tensor in training.learner.weights(0).items())
    assert training.members.best_epoch.tolist() == [0]
    epoch = next(training.epochs)
    assert epoch.number == 1
    assert not torch.equal(training.learner.weights(0)["2.weight"], before["2.weight"])


def test_every_setting_reaches_its_place(processed: Processed, make_params: MakeParams) -> None:
    params = make_params(
        "table",
        "train.epochs=6",
        "train.patience=2",
        "train.min_delta=10.0",
        "train.monitor=val/accuracy",
        "schedule.name=step",
        "schedule.warmup_epochs=1",
        "schedule.step_epochs=1",
        "optim.lr=0.25",
    )
    data = load_training_data(params, processed("table"))
    training = begin([params], data, packed=False)
    epochs = list(training.epochs)
    assert [epoch.number for epoch in epochs] == [1, 2, 3]  # nothing is 10 better, so patience ends it
    table = lr_table(params.schedule, 0.25, epochs=6, steps=5)
    assert [epoch.metrics["lr"][0] for epoch in epochs] == [table[5 * n - 1] for n in (1, 2, 3)]
    assert training.members.monitor == "val/accuracy"
    assert training.members.best[0] == epochs[0].metrics["val/accuracy"][0]


@pytest.mark.parametrize(("monitor", "mode"), [("val/accuracy", "max"), ("val/loss", "min")])
def test_plateau_looks_in_the_direction_of_the_monitor(
    processed: Processed, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch, monitor: str, mode: str
) -> None:
    made: list[Any] = []
    schedule = module.Schedule

    def note(*args: Any, **options: Any) -> Any:
        made.append(schedule(*args, **options))
        return made[-1]

    monkeypatch.setattr(module, "Schedule", note)
    params = make_params("table", "schedule.name=plateau", f"train.monitor={monitor}")
    begin([params], load_training_data(params, processed("table")), packed=False)
    assert [member.plateau.mode for member in made[0]._members] == [mode]


def test_it_is_deterministic_and_keeps_to_its_threads(processed: Processed, make_params: MakeParams) -> None:
    params = make_params("table", "train.threads=2")
    torch.set_deterministic_debug_mode("default")
    begin([params], load_training_data(params, processed("table")), packed=False)
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.get_num_threads() == 2


def test_own_data_that_were_prepared_otherwise_are_refused(processed: Processed) -> None:
    folder = processed("table")
    own = ["data.name=csv", "data.path=a.csv", "data.target=y", "tune.space={}"]
    prepared = own_settings(load_params(SHIPPED, own).data)
    meta = store.load_meta(folder).model_copy(update={"settings": prepared})
    store.save_meta(folder, meta)
    load_training_data(load_params(SHIPPED, own), folder)
    with pytest.raises(
        WellfitError, match=r"was prepared with data\.target y, which is z now: run `dvc repro preprocess`"
    ):
        load_training_data(load_params(SHIPPED, [*own, "data.target=z"]), folder)


# Packs


def test_a_pack_takes_each_setting_from_its_member(processed: Processed, make_params: MakeParams) -> None:
    members = [
        make_params("table", "train.seed=3", "train.epochs=4", "train.patience=2", "optim.lr=0.25"),
        make_params("table", "train.seed=1", "train.epochs=6", "train.min_delta=10.0", "schedule.name=step"),
    ]
    data = load_training_data(members[0], processed("table"))
    training = begin(members, data, packed=True)
    epochs = np.array([3, 2])
    orders = [BatchOrder(35, 8, [params.train.seed], torch.device("cpu")) for params in members]
    expected = [list(order.epoch(epochs[k : k + 1])) for k, order in enumerate(orders)]
    for rows, *alone in zip(training.order.epoch(epochs), *expected, strict=True):
        assert torch.equal(rows, torch.cat(alone))
    tables = [lr_table(params.schedule, params.optim.lr, params.train.epochs, 5) for params in members]
    assert training.schedule.epoch(epochs)[1].tolist() == [tables[0][11], tables[1][6]]
    assert training.learner.size == 2


def test_nothing_of_a_pack_stays_behind_when_its_members_change(processed: Processed, make_params: MakeParams) -> None:
    """Learner, order, schedule and what the loop remembers speak of the same members."""
    members = [make_params("table", f"train.seed={seed}", f"optim.lr=0.0{seed}") for seed in (1, 2, 3)]
    data = load_training_data(members[0], processed("table"))
    training = begin(members, data, packed=True)
    next(training.epochs)
    kept = [training.learner.weights(k) for k in (0, 2)]
    best = training.members.best[[0, 2]].tolist()
    training.change([0, 2], [make_params("table", "train.seed=9", "optim.lr=0.09")])
    assert training.learner.size == 3
    assert training.members.epoch.tolist() == [1, 1, 0]
    assert training.members.best.tolist() == [*best, np.inf]
    for k, weights in enumerate(kept):
        assert all(torch.equal(tensor, weights[name]) for name, tensor in training.learner.weights(k).items())
    assert [epoch.number.tolist() for epoch in training.epochs] == [[2, 2, 1], [3, 3, 2], [4, 4, 3]]
    assert training.members.best_epoch.min() > 0


def test_a_check_leaves_threads_and_random_numbers_as_they_are(processed: Processed, make_params: MakeParams) -> None:
    data = load_training_data(make_params(), processed())
    torch.set_num_threads(1)
    before = torch.get_rng_state()
    check_can_train(make_params("table", "train.threads=2"), data)
    with pytest.raises(WellfitError, match="must have one number for each"):
        check_can_train(make_params("table", "train.threads=2", "loss.class_weights=[1, 2]"), data)
    assert torch.get_num_threads() == 1
    assert torch.equal(torch.get_rng_state(), before)
