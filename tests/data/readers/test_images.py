import os
import re
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from wellfit.data.prepare import read_raw
from wellfit.data.readers import images as module
from wellfit.data.readers.images import read_image_folder
from wellfit.data.settings import DataConfig
from wellfit.errors import BadFilesError, WellfitError

RNG = np.random.default_rng(0)


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def write(folder: Path, **arrays: np.ndarray) -> Path:
    """One file for each array; ``a__1`` is ``a/1.png``."""
    for name, array in arrays.items():
        path = folder / f"{name.replace('__', '/')}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)
    return folder


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Two classes of three RGB images each, 8 × 10 pixels."""
    return write(tmp_path / "pets", **{f"{name}__{i}": noise(8, 10, 3) for name in ("cats", "dogs") for i in range(3)})


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


@pytest.mark.parametrize("workers", [2, 7, None])
def test_any_number_of_workers_gives_the_same(
    workers: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FILES_AT_ONCE", 3)
    for i in range(40):
        write(tmp_path, **{f"{'abc'[i % 3]}__{i}": noise(5 + i % 4, 9, *(() if i % 5 else (2,)))})
    one, many = (read_image_folder(tmp_path, (7, 7), "auto", workers=n) for n in (1, workers))
    for field in ("x", "y", "ids"):
        np.testing.assert_array_equal(getattr(one, field), getattr(many, field))
    assert one.warnings
    assert (one.warnings, one.class_names, one.splits) == (many.warnings, many.class_names, many.splits)


def test_the_files_are_shared_out_to_the_workers(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILES_AT_ONCE", 3)
    both_at_work, decode = threading.Barrier(2, timeout=20), module.decode
    met = set()

    def meet(path: Path, *rest: Any, **options: Any) -> Any:
        if path.stem == "0":  # the first file of either task
            both_at_work.wait()  # breaks, and fails the test, where one worker does all
            met.add(threading.get_ident())
        return decode(path, *rest, **options)

    monkeypatch.setattr(module, "decode", meet)
    read_image_folder(pets, (4, 4), "rgb", workers=2)
    assert len(met) == 2


def test_sizes_that_differ(pets: Path) -> None:
    write(pets, cats__9=noise(9, 10, 3), dogs__9=noise(8, 11, 3))
    expected = (
        f"{pets}/cats/9.png is 9 × 10 pixels, but cats/0.png 8 × 10, and 2 of 8 images differ so; set data.image_size"
    )
    with pytest.raises(WellfitError, match=re.escape(expected)):
        read_image_folder(pets, None, "auto")


def spoil(path: Path, keep: int = 0) -> None:
    path.write_bytes(path.read_bytes()[:keep])


def test_a_file_that_cannot_be_read(pets: Path) -> None:
    spoil(pets / "dogs" / "1.png", keep=-60)
    for image_size in (None, (4, 4)):
        with pytest.raises(WellfitError) as raised:
            read_image_folder(pets, image_size, "auto")
        fault = "is truncated; get it anew, or remove it"
        told = "(data.bad_files: skip leaves out what cannot be read)"
        assert str(raised.value) == f"{pets}/dogs/1.png {fault} {told}"


def test_files_that_cannot_be_read_are_counted_and_all_given(pets: Path) -> None:
    for file in ("cats/0", "cats/2", "dogs/0"):
        spoil(pets / f"{file}.png")
    for image_size in (None, (4, 4)):
        with pytest.raises(BadFilesError, match=r"cats/0\.png is empty; .* \(2 more of 6 images cannot be") as raised:
            read_image_folder(pets, image_size, "auto")
        assert [name for name, _ in raised.value.files] == ["cats/0.png", "cats/2.png", "dogs/0.png"]
        assert raised.value.files[0][1].startswith("is empty; save it anew")


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


def test_images_that_do_not_fit_into_memory(pets: Path) -> None:
    with pytest.raises(
        WellfitError, match=r"6 images of 10000000 × 10000000 pixels need 1\.8e\+06 GB of memory; lower"
    ):
        read_image_folder(pets, (10_000_000, 10_000_000), "auto")


def test_what_was_done_to_images_is_told_with_count_and_name(tmp_path: Path) -> None:
    see_through = noise(8, 8, 4)
    write(tmp_path, a__1=see_through, a__2=noise(8, 8, 4), a__3=noise(4, 4, 3), b__1=noise(8, 20, 3), b__2=noise(8, 8))
    read = read_image_folder(tmp_path, (8, 8), "auto")
    assert read.warnings == (
        "a/1.png has transparent parts, which are laid over white (1 more like it)",
        "a/3.png is smaller than data.image_size and is enlarged",
        "b/1.png loses more than half of its area where data.image_size crops it",
    )


def test_frames_and_exif_data_are_told(pets: Path) -> None:
    first = Image.fromarray(noise(8, 10, 3))
    first.save(pets / "cats" / "0.png", save_all=True, append_images=[Image.new("RGB", first.size)])
    first.save(pets / "dogs" / "0.png", exif=b"Exif\0\0no TIFF header here")
    assert read_image_folder(pets, None, "auto").warnings[:2] == (
        "cats/0.png has several frames, of which the first is read",
        "dogs/0.png has EXIF data that cannot be read, so it may not be upright",
    )


def test_warnings_of_the_folder_come_along(pets: Path) -> None:
    (pets / "labels.csv").touch()
    assert read_image_folder(pets, None, "auto").warnings == (
        "1 files are not images and are left out, the first is labels.csv",
    )


def cut_exif(path: Path) -> None:
    """An orientation whose value lies behind the end of the EXIF data, of which Pillow warns."""
    entry = b"\x12\x01\x02\x00\xff\x00\x00\x00\x1a\x00\x00\x00"  # tag 0x0112 as text of 255 bytes at 26
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + b"\0\0\0\0"
    with Image.open(path) as image:
        image.load()
    image.save(path, exif=exif)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_pillow_warns_of_is_told_once_and_not_printed(
    workers: int, pets: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FILES_AT_ONCE", 1)
    for file in ("cats/1.png", "dogs/2.png"):
        cut_exif(pets / file)
    with warnings.catch_warnings(record=True) as leaked:
        shown = warnings.showwarning
        read = read_image_folder(pets, None, "auto", workers)
        assert warnings.showwarning is shown
    assert leaked == []
    (sentence,) = read.warnings
    assert re.fullmatch(r"cats/1\.png makes Pillow warn: Tag data larger than file.* \(1 more like it\)", sentence)
    assert "larger" not in "".join(capsys.readouterr())


def test_a_large_picture_is_told_and_a_bomb_refused(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 79)
    (sentence,) = read_image_folder(pets, None, "auto").warnings
    assert re.match(r"cats/0\.png makes Pillow warn: Image size \(80 pixels\) exceeds limit .* \(5 more like", sentence)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 39)
    with pytest.raises(WellfitError, match=r"cats/0\.png has more than 78 pixels; make it smaller, .* \(5 more of 6"):
        read_image_folder(pets, (4, 4), "auto")


@pytest.mark.parametrize(("brightest", "told"), [(4095, True), (32767, True), (32768, False)])
def test_a_16_bit_range_that_is_little_used(brightest: int, told: bool, tmp_path: Path) -> None:
    dark, darker = np.full((4, 4), brightest, np.uint16), np.full((4, 4), 9, np.uint16)
    read = read_image_folder(write(tmp_path, a__1=darker, b__1=dark, b__2=noise(4, 4)), None, "auto")
    sentence = f"the 16-bit images reach {brightest} of 65535, so that {brightest // 256 + 1} of 256 levels are left in"
    assert len(read.warnings) == told
    assert all(warning.startswith(sentence) for warning in read.warnings)


def test_equal_pixels_in_two_classes(tmp_path: Path) -> None:
    one, other = noise(4, 4), noise(4, 4)
    write(tmp_path, a__1=one, a__2=one, a__3=other, b__1=noise(4, 4), b__2=other, b__3=one)
    assert read_image_folder(tmp_path, None, "auto").warnings == (
        "2 images have the same pixels as one of another class, the first is b/2.png (as a/3.png)",
    )


def test_progress_without_a_terminal_is_lines(pets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read_image_folder(pets, None, "auto")
    out, err = capsys.readouterr()
    assert [line.split("  ")[0] for line in out.splitlines()] == ["read image 1/6", "read image 6/6"]
    assert err == ""


def test_an_interrupt_does_not_wait_for_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, **{f"{name}__{i}": noise(2, 2) for name in "ab" for i in range(20)})
    monkeypatch.setattr(module, "FILES_AT_ONCE", 1)
    shown, go_on = [], threading.Event()
    decode = module.decode

    def slow(path: Path, *rest: Any, **options: Any) -> Any:
        if shown:
            go_on.wait(20)
        shown.append(path)
        return decode(path, *rest, **options)

    def interrupt(*_: Any) -> None:
        threading.Timer(0.2, go_on.set).start()
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "decode", slow)
    monkeypatch.setattr(module.Progress, "show", interrupt)
    with pytest.raises(KeyboardInterrupt):
        read_image_folder(tmp_path, (2, 2), "grey", workers=1)
    assert len(shown) < 5


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
