"""The model folder: it holds all that is needed, wherever it lies, and what was changed in it is noticed."""

import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import wellfit
from wellfit.data.store import load_split
from wellfit.errors import WellfitError
from wellfit.manifest import sealed, unsealed
from wellfit.serving.model import TrainedModel
from wellfit.training.checkpoint import load_checkpoints

from .own import csv_file, image_folder, leave_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    csv_file(tmp_path / "own.csv")
    return leave_model(tmp_path)[0]


@pytest.mark.parametrize("members", [1, 3])
def test_a_loaded_model_predicts_what_the_one_that_was_saved_does(tmp_path: Path, members: int) -> None:
    csv_file(tmp_path / "own.csv")
    folder, meta, _ = leave_model(tmp_path, members=members)
    split = load_split(tmp_path / "processed" / "csv", meta, "test")
    saved = TrainedModel(load_checkpoints(folder / "weights.safetensors"), meta)
    elsewhere = shutil.move(folder, tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "processed")
    (tmp_path / "own.csv").unlink()
    model = wellfit.load(elsewhere)
    found = model.predictions(np.array(split.x))
    expected = model.decision.predictions(saved.outputs(split.x), meta)
    np.testing.assert_array_equal(found.probabilities, expected)
    assert model.meta.title == "own"


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    csv_file(tmp_path / "own.csv")
    first = {path.name: path.read_bytes() for path in leave_model(tmp_path)[0].iterdir()}
    again = {path.name: path.read_bytes() for path in leave_model(tmp_path)[0].iterdir()}
    assert first == again
    assert sorted(first) == ["card.md", "model.json", "requirements.txt", "weights.safetensors"]


@pytest.mark.parametrize("name", ["card.md", "requirements.txt", "weights.safetensors"])
def test_a_file_that_was_changed_or_lost_is_refused(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1] + b"!")
    with pytest.raises(WellfitError, match=rf"{name} is damaged"):
        wellfit.load(folder)
    (folder / name).unlink()
    with pytest.raises(WellfitError, match=rf"{name} not found, though model\.json names it"):
        wellfit.load(folder)


@pytest.mark.parametrize(
    ("old", "new"),
    [('"temperature": 1.5', '"temperature": 2.5'), ('"format": 1', '"format": []'), ("{", "["), ('"wellfit"', '"wel"')],
)
def test_a_description_that_was_changed_is_refused(folder: Path, old: str, new: str) -> None:
    path = folder / "model.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(WellfitError, match=r"model\.json is (damaged|of another version)") as caught:
        wellfit.load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("outside", ["../other.txt", "/etc/passwd", "a/b"])
def test_a_description_that_names_what_is_outside_is_refused(folder: Path, outside: str) -> None:
    content = unsealed((folder / "model.json").read_text())
    content["files"][outside] = "0" * 64
    (folder / "model.json").write_text(sealed(content))
    with pytest.raises(WellfitError, match=r"model\.json names .*, which is no file beside it"):
        wellfit.load(folder)


def test_a_description_with_other_fields_is_of_another_version(folder: Path) -> None:
    content = unsealed((folder / "model.json").read_text()) | {"new": 1, "wellfit": "9.1"}
    (folder / "model.json").write_text(sealed(content))
    with pytest.raises(WellfitError, match=r"model\.json was written by another version of wellfit, 9\.1: use "):
        wellfit.load(folder)


def test_a_later_format_names_the_version_that_wrote_it(folder: Path) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2, "wellfit": "9.1"}))
    with pytest.raises(WellfitError, match=r"is of another version \(9\.1\)"):
        wellfit.load(folder)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WellfitError, match=r"holds no model: model\.json not found"):
        wellfit.load(tmp_path)


def test_the_requirements_are_pinned_and_of_predicting_alone(tmp_path: Path) -> None:
    csv_file(tmp_path / "own.csv")
    folder, _, _ = leave_model(tmp_path)
    pins = dict(line.split("==") for line in (folder / "requirements.txt").read_text().splitlines())
    assert pins["pandas"] == version("pandas")
    assert pins["torch"] == version("torch").partition("+")[0]
    assert "scikit-learn" in pins, "data.text hash counts words with it"
    assert not {"mlflow", "optuna", "dvc", "matplotlib", "torchvision"} & pins.keys()
    folder, _, _ = leave_model(tmp_path, "data.text=drop")
    assert "scikit-learn" not in (folder / "requirements.txt").read_text()


@pytest.mark.parametrize("kind", ["table", "images"])
def test_predicting_imports_nothing_but_the_requirements(tmp_path: Path, kind: str) -> None:
    csv_file(tmp_path / "own.csv")
    image_folder(tmp_path / "pictures")
    images = ["data.name=images", "data.path=" + str(tmp_path / "pictures"), "data.target=null", "data.id=null"]
    small = ["model.name=cnn", "model.channels=[4]", "model.embedding=none", "model.embedding_width=null"]
    settings = [*images, *small] if kind == "images" else ["data.text=drop"]
    folder, _, _ = leave_model(tmp_path, *settings)
    rows = "pandas.read_csv(sys.argv[2], dtype=str)" if kind == "table" else "[sys.argv[3]]"
    code = (
        "import sys, pandas, wellfit\n"
        f"wellfit.load(sys.argv[1]).predict({rows})\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    files = [str(folder), str(tmp_path / "own.csv"), str(tmp_path / "pictures/cat/1.png")]
    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert not {"sklearn", "mlflow", "optuna", "dvc", "matplotlib", "torchvision"} & set(done.stdout.split())
