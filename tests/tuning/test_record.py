import dataclasses
import json
import math
import os
from pathlib import Path

import pytest
import torch

from wellfit import files
from wellfit.errors import WellfitError
from wellfit.training.checkpoint import load_checkpoint
from wellfit.training.finish import Finished
from wellfit.training.record import write_training
from wellfit.tuning import record as module
from wellfit.tuning.record import TrialRecord, read_record, write_record

from ..damage import DAMAGES, Damage

RECORD = TrialRecord(
    number=3,
    state="complete",
    values={"optim.lr": 0.1, "model.hidden": [8, 4], "model.norm": "batch"},
    config={"model": {"hidden": [8, 4]}, "optim": {"lr": 0.1, "clip_norm": None}},
    history=[{"train/loss": 2.0, "val/loss": 1.0}, {"train/loss": 1.5, "val/loss": 0.5}],
    best=0.5,
    best_epoch=2,
    failure="",
    started=100.25,
    ended=101.5,
)
WEIGHTS = {"layer.weight": torch.arange(6.0).reshape(2, 3)}
MODELS = [Finished(0.5, 2, WEIGHTS)]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_record(tmp_path / "trials" / "3", RECORD, MODELS, "data")
    assert read_record(tmp_path / "trials" / "3") == RECORD
    weights, info = load_checkpoint(tmp_path / "trials" / "3" / "best.safetensors")
    torch.testing.assert_close(weights, WEIGHTS)
    assert info == {"config": RECORD.config, "data_sha256": "data", "epoch": 2, "metrics": {"val/loss": 0.5}}
    assert [path.name for path in (tmp_path / "trials").iterdir()] == ["3"]


def test_what_is_not_a_number_is_null_in_the_files(tmp_path: Path) -> None:
    blown_up = dataclasses.replace(
        RECORD, state="failed", history=[{"train/loss": math.inf}], best=None, best_epoch=0, failure="train/loss is inf"
    )
    write_record(tmp_path / "3", blown_up)
    assert json.loads((tmp_path / "3" / "history.jsonl").read_text()) == {"epoch": 1, "train/loss": None}
    found = read_record(tmp_path / "3")
    assert math.isnan(found.history[0]["train/loss"])
    assert dataclasses.replace(found, history=blown_up.history) == blown_up
    assert not (tmp_path / "3" / "best.safetensors").exists()


def test_a_record_is_there_as_a_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes, **settings: bool) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wellfit.training.checkpoint.write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write_record(tmp_path / "3", RECORD, MODELS)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    write_record(tmp_path / "3", RECORD, MODELS)
    write_record(tmp_path / "3", dataclasses.replace(RECORD, failure="again"))
    assert read_record(tmp_path / "3").failure == "again"
    assert not (tmp_path / "3" / "best.safetensors").exists()


def test_training_does_not_wait_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(descriptor: int) -> None:
        raise AssertionError("fsync")

    monkeypatch.setattr(os, "fsync", wait)
    write_record(tmp_path / "3", RECORD, MODELS)
    with pytest.raises(AssertionError, match="fsync"):
        files.write_bytes(tmp_path / "file", b"")


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("name", ["trial.json", "history.jsonl"])
def test_a_damaged_record_is_one_line(tmp_path: Path, name: str, damage: Damage) -> None:
    write_record(tmp_path / "3", RECORD)
    damage(tmp_path / "3" / name)
    with pytest.raises(WellfitError, match=r"3/trial\.json is not as the training left it \(.*\)") as told:
        read_record(tmp_path / "3")
    assert "\n" not in str(told.value)


def test_a_record_of_another_version_is_one_line(tmp_path: Path) -> None:
    write_training(tmp_path / "3", module.TRIAL, {"number": 1}, [])
    with pytest.raises(WellfitError, match=r"trial\.json was written by another version of wellfit"):
        read_record(tmp_path / "3")
