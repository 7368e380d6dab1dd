"""A folder of images as one array, decoded in parallel."""

from __future__ import annotations

import hashlib
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.data.raw import Entry, RawData
from wellfit.data.readers.image_files import ImageFiles, list_images
from wellfit.data.readers.pixels import ImageError, Note, Picture, decode, is_grey
from wellfit.errors import WellfitError
from wellfit.progress import Progress

if TYPE_CHECKING:
    from wellfit.data.settings import DataConfig

Channels = Literal["auto", "grey", "rgb"]
FILES_AT_ONCE = 16  # per task, so that a million files do not need a million tasks
FILES_NAMED = 5  # of those that cannot be read
DIM = 2**15  # 16-bit images with all values below use less than half of their range
NOTES: dict[Note, str] = {
    "frames": "has several frames, of which the first is read",
    "exif": "has EXIF data that cannot be read, so it may not be upright",
    "transparent": "has transparent parts, which are laid over white",
    "enlarged": "is smaller than data.image_size and is enlarged",
    "cropped": "loses more than half of its area where data.image_size crops it",
}


class _Outcome(NamedTuple):
    """The outcome of decoding one file.

    Attributes:
        fault: why it gave no pixels.
        other_size: (height, width) that does not fit the array.
        notes: as in `wellfit.data.readers.pixels.Decoded`.
        brightest: likewise.
        pillow: what Pillow warned of.
        digest: of the pixels.
    """

    fault: str | None = None
    other_size: tuple[int, int] | None = None
    notes: frozenset[Note] = frozenset()
    brightest: int | None = None
    pillow: str | None = None
    digest: bytes = b""


def read_own_images(_entry: Entry, _folder: Path, data: DataConfig) -> RawData:
    """Reads the folder of images that ``data.path`` names, as `read_image_folder` does it."""
    size = (data.image_size[0], data.image_size[1]) if data.image_size else None
    return read_image_folder(Path(data.path), size, data.channels)


def read_image_folder(
    folder: Path, image_size: tuple[int, int] | None, channels: Channels, workers: int | None = None
) -> RawData:
    """Decodes every image once, as `wellfit.data.readers.pixels.decode` does it; the same folder gives the same arrays.

    Args:
        folder: one folder for each class, as `wellfit.data.readers.image_files.list_images` wants them.
        image_size: (height, width) in pixels that each image is scaled and cropped to; None where they have one size.
        channels: grey, rgb, or auto: grey where each image is (see `wellfit.data.readers.pixels.is_grey`), else rgb.
        workers: threads, by default one for each core; Pillow decodes outside of Python's lock.

    Returns:
        The images in the order of `wellfit.data.readers.image_files.list_images`, each called by its path.

    Raises:
        WellfitError: the folder is not laid out as it should be, a file gives no pixels, the sizes differ, or the
            images do not fit into memory.
    """
    listed = list_images(folder)
    paths = [folder / file for file in listed.files]
    with _collected_warnings() as collected:
        grey = channels == "grey" or (channels == "auto" and all(map(is_grey, paths)))
        images = _empty_array(len(paths), 1 if grey else 3, image_size or _first_size(paths))
        outcomes = _decode_all(paths, images, image_size, collected, workers or os.cpu_count() or 1)
    _check(folder, listed.files, outcomes, images.shape[2:])
    return RawData(
        images,
        listed.labels,
        listed.class_names,
        "class",
        splits=listed.splits,
        ids=np.array(listed.files),
        warnings=(*listed.warnings, *_warnings(listed, outcomes)),
    )


def read_images(
    pictures: Sequence[Picture], names: Sequence[str], shape: tuple[int, ...], workers: int | None = None
) -> NDArray[np.uint8]:
    """Decodes images that a model is to predict, scaled and cropped to its size.

    Args:
        pictures: files, or what stands in them.
        names: of each, for messages.
        shape: (channels, height, width).
        workers: threads, by default one for each core.

    Raises:
        WellfitError: a file gives no pixels.
    """
    images = np.empty((len(pictures), *shape), np.uint8)
    size = (shape[1], shape[2])
    with _collected_warnings(), ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        outcomes = list(pool.map(lambda picture, target: _decode_one(picture, target, size), pictures, images))
    for name, outcome in zip(names, outcomes, strict=True):
        if outcome.fault:
            raise WellfitError(f"{name} {outcome.fault}")
    return images


@contextmanager
def _collected_warnings() -> Iterator[dict[int, str]]:
    """Keeps the last warning of each thread, by its number, instead of printing it."""
    collected: dict[int, str] = {}

    def collect(message: Warning | str, *_: Any, **__: Any) -> None:
        collected[threading.get_ident()] = " ".join(str(message).split())

    with warnings.catch_warnings():  # puts showwarning back too
        warnings.simplefilter("always")
        warnings.showwarning = collect
        yield collected


def _first_size(paths: Sequence[Path]) -> tuple[int, int]:
    for path in paths:
        with suppress(ImageError):
            _, height, width = decode(path, None, grey=True).pixels.shape
            return height, width
    return 1, 1  # no file can be read; `_check` raises later


def _empty_array(n_images: int, channels: int, image_size: tuple[int, int]) -> NDArray[np.uint8]:
    try:
        return np.empty((n_images, channels, *image_size), dtype=np.uint8)
    except (MemoryError, ValueError):  # too large for the machine, or for any
        gigabytes = n_images * channels * image_size[0] * image_size[1] / 1e9
        raise WellfitError(
            f"{n_images} images of {image_size[0]} × {image_size[1]} pixels need {gigabytes:.3g} GB of memory; "
            "lower data.image_size"
        ) from None


def _decode_all(
    paths: Sequence[Path],
    images: NDArray[np.uint8],
    image_size: tuple[int, int] | None,
    collected: dict[int, str],
    workers: int,
) -> list[_Outcome]:
    """Fills ``images`` and returns the outcome of each file, in their order."""

    def work(rows: range) -> list[_Outcome]:
        done = []
        for row in rows:
            collected.pop(threading.get_ident(), None)
            outcome = _decode_one(paths[row], images[row], image_size)
            done.append(outcome._replace(pillow=collected.get(threading.get_ident())))
        return done

    n = len(paths)
    tasks = [range(start, min(start + FILES_AT_ONCE, n)) for start in range(0, n, FILES_AT_ONCE)]
    outcomes: list[_Outcome] = []
    with ThreadPoolExecutor(workers) as pool, Progress("read", n, "image") as progress:
        for done in pool.map(work, tasks):
            for outcome in done:
                outcomes.append(outcome)
                progress.show(len(outcomes), {})
    return outcomes


def _decode_one(picture: Picture, target: NDArray[np.uint8], image_size: tuple[int, int] | None) -> _Outcome:
    try:
        pixels, notes, brightest = decode(picture, image_size, grey=len(target) == 1)
    except ImageError as fault:
        return _Outcome(fault=str(fault))
    if pixels.shape != target.shape:
        return _Outcome(other_size=pixels.shape[1:])
    target[...] = pixels
    return _Outcome(notes=notes, brightest=brightest, digest=hashlib.blake2b(target.tobytes(), digest_size=16).digest())


def _check(folder: Path, files: Sequence[str], outcomes: Sequence[_Outcome], size: tuple[int, ...]) -> None:
    faults = [(file, outcome.fault) for file, outcome in zip(files, outcomes, strict=True) if outcome.fault]
    if faults:
        (first, fault), *rest = faults
        named = ", ".join(file for file, _ in rest[:FILES_NAMED])
        more = ", ..." if len(rest) > FILES_NAMED else ""
        others = f" ({len(rest)} more cannot be read: {named}{more})" if rest else ""
        raise WellfitError(f"{folder / first} {fault}{others}")
    odd = [(file, outcome.other_size) for file, outcome in zip(files, outcomes, strict=True) if outcome.other_size]
    if odd:
        file, (height, width) = odd[0]
        raise WellfitError(
            f"{folder / file} is {height} × {width} pixels, but {files[0]} {size[0]} × {size[1]}, and {len(odd)} of "
            f"{len(files)} images differ so; set data.image_size to the one that all shall have"
        )


def _warnings(listed: ImageFiles, outcomes: Sequence[_Outcome]) -> list[str]:
    sentences = []
    for note, text in NOTES.items():
        rows = [row for row, outcome in enumerate(outcomes) if note in outcome.notes]
        if rows:
            sentences.append(f"{listed.files[rows[0]]} {text}{_like_it(rows)}")
    warned = [row for row, outcome in enumerate(outcomes) if outcome.pillow]
    if warned:
        sentences.append(f"{listed.files[warned[0]]} makes Pillow warn: {outcomes[warned[0]].pillow}{_like_it(warned)}")
    brightest = max((outcome.brightest for outcome in outcomes if outcome.brightest is not None), default=DIM)
    if brightest < DIM:
        sentences.append(
            f"the 16-bit images reach {brightest} of 65535, so that {brightest // 256 + 1} of 256 levels are left in 8 "
            "bits; stretch their range to have more"
        )
    return sentences + _equal_pixels(listed, outcomes)


def _like_it(rows: Sequence[int]) -> str:
    return f" ({len(rows) - 1} more like it)" if len(rows) > 1 else ""


def _equal_pixels(listed: ImageFiles, outcomes: Sequence[_Outcome]) -> list[str]:
    """Images of equal pixels in different classes."""
    first: dict[bytes, int] = {}
    pairs = [(first.setdefault(outcome.digest, row), row) for row, outcome in enumerate(outcomes)]
    clashes = [(one, other) for one, other in pairs if listed.labels[one] != listed.labels[other]]
    if not clashes:
        return []
    one, other = clashes[0]
    return [
        f"{len(clashes)} images have the same pixels as one of another class, the first is {listed.files[other]} "
        f"(as {listed.files[one]})"
    ]
