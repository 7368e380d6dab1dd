"""Decodes one image file into uint8 pixels: upright, opaque, grey or RGB, and of the wanted size."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from wellfit.data.readers.image_files import EXTENSIONS

# What the extensions promise, and GIF, which is often found under them. Pillow knows more, among it PostScript, which
# it would have another program run.
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")
GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")
Picture = Path | bytes  # a file, or what stands in one
Note = Literal["frames", "exif", "transparent", "enlarged", "cropped"]


class ImageError(Exception):
    """Why a file gives no pixels, and what to do: the end of a sentence that begins with the file's name."""


class Decoded(NamedTuple):
    """An image.

    Attributes:
        pixels: uint8 (channels, height, width).
        notes: what was done to it that a user may not expect: of several frames the first was taken; its EXIF data
            could not be read, so it may lie on its side; transparent parts were laid over white; it was enlarged; less
            than half of it was kept.
        brightest: the largest value where the file has 16 bits a channel, else None.
    """

    pixels: NDArray[np.uint8]
    notes: frozenset[Note]
    brightest: int | None


def decode(picture: Picture, image_size: tuple[int, int] | None, *, grey: bool) -> Decoded:
    """Reads the first frame of an image file.

    It is turned as its EXIF data say; 16 bits a channel become 8 by leaving out the lower ones; transparent parts are
    laid over white, as a page shows them; colours become grey by ITU-R 601 (Pillow's ``convert("L")``), colour
    profiles are not applied. Then it is scaled, with antialiased bilinear interpolation, until it covers
    ``image_size``, and cropped around its centre (`PIL.ImageOps.fit`). A JPEG much larger than that is decoded at a
    half, quarter or eighth of its size, but at no less than twice ``image_size``.

    Args:
        picture: the file, or what stands in it.
        image_size: (height, width) in pixels; None keeps the image's own.
        grey: one channel; else three, RGB.

    Raises:
        ImageError: the file is damaged, of another format, too large, or has values of no known range.
    """
    notes: set[Note] = set()
    with _opened(picture) as image:
        if image.format != "MPO" and getattr(image, "is_animated", False):  # an MPO is a JPEG with a preview
            notes.add("frames")
        if image_size:
            image.draft(None, (2 * max(image_size), 2 * max(image_size)))
        image.load()
        _turn_upright(image, notes)
        shallow, brightest = _eight_bits(image)
        opaque = _opaque(shallow, notes).convert("L" if grey else "RGB")
        if image_size:
            opaque = _fitted(opaque, image_size, notes)
        pixels = np.asarray(opaque)
    return Decoded(pixels[np.newaxis] if grey else pixels.transpose(2, 0, 1), frozenset(notes), brightest)


def is_grey(path: Path) -> bool:
    """Whether an image file has no colours: by its mode, which its header tells, or by what its palette gives.

    An RGB image does not count, whatever its pixels are. A file that cannot be read does: `decode` will tell.
    """
    try:
        with _opened(path) as image:
            mode = image.mode
        if mode not in ("P", "PA"):
            return mode in GREY_MODES
        pixels = decode(path, None, grey=False).pixels
        return bool((pixels == pixels[:1]).all())
    except ImageError:
        return True


@contextmanager
def _opened(picture: Picture) -> Iterator[Image.Image]:
    """Opens an image and turns what Pillow raises, now or in the block, into an `ImageError`."""
    if isinstance(picture, Path) and not picture.is_file():  # to open a pipe would wait for ever
        raise ImageError("is not a file, nor a link to one; remove it")
    try:
        # Given the path, Pillow 13.0 maps an uncompressed TIFF into memory and then takes height for width where its
        # orientation is one of those that exchange them.
        with _stream(picture) as file, Image.open(file, formats=FORMATS) as image:
            yield image
    except ImageError:
        raise
    except UnidentifiedImageError:
        size = picture.stat().st_size if isinstance(picture, Path) else len(picture)
        fault = "is not an image that can be read" if size else "is empty"
        raise ImageError(f"{fault}; save it anew as one of {', '.join(EXTENSIONS)}, or remove it") from None
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise ImageError(f"has more than {limit} pixels; make it smaller, or remove it") from None
    except Exception as error:  # a damaged file makes Pillow raise all kinds
        raise ImageError(f"{_reason(error)}; get it anew, or remove it") from None


def _stream(picture: Picture) -> BinaryIO:
    return picture.open("rb") if isinstance(picture, Path) else io.BytesIO(picture)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror}"
    if isinstance(error, OSError) and "truncated" in str(error):
        return "is truncated"
    return f"is damaged ({' '.join(str(error).split()) or type(error).__name__})"


def _turn_upright(image: Image.Image, notes: set[Note]) -> None:
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception:  # the pixels are there; damaged EXIF data make Pillow raise all kinds
        notes.add("exif")


def _eight_bits(image: Image.Image) -> tuple[Image.Image, int | None]:
    """Scales 16 bits to 8, and tells the largest value; Pillow has 16-bit files in mode I too."""
    if image.mode == "F":
        raise ImageError("holds floating-point numbers, whose range is not known; save it with 8 or 16 bits")
    if not image.mode.startswith("I"):
        return image, None
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError("holds 32-bit numbers, whose range is not known; save it with 8 or 16 bits")
    return Image.fromarray((values >> 8).astype(np.uint8)), int(values.max())


def _opaque(image: Image.Image, notes: set[Note]) -> Image.Image:
    if not image.has_transparency_data:
        return image
    layer = image.convert("RGBA")
    if np.asarray(layer)[..., 3].min() == 255:
        return layer
    notes.add("transparent")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)


def _fitted(image: Image.Image, image_size: tuple[int, int], notes: set[Note]) -> Image.Image:
    height, width = image_size
    scale = max(height / image.height, width / image.width)
    if scale > 1:
        notes.add("enlarged")
    if height * width < 0.5 * (scale * image.height) * (scale * image.width):
        notes.add("cropped")
    return ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
