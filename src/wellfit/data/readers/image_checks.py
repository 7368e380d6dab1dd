"""What is said of images once they are decoded: warnings, and the errors that refuse them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wellfit.data.readers.image_decoding import Outcome
from wellfit.data.readers.image_files import ImageFiles
from wellfit.data.readers.pixels import Note
from wellfit.errors import BadFilesError, WellfitError

BAD_FILES = "bad_files.csv"  # of what is left out, beside the arrays
DIM = 2**15  # 16-bit images with all values below use less than half of their range
NOTES: dict[Note, str] = {
    "frames": "has several frames, of which the first is read",
    "exif": "has EXIF data that cannot be read, so it may not be upright",
    "transparent": "has transparent parts, which are laid over white",
    "enlarged": "is smaller than data.image_size and is enlarged",
    "cropped": "loses more than half of its area where data.image_size crops it",
}


def too_large(shape: tuple[int, ...], of_what: str) -> WellfitError:
    """The error of pixels, (n, channels, height, width), that there is no room for."""
    n_images, _, height, width = shape
    return WellfitError(
        f"{n_images} images of {height} × {width} pixels need {math.prod(shape) / 1e9:.3g} GB of {of_what}; lower "
        "data.image_size"
    )


def bad_files_error(folder: Path, bad: Sequence[tuple[str, str]], n_files: int) -> BadFilesError:
    """The error of files that give no pixels, by name and fault."""
    (first, fault), *rest = bad
    others = f"{len(rest)} more of {n_files} images cannot be read; " if rest else ""
    return BadFilesError(f"{folder / first} {fault} ({others}data.bad_files: skip leaves out what cannot be read)", bad)


def check_sizes(folder: Path, names: Sequence[str], outcomes: Sequence[Outcome], size: tuple[int, ...]) -> None:
    """Refuses images of other sizes than (height, width).

    Raises:
        WellfitError: an image has another size.
    """
    odd = [(name, outcome.other_size) for name, outcome in zip(names, outcomes, strict=True) if outcome.other_size]
    if odd:
        name, (height, width) = odd[0]
        raise WellfitError(
            f"{folder / name} is {height} × {width} pixels, but {names[0]} {size[0]} × {size[1]}, and {len(odd)} of "
            f"{len(names)} images differ so; set data.image_size to the one that all shall have"
        )


def image_warnings(
    listed: ImageFiles, names: Sequence[str], outcomes: Sequence[Outcome], bad: Sequence[tuple[str, str]]
) -> tuple[str, ...]:
    """All that is worth a word, in sentences, none of which keeps the images from being used.

    Args:
        listed: the images that can be read.
        names: of each of them, as they are shown; then of those without a class.
        outcomes: of each of them.
        bad: name and fault of each file that is left out.
    """
    files = (*listed.files, *listed.unlabelled)
    return (
        *listed.warnings,
        *_escaped(names, files),
        *_of_pixels(names, listed.labels, outcomes),
        *_left_out(bad, len(files) + len(bad)),
    )


def _of_pixels(names: Sequence[str], labels: NDArray[np.int64], outcomes: Sequence[Outcome]) -> list[str]:
    sentences = []
    for note, text in NOTES.items():
        rows = [row for row, outcome in enumerate(outcomes) if note in outcome.notes]
        if rows:
            sentences.append(f"{names[rows[0]]} {text}{_like_it(rows)}")
    warned = [row for row, outcome in enumerate(outcomes) if outcome.pillow]
    if warned:
        sentences.append(f"{names[warned[0]]} makes Pillow warn: {outcomes[warned[0]].pillow}{_like_it(warned)}")
    brightest = max((outcome.brightest for outcome in outcomes if outcome.brightest is not None), default=DIM)
    if brightest < DIM:
        sentences.append(
            f"the 16-bit images reach {brightest} of 65535, so that {brightest // 256 + 1} of 256 levels are left in 8 "
            "bits; stretch their range to have more"
        )
    return sentences + _equal_pixels(names, labels, outcomes[: len(labels)])


def _equal_pixels(names: Sequence[str], labels: NDArray[np.int64], outcomes: Sequence[Outcome]) -> list[str]:
    """Images of equal pixels in different classes."""
    first: dict[bytes, int] = {}
    pairs = [(first.setdefault(outcome.digest, row), row) for row, outcome in enumerate(outcomes)]
    clashes = [(one, other) for one, other in pairs if labels[one] != labels[other]]
    if not clashes:
        return []
    one, other = clashes[0]
    return [
        f"{len(clashes)} images have the same pixels as one of another class, the first is {names[other]} "
        f"(as {names[one]})"
    ]


def _escaped(names: Sequence[str], files: Sequence[str]) -> list[str]:
    changed = [name for name, file in zip(names, files, strict=True) if name != file]
    fault = "names have control characters or bytes that are not UTF-8, which are escaped, the first is"
    return [f"{len(changed)} {fault} {changed[0]}"] if changed else []


def _left_out(bad: Sequence[tuple[str, str]], n_files: int) -> list[str]:
    if not bad:
        return []
    (first, fault), *_ = bad
    return [
        f"{len(bad)} of {n_files} images cannot be read and are left out, the first is {first} ({fault}); {BAD_FILES} "
        "lists all"
    ]


def _like_it(rows: Sequence[int]) -> str:
    return f" ({len(rows) - 1} more like it)" if len(rows) > 1 else ""
