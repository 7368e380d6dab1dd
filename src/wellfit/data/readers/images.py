"""A folder of images as one array, decoded in parallel."""

from __future__ import annotations

import errno
import hashlib
import math
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.data.raw import Entry, RawData, Unlabelled
from wellfit.data.readers.class_folders import list_images
from wellfit.data.readers.image_files import ImageFiles, images_below, shown
from wellfit.data.readers.image_labels import find_label_file, list_labelled
from wellfit.data.readers.pixels import ImageError, Note, Picture, decode, is_grey
from wellfit.data.scratch import empty_array, forget, memory_budget
from wellfit.errors import BadFilesError, WellfitError
from wellfit.machine import core_count
from wellfit.manifest import file_sha256
from wellfit.progress import Progress

if TYPE_CHECKING:
    from wellfit.data.settings import DataConfig

Channels = Literal["auto", "grey", "rgb"]
FILES_AT_ONCE = 16  # per task, so that a million files do not need a million tasks
BAD_FILES = "bad_files.csv"  # of what is left out, beside the arrays
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


def describe_folder(data: DataConfig) -> dict[str, Any]:
    """Says how many images there are, and of which classes or with which labels, for ``source.json``.

    Raises:
        WellfitError: the images or the labels are not there, or the folder is not laid out as it should be.
    """
    folder = Path(data.path)
    if data.labels:
        path = find_label_file(folder, data.labels)
        return {"images": len(images_below(folder)[0]), "labels": str(path), "sha256": file_sha256(path)}
    listed = list_images(folder)
    return {"images": len(listed.files), "classes": list(listed.class_names)}


def read_own_images(_entry: Entry, _folder: Path, data: DataConfig) -> RawData:
    """Reads the folder of images that ``data.path`` names, as `read_image_folder` does it."""
    folder = Path(data.path)
    listed = list_labelled(folder, data) if data.labels else list_images(folder)
    size = (data.image_size[0], data.image_size[1]) if data.image_size else None
    return read_image_folder(
        folder,
        size,
        data.channels,
        listed=listed,
        skips_bad_files=data.bad_files == "skip",
        budget=memory_budget(data.memory),
    )


def read_image_folder(
    folder: Path,
    image_size: tuple[int, int] | None,
    channels: Channels,
    workers: int | None = None,
    *,
    listed: ImageFiles | None = None,
    skips_bad_files: bool = False,
    budget: int | None = None,
) -> RawData:
    """Decodes every image once, as `wellfit.data.readers.pixels.decode` does it; the same folder gives the same arrays.

    Args:
        folder: of the images.
        image_size: (height, width) in pixels that each image is scaled and cropped to; None where they have one size.
        channels: grey, rgb, or auto: grey where each image is (see `wellfit.data.readers.pixels.is_grey`), else rgb.
        workers: threads, by default one for each core; Pillow decodes outside of Python's lock.
        listed: the images and their classes, by default those of `wellfit.data.readers.class_folders.list_images`.
        skips_bad_files: whether files that give no pixels are left out; else they are refused.
        budget: bytes that all pixels may take in memory; else they are on disk. None: as many as they take.

    Returns:
        The images in the order in which they are listed, each called by its path.

    Raises:
        BadFilesError: files give no pixels.
        WellfitError: the folder is not laid out as it should be, the sizes differ, a class has no image that can be
            read, or the images do not fit into memory.
    """
    listed = listed or list_images(folder)
    files = (*listed.files, *listed.unlabelled)
    paths = [folder / file for file in files]
    with _collected_warnings() as collected:
        grey = channels == "grey" or (channels == "auto" and all(map(is_grey, paths)))
        images = _empty_array((len(paths), 1 if grey else 3, *(image_size or _first_size(paths))), budget)
        outcomes = _decode_all(paths, images, image_size, collected, workers or core_count())
    bad = tuple((shown(file), one.fault) for file, one in zip(files, outcomes, strict=True) if one.fault)
    if bad:
        if not skips_bad_files:
            raise _bad_files(folder, bad, len(files))
        listed, images, outcomes = _without_bad_files(folder, listed, images, outcomes)
    names = tuple(map(shown, (*listed.files, *listed.unlabelled)))
    _check_sizes(folder, names, outcomes, images.shape[2:])
    n = len(listed.files)
    return RawData(
        images[:n],
        listed.labels,
        listed.class_names,
        listed.target_name,
        splits=listed.splits,
        ids=np.array(names[:n]),
        warnings=(
            *listed.warnings,
            *_escaped(names, (*listed.files, *listed.unlabelled)),
            *_warnings(names, listed.labels, outcomes),
            *_left_out(bad, len(files)),
        ),
        unlabelled=Unlabelled(images[n:], np.array(names[n:])) if listed.unlabelled else None,
        bad_files=bad,
    )


def read_images(
    pictures: Sequence[Picture], names: Sequence[str], shape: tuple[int, ...], workers: int | None = None
) -> NDArray[np.uint8]:
    """Decodes images that a model is to predict, as `decode_images` does it.

    Args:
        pictures: files, or what stands in them.
        names: of each, for messages.
        shape: (channels, height, width).
        workers: threads, by default one for each core.

    Raises:
        WellfitError: a file gives no pixels.
    """
    images, faults = decode_images(pictures, shape, workers)
    bad = [f"{name} {fault}" for name, fault in zip(names, faults, strict=True) if fault]
    if bad:
        more = f" ({len(bad) - 1} more of {len(names)} cannot be read)" if len(bad) > 1 else ""
        raise WellfitError(f"{bad[0]}{more}")
    return images


def decode_images(
    pictures: Sequence[Picture], shape: tuple[int, ...], workers: int | None = None
) -> tuple[NDArray[np.uint8], list[str | None]]:
    """Decodes images, scaled and cropped to one size.

    Args:
        pictures: files, or what stands in them.
        shape: (channels, height, width).
        workers: threads, by default one for each core.

    Returns:
        The images (n, channels, height, width), and why a file gives no pixels, None where it does.
    """
    images = np.empty((len(pictures), *shape), np.uint8)
    size = (shape[1], shape[2])
    with _collected_warnings(), ThreadPoolExecutor(workers or core_count()) as pool:
        outcomes = list(pool.map(lambda picture, target: _decode_one(picture, target, size), pictures, images))
    return images, [outcome.fault for outcome in outcomes]


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


def _empty_array(shape: tuple[int, ...], budget: int | None) -> NDArray[np.uint8]:
    try:
        return empty_array(shape, np.uint8, sys.maxsize if budget is None else budget)
    except (MemoryError, ValueError):  # too large for the machine, or for any
        raise _too_large(shape, "memory") from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EFBIG):
            raise
        raise _too_large(shape, "disk, more than is left there") from None


def _too_large(shape: tuple[int, ...], of_what: str) -> WellfitError:
    n_images, _, height, width = shape
    return WellfitError(
        f"{n_images} images of {height} × {width} pixels need {math.prod(shape) / 1e9:.3g} GB of {of_what}; lower "
        "data.image_size"
    )


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
            forget(images)
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


def _bad_files(folder: Path, bad: Sequence[tuple[str, str]], n_files: int) -> BadFilesError:
    (first, fault), *rest = bad
    others = f"{len(rest)} more of {n_files} images cannot be read; " if rest else ""
    return BadFilesError(f"{folder / first} {fault} ({others}data.bad_files: skip leaves out what cannot be read)", bad)


def _without_bad_files(
    folder: Path, listed: ImageFiles, images: NDArray[np.uint8], outcomes: Sequence[_Outcome]
) -> tuple[ImageFiles, NDArray[np.uint8], list[_Outcome]]:
    """What can be read, in the same order and the same memory."""
    good = [row for row, outcome in enumerate(outcomes) if not outcome.fault]
    for row, old in enumerate(good):
        images[row] = images[old]
        if row % FILES_AT_ONCE == 0:
            forget(images)
    n = len(listed.files)
    rows = [row for row in good if row < n]
    labels = listed.labels[rows]
    counts = np.bincount(labels, minlength=len(listed.class_names))
    if not counts.all():
        name = listed.class_names[int(counts.argmin())]
        raise WellfitError(f"{folder}: no image of class {name!r} can be read; get them anew, or remove the class")
    listed = listed._replace(
        files=tuple(listed.files[row] for row in rows),
        labels=labels,
        splits=None if listed.splits is None else listed.splits[rows],
        unlabelled=tuple(listed.unlabelled[row - n] for row in good if row >= n),
    )
    return listed, images[: len(good)], [outcomes[row] for row in good]


def _left_out(bad: Sequence[tuple[str, str]], n_files: int) -> list[str]:
    if not bad:
        return []
    (first, fault), *_ = bad
    return [
        f"{len(bad)} of {n_files} images cannot be read and are left out, the first is {first} ({fault}); {BAD_FILES} "
        "lists all"
    ]


def _check_sizes(folder: Path, names: Sequence[str], outcomes: Sequence[_Outcome], size: tuple[int, ...]) -> None:
    odd = [(name, outcome.other_size) for name, outcome in zip(names, outcomes, strict=True) if outcome.other_size]
    if odd:
        name, (height, width) = odd[0]
        raise WellfitError(
            f"{folder / name} is {height} × {width} pixels, but {names[0]} {size[0]} × {size[1]}, and {len(odd)} of "
            f"{len(names)} images differ so; set data.image_size to the one that all shall have"
        )


def _warnings(names: Sequence[str], labels: NDArray[np.int64], outcomes: Sequence[_Outcome]) -> list[str]:
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


def _escaped(names: Sequence[str], files: Sequence[str]) -> list[str]:
    changed = [name for name, file in zip(names, files, strict=True) if name != file]
    fault = "names have control characters or bytes that are not UTF-8, which are escaped, the first is"
    return [f"{len(changed)} {fault} {changed[0]}"] if changed else []


def _like_it(rows: Sequence[int]) -> str:
    return f" ({len(rows) - 1} more like it)" if len(rows) > 1 else ""


def _equal_pixels(names: Sequence[str], labels: NDArray[np.int64], outcomes: Sequence[_Outcome]) -> list[str]:
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
