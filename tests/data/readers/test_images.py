import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from wellfit.data.prepare import read_raw
from wellfit.data.readers.images import read_image_folder
from wellfit.data.settings import DataConfig
from wellfit.errors import WellfitError

from .pictures import noise, spoil, write


def test_pixels_and_labels_are_those_of_torchvision(pets: Path) -> None:
    from torchvision.datasets import ImageFolder

    read, theirs = read_image_folder(pets, None, "auto"), ImageFolder(pets)
    assert read.x.shape == (6, 3, 8, 10)
    assert (read.x.dtype, read.y.dtype) == (np.uint8, np.int64)
    for image, label, (picture, class_index) in zip(read.x, read.y, theirs, strict=True):
        np.testing.assert_array_equal(image, np.asarray(picture).transpose(2, 0, 1))
        assert label == class_index
    assert read.class_names == tuple(theirs.classes)
    assert read.ids.tolist() == [str(Path(path).relative_to(pets)) for path, _ in theirs.samples]
    assert (read.splits, read.warnings) == (None, ())


def test_splits_of_its_own(pets: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    for split in ("test", "train"):
        write(whole, **{f"{split}__{name}__{i}": noise(8, 10, 3) for name in ("cats", "dogs") for i in range(3)})
    read = read_image_folder(whole, None, "auto")
    assert read.splits is not None
    assert read.splits.tolist() == ["train"] * 6 + ["test"] * 6
    for split in ("train", "test"):
        part = read_image_folder(whole / split, None, "auto")
        np.testing.assert_array_equal(read.x[read.splits == split], part.x)
        np.testing.assert_array_equal(read.y[read.splits == split], part.y)


@pytest.mark.parametrize(("channels", "n_channels"), [("auto", 3), ("rgb", 3), ("grey", 1)])
def test_one_image_in_colour_makes_all_rgb_unless_told(channels: Any, n_channels: int, tmp_path: Path) -> None:
    grey, colour = noise(4, 4), noise(4, 4, 3)
    read = read_image_folder(write(tmp_path, a__1=grey, a__2=noise(4, 4), b__1=colour), None, channels)
    assert read.x.shape == (3, n_channels, 4, 4)
    np.testing.assert_array_equal(read.x[0], np.stack([grey] * n_channels))


@pytest.mark.parametrize(("channels", "n_channels"), [("auto", 1), ("rgb", 3), ("grey", 1)])
def test_all_grey_is_one_channel_unless_told(channels: Any, n_channels: int, tmp_path: Path) -> None:
    write(tmp_path, a__1=noise(4, 4), b__1=noise(4, 4) > 99, b__2=noise(4, 4).astype(np.uint16) * 257)
    assert read_image_folder(tmp_path, None, channels).x.shape == (3, n_channels, 4, 4)


def test_any_sizes_become_the_one_asked_for(tmp_path: Path) -> None:
    write(tmp_path, a__1=noise(12, 20), a__2=noise(20, 12), b__1=noise(6, 10))
    assert read_image_folder(tmp_path, (6, 10), "auto").x.shape == (3, 1, 6, 10)


def test_a_file_that_cannot_be_read(pets: Path) -> None:
    spoil(pets / "dogs" / "1.png", keep=-60)
    for image_size in (None, (4, 4)):
        with pytest.raises(WellfitError) as raised:
            read_image_folder(pets, image_size, "auto")
        fault = "is truncated; get it anew, or remove it"
        told = "(data.bad_files: skip leaves out what cannot be read)"
        assert str(raised.value) == f"{pets}/dogs/1.png {fault} {told}"


def test_files_that_cannot_be_read_are_left_out_where_that_is_asked_for(pets: Path) -> None:
    whole = read_image_folder(pets, None, "auto")
    for file in ("cats/0", "dogs/1"):
        spoil(pets / f"{file}.png")
    read = read_image_folder(pets, None, "auto", skips_bad_files=True)
    np.testing.assert_array_equal(read.x, whole.x[[1, 2, 3, 5]])
    assert read.y.tolist() == [0, 0, 1, 1]
    assert read.ids is not None
    assert read.ids.tolist() == ["cats/1.png", "cats/2.png", "dogs/0.png", "dogs/2.png"]
    assert [name for name, _ in read.bad_files] == ["cats/0.png", "dogs/1.png"]
    (sentence,) = read.warnings
    assert sentence.startswith("2 of 6 images cannot be read and are left out, the first is cats/0.png (is empty; ")


def test_a_class_that_nothing_is_left_of_is_refused(pets: Path) -> None:
    for i in range(3):
        spoil(pets / "dogs" / f"{i}.png")
    with pytest.raises(WellfitError, match=r"pets: no image of class 'dogs' can be read"):
        read_image_folder(pets, None, "auto", skips_bad_files=True)


def test_images_without_a_class_come_apart(pets: Path) -> None:
    for name in ("cats", "dogs"):
        (pets / "train").mkdir(exist_ok=True)
        (pets / name).rename(pets / "train" / name)
    pixels = noise(8, 10, 3)
    write(pets, test__1=pixels, test__2=pixels)
    spoil(pets / "test" / "2.png")
    read = read_image_folder(pets, None, "auto", skips_bad_files=True)
    assert len(read.x) == len(read.y) == 6
    assert read.unlabelled is not None
    assert read.unlabelled.ids.tolist() == ["test/1.png"]
    np.testing.assert_array_equal(read.unlabelled.x[0], pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_images_that_do_not_fit_on_the_disk(number: int, pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise OSError(number, "no room")

    monkeypatch.setenv("DVC_ROOT", str(pets.parent))
    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    expected = r"6 images of 8 × 10 pixels need 1\.44e-06 GB of disk, more than is left there; lower data\.image_size"
    with pytest.raises(WellfitError, match=expected):
        read_image_folder(pets, None, "auto", budget=0)


def test_nothing_is_written(pets: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in pets.rglob("*")}
    read_image_folder(pets, (4, 4), "auto")
    assert {path: path.stat().st_mtime_ns for path in pets.rglob("*")} == before
    assert sorted(os.listdir(pets.parent)) == ["pets"]


def test_it_needs_neither_torch_nor_mlflow() -> None:
    import subprocess

    code = (
        "import sys, wellfit.data.readers.images; print({'torch', 'torchvision', 'mlflow', 'pandas'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_an_own_folder_of_images(data_config: Callable[..., DataConfig], tmp_path: Path) -> None:
    for split, name, value in (("train", "cat", 10), ("train", "dog", 20), ("test", "dog", 30), ("test", "cat", 40)):
        (tmp_path / split / name).mkdir(parents=True)
        Image.new("L", (6, 4), value).save(tmp_path / split / name / "a.png")
    raw = read_raw(data_config("images", path=str(tmp_path), image_size=[2, 3]), tmp_path / "unused")
    assert raw.x.shape == (4, 1, 2, 3)
    assert raw.x[:, 0, 0, 0].tolist() == [10, 20, 40, 30]
    assert raw.ids is not None
    assert raw.ids.tolist() == ["train/cat/a.png", "train/dog/a.png", "test/cat/a.png", "test/dog/a.png"]
    assert raw.splits is not None
    assert raw.splits.tolist() == ["train", "train", "test", "test"]
    assert (raw.y.tolist(), raw.class_names) == ([0, 1, 0, 1], ("cat", "dog"))
    rgb = read_raw(data_config("images", path=str(tmp_path), image_size=None, channels="rgb"), tmp_path / "unused")
    assert rgb.x.shape == (4, 3, 4, 6)
