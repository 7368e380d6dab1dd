"""A training that goes on from a snapshot is, to the bit, the one that was not stopped."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from wellfit.interruptions import deferred
from wellfit.settings.params import Params
from wellfit.training import resume
from wellfit.training.optim import OPTIMIZERS
from wellfit.training.resume import Snapshots, resume_folder
from wellfit.training.setup import Training, begin, load_training_data

Make = Callable[..., Params]
Processed = Callable[..., Path]

KINDS = {
    "dropout": ("table", "model.dropout=0.5", "model.norm=batch"),
    "ema": ("table", "regularize.average=ema", "regularize.ema_decay=0.9"),
    "swa": ("table", "regularize.average=swa", "regularize.swa_start=0.2"),
    "noise and mixup": ("table", "regularize.input_noise=0.1", "regularize.mixup=0.4"),
    "plateau": ("regression", "schedule.name=plateau", "schedule.patience=1", "schedule.threshold=10.0"),
    "warm-up": ("table", "schedule.name=cosine", "schedule.warmup_epochs=2"),
    "early stop": ("table", "train.patience=2", "train.min_delta=10.0"),
    "cnn": (
        "images",
        *(
            "model.name=cnn",
            "data.augment=[{rotate: 15}, {flip_horizontal: 0.5}]",
            "model.dropout=0.3",
            "model.channel_dropout=0.2",
        ),
        "model.input_dropout=0.1",
    ),
    "cutmix": ("images", "model.name=cnn", "regularize.cutmix=1.0", "model.norm=batch"),
    "accumulate": ("table", "train.accumulate=2", "optim.l1=0.01", "optim.clip_norm=1.0", "optim.max_norm=1.0"),
} | {name: ("table", f"optim.name={name}", "optim.weight_decay=0.01") for name in OPTIMIZERS}


def ended(training: Training) -> tuple[list[dict[str, float]], list[dict[str, torch.Tensor]]]:
    """The metrics of each epoch that is left, and the weights after it, of each member."""
    history, weights = [], []
    for epoch in training.epochs:
        for k in range(training.learner.size):
            history.append({name: v for name, v in epoch.of(k).items() if not name.startswith(("seconds", "samples"))})
            weights.append(training.learner.weights(k))
    return history, weights


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_rest_is_as_without_a_stop(
    kind: str, packed: bool, make_params: Make, processed: Processed, tmp_path: Path
) -> None:
    name, *settings = KINDS[kind]
    params = make_params(name, "train.epochs=6", *settings)
    if packed and not params.model.entry.packs:
        pytest.skip("is not packed")
    data = load_training_data(params, processed(name))
    members = [params, params.replace({"train.seed": 1, "optim.lr": 0.02})] if packed else [params]
    whole = begin(members, data, packed=packed)
    first = [next(whole.epochs) for _ in range(3 if kind != "early stop" else 2)]
    with Snapshots(tmp_path / "resume") as snapshots:
        snapshots.save({"training": whole.state_dict(), "seen": len(first)})
    expected = ended(whole)
    torch.manual_seed(99)  # as in another process
    with Snapshots(tmp_path / "resume") as snapshots:
        found = snapshots.load()
    assert found
    assert found["seen"] == len(first)
    again = begin(members, data, packed=packed)
    again.load_state_dict(found["training"])
    history, weights = ended(again)
    assert history == expected[0]
    assert len(history) > 0
    for one, other in zip(weights, expected[1], strict=True):
        assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    for attribute in ("epoch", "best", "best_epoch", "active"):
        assert getattr(again.members, attribute).tolist() == getattr(whole.members, attribute).tolist()


@pytest.mark.parametrize("kind", [kind for kind, (name, *_) in KINDS.items() if name != "images"])
def test_the_rest_of_a_pack_that_has_changed_is_as_without_a_stop(
    kind: str, make_params: Make, processed: Processed, tmp_path: Path
) -> None:
    name, *settings = KINDS[kind]
    params = make_params(name, "train.epochs=6", *settings)
    data = load_training_data(params, processed(name))
    members = [params.replace({"train.seed": seed, "optim.lr": 0.01 * (seed + 1)}) for seed in range(5)]
    whole = begin(members[:3], data, packed=True)
    next(whole.epochs)
    whole.change([0, 2], members[3:])
    next(whole.epochs)
    with Snapshots(tmp_path / "resume") as snapshots:
        snapshots.save(whole.state_dict())
        found = snapshots.load()
    assert found
    expected = ended(whole)
    again = begin([members[k] for k in (0, 2, 3, 4)], data, packed=True)
    again.load_state_dict(found)
    history, weights = ended(again)
    assert history == expected[0]
    for one, other in zip(weights, expected[1], strict=True):
        assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_a_snapshot_is_written_where_it_is_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    made: list[float] = []

    def state() -> dict[str, Any]:
        nonlocal now
        made.append(now)
        return {"at": now}

    def save(*_: object) -> None:
        nonlocal now
        now += 0.25

    monkeypatch.setattr(resume, "save_checkpoint", save)
    with Snapshots(tmp_path / "resume", seconds=10, share=0.01) as snapshots:
        while now < 100:
            snapshots.offer(state)
            now += 1
    assert made == pytest.approx([10, 35.25, 60.5, 85.75]), "1 % of the time"


def test_a_snapshot_is_written_at_once_where_an_interruption_waits(tmp_path: Path, ctrl_c: Callable[[], None]) -> None:
    def interrupted(snapshots: Snapshots) -> None:
        with deferred():
            snapshots.offer(lambda: {"epoch": 1})
            assert snapshots.load() is None
            ctrl_c()
            snapshots.offer(lambda: {"epoch": 2})

    with Snapshots(tmp_path / "resume") as snapshots:
        with pytest.raises(KeyboardInterrupt):
            interrupted(snapshots)
        assert snapshots.load() == {"epoch": 2}


@pytest.mark.parametrize("damage", ["bit", "half"])
def test_a_damaged_snapshot_is_told_and_done_without(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Snapshots(tmp_path / "resume") as snapshots:
        snapshots.save({"x": torch.arange(9.0), "nan": float("nan"), 3: (1, None, [True])})
        found = snapshots.load()
        assert found
        assert torch.equal(found["x"], torch.arange(9.0))
        assert found["nan"] != found["nan"]
        assert found[3] == (1, None, [True])
        (path,) = (tmp_path / "resume").glob("*.safetensors")
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2] if damage == "half" else data[:-1] + bytes([data[-1] ^ 1]))
        assert snapshots.load() is None
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: {path} is damaged")
    assert not (tmp_path / "resume").exists(), "nothing is left to go on with"


def test_a_training_under_way_in_another_process_is_left_alone(tmp_path: Path) -> None:
    with Snapshots(tmp_path / "resume") as first:
        first.save({"epoch": 1})
        with Snapshots(tmp_path / "resume") as second:
            assert second.folder is None
            assert second.load() is None
            second.save({"epoch": 2})
            second.remove()
        assert first.load() == {"epoch": 1}
        first.remove()
    assert not (tmp_path / "resume").exists()


def test_what_nobody_went_on_with_is_removed(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with Snapshots(tmp_path / name) as snapshots:
            snapshots.save({"epoch": 1})
    os.utime(tmp_path / "old", (0, time.time() - 31 * 24 * 3600))
    with Snapshots(tmp_path / "another"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_disk_that_takes_no_snapshot_does_not_end_a_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(resume, "save_checkpoint", full)
    with Snapshots(tmp_path / "resume") as snapshots:
        snapshots.save({"epoch": 1})
    assert "no snapshot to go on from was written: [Errno 28]" in capsys.readouterr().err


def test_other_settings_data_or_code_have_another_folder(
    make_params: Make, processed: Processed, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, other = (load_training_data(make_params(), processed(seed=seed)) for seed in (0, 1))
    folders = [
        resume_folder(make_params(), data),
        resume_folder(make_params("table", "optim.lr=0.2"), data),
        resume_folder(make_params("table", "train.epochs=4"), data),
        resume_folder(make_params(), other),
        resume_folder(make_params(), data, "layers"),
    ]
    with monkeypatch.context() as patch:
        patch.setattr(resume, "code_digests", lambda *_: {"training/loop.py": "edited"})
        folders.append(resume_folder(make_params(), data))
    assert len(set(folders)) == 6
    same = make_params("table", "train.seeds=5", "train.ensemble=3", "tune.enabled=false", "track.tensorboard=true")
    assert resume_folder(same, data) == folders[0]
