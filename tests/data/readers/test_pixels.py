import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, PngImagePlugin

from wellfit.data.readers.pixels import ImageError, decode, is_grey

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (24, 32, 3), dtype=np.uint8)
GREY = RGB[..., 0]
WHITE = 255
ORIENTATION = 0x0112


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def channels_first(image: Image.Image, mode: str) -> np.ndarray:
    array = np.asarray(image.convert(mode))
    return array[np.newaxis] if mode == "L" else array.transpose(2, 0, 1)


@pytest.mark.parametrize("extension", ["png", "bmp", "ppm", "tif", "webp"])
def test_what_is_stored_without_loss_comes_back(extension: str, tmp_path: Path) -> None:
    path = saved(
        tmp_path / f"a.{extension}", Image.fromarray(RGB), **({"lossless": True} if extension == "webp" else {})
    )
    pixels, notes, brightest = decode(path, None, grey=False)
    np.testing.assert_array_equal(pixels, RGB.transpose(2, 0, 1))
    assert (pixels.dtype, notes, brightest) == (np.uint8, frozenset(), None)


@pytest.mark.parametrize("extension", ["png", "bmp", "pgm", "tif"])
def test_what_is_grey_has_one_channel_or_three_equal_ones(extension: str, tmp_path: Path) -> None:
    path = saved(tmp_path / f"a.{extension}", Image.fromarray(GREY))
    np.testing.assert_array_equal(decode(path, None, grey=True).pixels, GREY[np.newaxis])
    np.testing.assert_array_equal(decode(path, None, grey=False).pixels, np.stack([GREY] * 3))
    assert is_grey(path)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("grey", [True, False])
def test_a_jpeg_is_what_pillow_makes_of_it(mode: str, grey: bool, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", Image.fromarray(RGB).convert(mode))
    with Image.open(path) as theirs:
        assert theirs.mode == mode
        np.testing.assert_array_equal(
            decode(path, None, grey=grey).pixels, channels_first(theirs, "L" if grey else "RGB")
        )
    assert is_grey(path) == (mode == "L")


def test_colours_become_grey_by_itu_r_601(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(RGB))
    expected = RGB @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(decode(path, None, grey=True).pixels[0], expected, atol=0.51)


def test_black_and_white(tmp_path: Path) -> None:
    for extension in ("png", "bmp", "tif"):
        path = saved(tmp_path / f"a.{extension}", Image.fromarray(GREY > 100))
        np.testing.assert_array_equal(decode(path, None, grey=True).pixels[0], np.where(GREY > 100, WHITE, 0))
        assert is_grey(path)


def palette_image(*colours: tuple[int, int, int], used: int) -> Image.Image:
    image = Image.new("P", (used, 1))
    image.putpalette([value for colour in colours for value in colour])
    image.putdata(list(range(used)))
    return image


@pytest.mark.parametrize("extension", ["png", "bmp", "tif", "gif"])
def test_a_palette_is_looked_up(extension: str, tmp_path: Path) -> None:
    image = palette_image((10, 20, 30), (200, 100, 0), used=2)
    path = saved(tmp_path / f"a.{extension}", image)
    np.testing.assert_array_equal(decode(path, None, grey=False).pixels[:, 0].T, [(10, 20, 30), (200, 100, 0)])
    assert not is_grey(path)


@pytest.mark.parametrize("extension", ["png", "bmp", "tif"])
def test_a_palette_is_grey_where_the_colours_in_use_are(extension: str, tmp_path: Path) -> None:
    colours = (7, 7, 7), (90, 90, 90), (1, 2, 3)
    grey = saved(tmp_path / f"grey.{extension}", palette_image(*colours, used=2))
    assert is_grey(grey)
    np.testing.assert_array_equal(decode(grey, None, grey=True).pixels, [[[7, 90]]])
    assert not is_grey(saved(tmp_path / f"colour.{extension}", palette_image(*colours, used=3)))


def test_rgb_is_not_grey_though_its_channels_are_equal(tmp_path: Path) -> None:
    assert not is_grey(saved(tmp_path / "a.png", Image.fromarray(np.stack([GREY] * 3, axis=-1))))


def over_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., np.newaxis] / 255
    return (colour * share + WHITE * (1 - share)).transpose(2, 0, 1)


@pytest.mark.parametrize("extension", ["png", "tif", "webp"])
def test_transparent_parts_are_laid_over_white(extension: str, tmp_path: Path) -> None:
    alpha = RNG.integers(0, 256, GREY.shape, dtype=np.uint8)
    alpha[0] = 0
    image = Image.fromarray(np.dstack([RGB, alpha]))
    path = saved(
        tmp_path / f"a.{extension}", image, **({"lossless": True, "exact": True} if extension == "webp" else {})
    )
    pixels, notes, _ = decode(path, None, grey=False)
    np.testing.assert_allclose(pixels, over_white(RGB, alpha), atol=1)
    assert (pixels[:, 0] == WHITE).all()
    assert notes == {"transparent"}


def test_transparent_grey_stays_grey(tmp_path: Path) -> None:
    alpha = RNG.integers(0, 256, GREY.shape, dtype=np.uint8)
    path = saved(tmp_path / "a.png", Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(alpha)]))
    pixels, notes, _ = decode(path, None, grey=True)
    np.testing.assert_allclose(pixels, over_white(GREY[..., np.newaxis], alpha), atol=1)
    assert notes == {"transparent"}
    assert is_grey(path)


def test_an_alpha_channel_without_effect_is_no_transparency(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(RGB).convert("RGBA"))
    pixels, notes, _ = decode(path, None, grey=False)
    np.testing.assert_array_equal(pixels, RGB.transpose(2, 0, 1))
    assert notes == frozenset()


@pytest.mark.parametrize("transparency", [1, b"\xff\x00"])
def test_a_transparent_entry_of_a_palette(transparency: int | bytes, tmp_path: Path) -> None:
    image = palette_image((10, 20, 30), (200, 100, 0), used=2)
    path = saved(tmp_path / "a.png", image, transparency=transparency)
    pixels, notes, _ = decode(path, None, grey=False)
    np.testing.assert_array_equal(pixels[:, 0].T, [(10, 20, 30), (WHITE, WHITE, WHITE)])
    assert notes == {"transparent"}


@pytest.mark.parametrize(("mode", "key"), [("RGB", (1, 2, 3)), ("L", 9)])
def test_a_transparent_colour(mode: str, key: Any, tmp_path: Path) -> None:
    image = Image.new(mode, (2, 1), key)
    image.putpixel((1, 0), 0 if mode == "L" else (0, 0, 0))
    pixels, notes, _ = decode(saved(tmp_path / "a.png", image, transparency=key), None, grey=False)
    np.testing.assert_array_equal(pixels[:, 0].T, [(WHITE, WHITE, WHITE), (0, 0, 0)])
    assert notes == {"transparent"}


SIXTEEN = RNG.integers(0, 65536, (6, 5), dtype=np.uint16)
SIXTEEN[0, :2] = 0, 65535


@pytest.mark.parametrize("extension", ["png", "tif", "pgm"])
def test_of_16_bits_the_upper_8_remain(extension: str, tmp_path: Path) -> None:
    path = saved(tmp_path / f"a.{extension}", Image.fromarray(SIXTEEN))
    pixels, notes, brightest = decode(path, None, grey=True)
    np.testing.assert_array_equal(pixels[0], SIXTEEN >> 8)
    assert (notes, brightest) == (frozenset(), 65535)
    assert is_grey(path)


def test_16_bits_of_the_other_byte_order(tmp_path: Path) -> None:
    image = Image.frombytes("I;16B", SIXTEEN.shape[::-1], SIXTEEN.astype(">u2").tobytes())
    path = saved(tmp_path / "a.tif", image)
    with Image.open(path) as theirs:
        assert theirs.mode == "I;16B"
    assert is_grey(path)
    np.testing.assert_array_equal(decode(path, None, grey=True).pixels[0], SIXTEEN >> 8)


def test_32_bit_numbers_in_the_range_of_16_bits(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", Image.fromarray(SIXTEEN.astype(np.int32)))
    with Image.open(path) as theirs:
        assert theirs.mode == "I"
    assert is_grey(path)
    np.testing.assert_array_equal(decode(path, None, grey=True).pixels[0], SIXTEEN >> 8)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_16_bits_of_colour(tmp_path: Path) -> None:
    colours = RNG.integers(0, 65536, (4, 3, 3), dtype=np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in colours)  # Pillow does not write such a file
    header = struct.pack(">IIBBBBB", 3, 4, 16, 2, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    np.testing.assert_array_equal(decode(path, None, grey=False).pixels, (colours >> 8).transpose(2, 0, 1))


@pytest.mark.parametrize("image_size", [None, (5, 7)])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "I;16", "RGBA", "1"])
def test_all_eight_orientations_are_turned_upright(
    mode: str, image_size: tuple[int, int] | None, tmp_path: Path
) -> None:
    upright = Image.fromarray(SIXTEEN) if mode == "I;16" else Image.fromarray(RGB).convert(mode)
    expected = decode(saved(tmp_path / "upright.png", upright), image_size, grey=False).pixels
    transpose = Image.Transpose  # the inverse of what undoes each orientation
    stored = {
        1: None,
        2: transpose.FLIP_LEFT_RIGHT,
        3: transpose.ROTATE_180,
        4: transpose.FLIP_TOP_BOTTOM,
        5: transpose.TRANSPOSE,
        6: transpose.ROTATE_90,
        7: transpose.TRANSVERSE,
        8: transpose.ROTATE_270,
    }
    for orientation, method in stored.items():
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        image = upright if method is None else upright.transpose(method)
        for extension in {"P": ["png"], "RGB": ["png", "tif", "webp"]}.get(mode, ["png", "tif"]):
            options = {"lossless": True} if extension == "webp" else {}
            path = saved(tmp_path / f"{orientation}.{extension}", image, exif=exif, **options)
            pixels, notes, _ = decode(path, image_size, grey=False)
            np.testing.assert_array_equal(pixels, expected, err_msg=f"{orientation} {extension}")
            assert "exif" not in notes


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_rotated_jpeg_is_what_pillow_makes_of_it(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = saved(tmp_path / "a.jpg", Image.fromarray(RGB), exif=exif)
    with Image.open(path) as image:
        theirs = ImageOps.exif_transpose(image)
    np.testing.assert_array_equal(decode(path, None, grey=False).pixels, channels_first(theirs, "RGB"))


def test_exif_data_that_cannot_be_read_cost_the_rotation_alone(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(RGB), exif=b"Exif\0\0no TIFF header here")
    pixels, notes, _ = decode(path, None, grey=False)
    np.testing.assert_array_equal(pixels, RGB.transpose(2, 0, 1))
    assert notes == {"exif"}


@pytest.mark.parametrize("extension", ["gif", "tif", "webp", "png"])
def test_of_several_frames_the_first_is_taken(extension: str, tmp_path: Path) -> None:
    first, second = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 255))
    options = {"lossless": True} if extension == "webp" else {}
    path = saved(tmp_path / f"a.{extension}", first, save_all=True, append_images=[second], **options)
    pixels, notes, _ = decode(path, None, grey=False)
    assert (pixels == np.array([255, 0, 0])[:, np.newaxis, np.newaxis]).all()
    assert notes == {"frames"}


def test_the_preview_in_a_photograph_is_no_frame(tmp_path: Path) -> None:
    image = Image.fromarray(RGB)
    path = saved(tmp_path / "a.jpg", image, format="MPO", save_all=True, append_images=[image.resize((4, 4))])
    with Image.open(path) as theirs:
        assert theirs.format == "MPO"
    assert decode(path, None, grey=False).notes == frozenset()


@given(height=st.integers(1, 40), width=st.integers(1, 40), size=st.tuples(st.integers(1, 40), st.integers(1, 40)))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_size_is_brought_to_any_other(height: int, width: int, size: tuple[int, int], tmp_path: Path) -> None:
    path = saved(tmp_path / "a.bmp", Image.new("RGB", (width, height), (10, 20, 30)))
    pixels, notes, _ = decode(path, size, grey=False)
    assert pixels.shape == (3, *size)
    assert (pixels == np.array([10, 20, 30])[:, np.newaxis, np.newaxis]).all()
    assert ("enlarged" in notes) == (height < size[0] or width < size[1])
    covered = max(size[0] / height, size[1] / width)
    assert ("cropped" in notes) == (2 * size[0] * size[1] < height * covered * width * covered)


@given(eighths=st.integers(1, 24))
@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_without_cropping_it_is_torchvisions_antialiased_resize(eighths: int, tmp_path: Path) -> None:
    from torchvision.transforms.v2.functional import resize

    size = 3 * eighths, 4 * eighths
    path = saved(tmp_path / "a.png", Image.fromarray(RGB))
    theirs = resize(Image.fromarray(RGB), list(size), antialias=True)
    np.testing.assert_array_equal(decode(path, size, grey=False).pixels, channels_first(theirs, "RGB"))


@pytest.mark.parametrize(("size", "box"), [((24, 24), (4, 0, 28, 24)), ((12, 32), (0, 6, 32, 18))])
def test_what_does_not_fit_is_cropped_on_both_sides(
    size: tuple[int, int], box: tuple[int, int, int, int], tmp_path: Path
) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(RGB))
    left, upper, right, lower = box
    expected = RGB[upper:lower, left:right].transpose(2, 0, 1)
    np.testing.assert_array_equal(decode(path, size, grey=False).pixels, expected)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same(orientation: int, tmp_path: Path) -> None:
    y, x = np.mgrid[:400, :1000] / 40
    wave = np.stack([np.sin(x) * np.cos(y), np.cos(x + y), np.sin(x - y)], axis=-1)
    photograph = Image.fromarray((127 + 120 * wave).astype(np.uint8))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    jpeg = saved(tmp_path / "a.jpg", photograph, quality=95, exif=exif)
    png = saved(tmp_path / "a.png", photograph, exif=exif)
    for size in ((30, 40), (96, 50), (400, 400), (450, 1100)):
        from_jpeg, from_png = (decode(path, size, grey=False) for path in (jpeg, png))
        assert np.abs(from_jpeg.pixels.astype(int) - from_png.pixels).mean() < 2
        assert from_jpeg.notes == from_png.notes


@pytest.mark.parametrize("size", [(100, 100), (160, 200)])
def test_no_jpeg_is_decoded_at_less_than_twice_the_size(
    size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    fit = ImageOps.fit
    monkeypatch.setattr(ImageOps, "fit", lambda image, *rest: decoded.append(image.size) or fit(image, *rest))
    decode(saved(tmp_path / "a.jpg", Image.new("RGB", (900, 800))), size, grey=False)
    assert decoded == [(225, 200) if size == (100, 100) else (450, 400)]


def png_bytes(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("extension", ["png", "jpg", "bmp", "ppm", "tif", "webp"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.5, 0.95])
def test_a_truncated_file(extension: str, share: float, tmp_path: Path) -> None:
    noise = Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    path = saved(tmp_path / f"a.{extension}", noise)
    body = path.read_bytes()
    path.write_bytes(body[: int(share * len(body))])
    with pytest.raises(
        ImageError, match=r"^is (empty|truncated|damaged \(.+\)|not an image that can be read); .*remove"
    ):
        decode(path, None, grey=False)
    assert is_grey(path) in (True, False)


def test_a_truncated_photograph_is_said_to_be_truncated(tmp_path: Path) -> None:
    for extension in ("png", "jpg"):
        path = saved(tmp_path / f"a.{extension}", Image.fromarray(RGB))
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(ImageError, match=r"^is truncated; get it anew, or remove it$"):
            decode(path, None, grey=False)


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7), extension=st.sampled_from(["png", "jpg", "tif", "bmp"]))
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.filterwarnings("ignore")
def test_a_flipped_bit_gives_pixels_or_one_line(place: int, bit: int, extension: str, tmp_path: Path) -> None:
    path = saved(tmp_path / f"a.{extension}", Image.fromarray(RGB))
    body = bytearray(path.read_bytes())
    body[place % len(body)] ^= 1 << bit
    path.write_bytes(body)
    try:
        said = ""
        assert decode(path, (8, 8), grey=False).pixels.shape == (3, 8, 8)
    except ImageError as error:
        said = str(error)
    assert said.isprintable()


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "is empty; save it anew as one of .jpg, .jpeg, .png"),
        (b"<html>not found</html>", "is not an image that can be read; save it anew as one of"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "is not an image that can be read"),
        (png_bytes(Image.fromarray(RGB))[:40], "is not an image|is damaged|is truncated"),
    ],
)
def test_what_is_no_image(body: bytes, fault: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(body)
    with pytest.raises(ImageError, match=f"^({fault})"):
        decode(tmp_path / "a.png", None, grey=False)
    assert is_grey(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["folder", "broken link", "pipe", "nothing"])
def test_what_is_no_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    if kind == "folder":
        path.mkdir()
    elif kind == "broken link":
        path.symlink_to("nowhere")
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(ImageError, match=r"^is not a file, nor a link to one; remove it$"):
        decode(path, None, grey=False)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(RGB))

    def refuse(*_: Any, **__: Any) -> None:  # chmod does not hold root back
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(ImageError, match=r"^cannot be read: Permission denied; get it anew, or remove it$"):
        decode(path, None, grey=False)


@pytest.mark.parametrize("values", [np.float32([[0.5]]), np.int32([[70_000]]), np.int32([[-1]])])
def test_numbers_of_no_known_range(values: np.ndarray, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", Image.fromarray(values))
    with pytest.raises(
        ImageError, match=r"^holds (floating-point|32-bit) numbers, whose range is not known; save it wi"
    ):
        decode(path, None, grey=True)


def test_a_decompression_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    path = saved(tmp_path / "a.png", Image.fromarray(RGB))
    with pytest.raises(ImageError, match=r"^has more than 200 pixels; make it smaller, or remove it$"):
        decode(path, (2, 2), grey=False)


def test_a_text_that_unpacks_to_too_much(tmp_path: Path) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "x" * (PngImagePlugin.MAX_TEXT_CHUNK + 1), zip=True)
    path = saved(tmp_path / "a.png", Image.fromarray(RGB), pnginfo=text)
    with pytest.raises(ImageError, match=r"^is damaged \(Decompressed data too large.*\); get it anew, or remove it$"):
        decode(path, None, grey=False)
