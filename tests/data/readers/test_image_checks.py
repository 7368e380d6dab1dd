import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wellfit.data.readers.images import read_image_folder
from wellfit.errors import BadFilesError, WellfitError

from .pictures import noise, spoil, write


def test_sizes_that_differ(pets: Path) -> None:
    write(pets, cats__9=noise(9, 10, 3), dogs__9=noise(8, 11, 3))
    expected = (
        f"{pets}/cats/9.png is 9 × 10 pixels, but cats/0.png 8 × 10, and 2 of 8 images differ so; set data.image_size"
    )
    with pytest.raises(WellfitError, match=re.escape(expected)):
        read_image_folder(pets, None, "auto")


def test_files_that_cannot_be_read_are_counted_and_all_given(pets: Path) -> None:
    for file in ("cats/0", "cats/2", "dogs/0"):
        spoil(pets / f"{file}.png")
    for image_size in (None, (4, 4)):
        with pytest.raises(BadFilesError, match=r"cats/0\.png is empty; .* \(2 more of 6 images cannot be") as raised:
            read_image_folder(pets, image_size, "auto")
        assert [name for name, _ in raised.value.files] == ["cats/0.png", "cats/2.png", "dogs/0.png"]
        assert raised.value.files[0][1].startswith("is empty; save it anew")


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
