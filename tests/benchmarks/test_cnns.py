"""benchmarks/cnns.py, small and on digits."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from torch import nn

from wellfit.data.store import load_meta, load_split
from wellfit.training.setup import begin

Load = Callable[[str], ModuleType]


@pytest.fixture
def cnns(load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    module = load("cnns")
    monkeypatch.chdir(Path(module.__file__ or "").parents[1])  # where params.yaml is
    monkeypatch.setattr(module, "RESULTS", tmp_path / "cnns.json")
    return module


def test_all_ways_train_the_same_network_on_the_first_images(
    cnns: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cnns, "ROWS", 100)
    problem = cnns.prepare_cnn(cnns.QUICK, tmp_path)
    meta = load_meta(problem.processed)
    whole = tmp_path / "processed" / "digits"
    assert meta.split_sizes["train"] == len(problem.loaders[0].dataset) == sum(meta.class_counts) == 100
    first, all_rows = load_split(problem.processed, meta, "train"), load_split(whole, load_meta(whole), "train")
    assert (first.x == all_rows.x[:100]).all()
    usual = cnns.UsualCnn(problem, {"optim.lr": 1e-3, "optim.weight_decay": 0.0, "model.dropout": 0.3})
    model = begin([problem.params], problem.data, packed=False).learner.model
    assert [each.shape for each in usual.model.parameters()] == [each.shape for each in model.parameters()]
    assert {each.p for each in usual.model.modules() if isinstance(each, nn.Dropout)} == {0.3}


@pytest.mark.slow
def test_the_three_ways_run_and_their_ratios_are_printed(
    cnns: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["cnns.py", "--quick"])
    cnns.main()
    said = capsys.readouterr().out.splitlines()
    assert re.match(r"digits 4-8, batch 64: 2 trials of 1 epochs, [12] at once: ", said[0])
    assert [line.split("  ")[1].strip() for line in said[1:]] == ["one by one", "usual script"]
    assert all("times as long (" in line for line in said[1:])
    assert not (tmp_path / "cnns.json").exists()
