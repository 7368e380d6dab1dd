from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from wellfit.data.store import load_meta, load_unlabelled
from wellfit.errors import WellfitError
from wellfit.settings.params import load_params
from wellfit.stages.preprocess import prepared

from .conftest import PARAMS_FILE


def test_data_are_fetched_and_prepared_where_there_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    params = load_params(PARAMS_FILE, ["data.name=moons", "data.n_samples=100"])
    folder = prepared(params)
    assert folder == Path("data/processed/moons")
    assert "prepared moons in data/processed/moons: 60 train, 20 val, 20 test rows" in capsys.readouterr().out
    made = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert prepared(params) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == made, "what is there stays"


def pets(folder: Path) -> Path:
    """Two classes of six images each, of which two cannot be read, and three images to be predicted."""
    files = [f"train/{name}/{i}.png" for name in ("cat", "dog") for i in range(6)] + [f"test/{i}.png" for i in range(3)]
    for value, file in enumerate(files):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), 10 * value).save(folder / file)
    for file in ("train/cat/1.png", "train/dog/2.png", "test/1.png"):
        (folder / file).write_bytes(b"no picture")
    return folder


def test_images_that_cannot_be_read_are_listed_all_or_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = ["data.name=images", f"data.path={pets(tmp_path / 'pets')}", "data.image_size=4"]
    with pytest.raises(WellfitError, match=r"all are listed in data/processed/images\.bad_files\.csv$"):
        prepared(load_params(PARAMS_FILE, settings))
    refused = pd.read_csv("data/processed/images.bad_files.csv")
    assert refused["file"].tolist() == ["train/cat/1.png", "train/dog/2.png", "test/1.png"]
    assert refused["fault"].str.contains("is not an image that can be read").all()
    folder = prepared(load_params(PARAMS_FILE, [*settings, "data.bad_files=skip"]))
    meta = load_meta(folder)
    assert sum(meta.split_sizes.values()) == 10
    assert any(sentence.startswith("3 of 15 images cannot be read and are left out") for sentence in meta.warnings)
    pd.testing.assert_frame_equal(pd.read_csv(folder / "bad_files.csv"), refused)
    assert not Path("data/processed/images.bad_files.csv").exists()
    unlabelled = load_unlabelled(folder, meta)
    assert unlabelled is not None
    assert unlabelled[1].tolist() == ["test/0.png", "test/2.png"]
    assert unlabelled[0][:, 0, 0, 0].tolist() == [120, 140]
