"""benchmarks/gpu.py, small and on a CPU: whether it runs, and what it says of a machine without a GPU."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from wellfit.errors import WellfitError

Load = Callable[[str], ModuleType]


@pytest.fixture
def gpu(load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Runs the script with some options, where params.yaml is."""
    module = load("gpu")
    monkeypatch.chdir(Path(module.__file__ or "").parents[1])
    monkeypatch.setattr(module, "RESULTS", tmp_path / "gpu.json")

    def run(*options: str, **parts: Callable[..., Any]) -> None:
        monkeypatch.setattr(sys, "argv", ["gpu.py", *options])
        for name, part in parts.items():
            monkeypatch.setattr(module, name, part)
        module.main()
        assert (tmp_path / "gpu.json").exists() == ("--quick" not in options)

    return run


def test_every_part_runs(gpu: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    gpu("--device", "cpu", "--quick")
    said, errors = capsys.readouterr()
    assert errors == ""
    lines = said.splitlines()
    assert [line.split()[0] for line in lines] == ["cpu,", "moons", "digits", "regression", "digits"]
    assert "times as fast" in lines[1]
    assert "4 networks in bf16" in lines[3]
    assert "0 still in training" in lines[3]
    assert "cnn in bf16" in lines[4]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_in_one_line(gpu: Callable[..., None]) -> None:
    with pytest.raises(
        SystemExit, match=r"^train\.device cuda is not available on this machine.*--device cpu --quick$"
    ):
        gpu()


def test_a_part_that_cannot_run_is_skipped_and_the_others_are_kept(
    gpu: Callable[..., None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise WellfitError("cifar10 cannot be had")

    gpu(
        "--device",
        "cpu",
        pack_against_usual=lambda case, *_, **__: case.epochs,
        california=lambda *_, **__: 1,
        cifar=away,
    )
    assert capsys.readouterr().err == "cifar10: skipped, cifar10 cannot be had\n"
    results = json.loads((tmp_path / "gpu.json").read_text())
    assert results.pop("torch") == torch.__version__
    assert results == {"device": "cpu", "moons": 60, "digits": 40, "adult": 9, "california_housing": 1}
