"""What conftest.py promises to every test, seen from a test run of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TESTS = """
import os
import random
import sys

import numpy as np
import pytest

drawn = []

@pytest.mark.parametrize("turn", [0, 1])
def test_seeds(turn):
    import torch

    torch.manual_seed(0) if turn == 0 else None
    drawn.append((random.random(), np.random.random(), float(torch.rand(()))))
    assert drawn[turn] == drawn[0]

def test_stores():
    stores = os.environ["MLFLOW_TRACKING_URI"], os.environ["WELLFIT_CACHE"]
    assert not any("user" in store for store in stores)

def test_of_nobody():
    assert not {"MLFLOW_RUN_ID", "DVC_STAGE", "WELLFIT_MIRROR"} & os.environ.keys()

@pytest.mark.real_data
def test_mirror():
    assert os.environ["WELLFIT_MIRROR"] == "user's mirror"

@pytest.mark.gpu
def test_gpu():
    assert not os.environ["CUDA_VISIBLE_DEVICES"]

@pytest.mark.slow
def test_slow():
    raise AssertionError

def test_warning():
    import warnings

    with pytest.raises(UserWarning):
        warnings.warn("an error here")
"""
USER = {
    "MLFLOW_TRACKING_URI": "sqlite:///user.db",
    "WELLFIT_CACHE": "user",
    "MLFLOW_RUN_ID": "of an mlflow run",
    "DVC_STAGE": "of a dvc repro",
    "CUDA_VISIBLE_DEVICES": "",
}


def run(folder: Path, *arguments: str, **user: str) -> str:
    for name in ("pyproject.toml", "tests/conftest.py"):
        shutil.copy(ROOT / name, folder)
    (folder / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_it.py", *arguments]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **USER, **user}, capture_output=True, text=True
    ).stdout


@pytest.mark.slow
def test_a_run_is_the_same_whatever_the_user_has_set(tmp_path: Path) -> None:
    assert " 5 passed, 2 skipped, 1 deselected in " in run(tmp_path)


def test_a_test_on_real_data_gets_the_mirror(tmp_path: Path) -> None:
    assert " 2 passed, 6 deselected in " in run(tmp_path, "-k", "mirror or nobody", WELLFIT_MIRROR="user's mirror")
