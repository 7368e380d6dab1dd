"""The export stage: a file and what stands beside it, both or neither, and the documentation that uses them."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from wellfit.errors import WellfitError
from wellfit.metrics.decision import Decision
from wellfit.serving.export import FORMATS
from wellfit.serving.folder import load_model_folder
from wellfit.stages.export import export

from ..serving.own import csv_file, leave_model
from ..serving.test_graph import PLAIN

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("own")
    csv_file(root / "own.csv")
    return leave_model(root, *PLAIN)[0]


def test_a_file_is_called_as_the_data_and_described_beside_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    export(folder, "torch_export", None)
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == (
        f"exported {folder} (numbers, codes to predicted, probabilities, sets): exports/own.pt2, with own.pt2.json"
    )
    assert said[0] == "note: the caller reads cells as numbers, NaN where missing, and categories as their codes"
    about = json.loads(Path("exports/own.pt2.json").read_text())
    data = Path("exports/own.pt2").read_bytes()
    assert (about["file"], about["format"], about["predicts"]) == ("own.pt2", "torch_export", "sold")
    assert about["sha256"] == hashlib.sha256(data).hexdigest()
    assert about["model_sha256"] == hashlib.sha256((folder / "model.json").read_bytes()).hexdigest()
    export(folder, "torch_export", Path("again.pt2"))
    assert Path("again.pt2").read_bytes() == data


def test_both_files_appear_or_neither(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.pt2"
    path.write_text("before")

    def full(*_: Any, **__: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="the disk is full"):
        export(folder, "torch_export", path)
    assert [each.name for each in tmp_path.iterdir()] == ["model.pt2"]
    assert path.read_text() == "before"


def test_there_is_no_file_beside_a_device(folder: Path) -> None:
    for path in ("/dev/null", "/dev/stdout"):
        with pytest.raises(WellfitError, match=f"beside --output, which must be a file, got {path}"):
            export(folder, "torch_export", Path(path))


def test_a_folder_without_a_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(WellfitError, match=r"holds no model: model\.json not found"):
        export(tmp_path, "onnx", None)
    assert not list(tmp_path.iterdir())


def test_what_the_documentation_runs_predicts_as_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    rows = pd.DataFrame(random.normal(0.4, 0.1, (99, 2)), columns=["length", "height"])
    # The row of the documentation has no colour.
    others = {"sex": random.choice(["M", "F", "I"], 99), "colour": random.choice(["", "red", "blue"], 99)}
    rows = rows.assign(**others, sold=np.arange(99.0))
    rows.to_csv(tmp_path / "own.csv", index=False)
    settings = [*PLAIN, "data.id=null", "data.task=regression"]
    folder, _, _ = leave_model(tmp_path, *settings, decision=Decision(coverage=0.9, bound=1.0))
    monkeypatch.chdir(tmp_path)
    export(folder, "onnx", Path("exports/abalone.onnx"))
    section = (ROOT / "docs" / "predict.md").read_text(encoding="utf-8").split("## Export")[1]
    found: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", section, re.S)[0], found)
    row = pd.DataFrame([found["row"]])
    model = load_model_folder(folder)
    np.testing.assert_allclose(found["predicted"], model.predict(row), rtol=1e-5)
    np.testing.assert_allclose([found["low"][0], found["high"][0]], model.predict_interval(row)[0], rtol=1e-5)


def test_the_script_is_an_entry_point_and_names_all_formats() -> None:
    project = YAML(typ="safe", pure=True).load(ROOT / "MLproject")
    assert project["entry_points"]["export"]["command"] == "exec pipelines/python pipelines/export.py"
    command = [sys.executable, "pipelines/export.py", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert f"--format {{{','.join(FORMATS)}}}" in done.stdout
