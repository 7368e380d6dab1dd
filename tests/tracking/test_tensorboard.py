"""Event files, read back by TensorBoard itself."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from wellfit.tracking.tensorboard import event_files


def read(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder), {"scalars": 0, "histograms": 0})  # 0: all of them
    accumulator.Reload()
    return accumulator


def test_scalars_and_weights_come_back(tmp_path: Path) -> None:
    with event_files(tmp_path / "run") as events:
        assert events is not None
        for epoch in (1, 2):
            events.write(
                epoch, {"val/loss": 1 / epoch, "lr": 0.1}, {"1.weight": torch.tensor([[1.0, 3.0], [epoch, 1.0]])}
            )
    found = read(tmp_path / "run")
    assert sorted(found.Tags()["scalars"]) == ["lr", "val/loss"]
    assert [(e.step, e.value) for e in found.Scalars("val/loss")] == [(1, 1.0), (2, 0.5)]
    histograms = [(e.step, e.histogram_value.num, e.histogram_value.sum) for e in found.Histograms("weights/1.weight")]
    assert histograms == [(1, 4, 6.0), (2, 4, 7.0)]


def test_they_are_complete_when_a_training_fails(tmp_path: Path) -> None:
    def train() -> None:
        with event_files(tmp_path) as events:
            assert events is not None
            events.write(1, {"val/loss": 0.25}, {})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    assert [e.value for e in read(tmp_path).Scalars("val/loss")] == [0.25]


def test_what_is_not_finite_is_left_out(tmp_path: Path) -> None:
    with event_files(tmp_path) as events:
        assert events is not None
        values = {"a": float("nan"), "b": float("inf"), "c": 1.0}
        events.write(1, values, {"broken": torch.tensor([1.0, torch.nan]), "whole": torch.ones(2)})
    assert read(tmp_path).Tags()["scalars"] == ["c"]
    assert read(tmp_path).Tags()["histograms"] == ["weights/whole"]


def test_without_a_folder_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with event_files(None) as events:
        assert events is None
    assert not list(tmp_path.iterdir())


def test_tensorboard_is_imported_only_when_it_is_wanted() -> None:
    code = (
        "import sys, wellfit.tracking.tensorboard as t\n"
        "with t.event_files(None): print('tensorboard' in sys.modules)\n"
        "import torch.utils.tensorboard; print('tensorboard' in sys.modules)"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["False", "True"]
    assert done.stderr == ""
