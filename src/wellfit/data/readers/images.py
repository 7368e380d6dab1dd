"""A folder of images as one array."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from wellfit.data.raw import Entry, RawData, Unlabelled
from wellfit.data.readers.class_folders import list_images
from wellfit.data.readers.image_checks import bad_files_error, check_sizes, image_warnings, too_large
from wellfit.data.readers.image_decoding import FILES_AT_ONCE, Outcome, collected_warnings, decode_all
from wellfit.data.readers.image_files import ImageFiles, images_below, shown
from wellfit.data.readers.image_labels import find_label_file, list_labelled
from wellfit.data.readers.pixels import ImageError, decode, is_grey
from wellfit.data.scratch import empty_array, forget, memory_budget
from wellfit.errors import WellfitError
from wellfit.files import NO_ROOM
from wellfit.machine import core_count
from wellfit.manifest import file_sha256

if TYPE_CHECKING:
    from wellfit.data.settings import DataConfig

Channels = Literal["auto", "grey", "rgb"]


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
    with collected_warnings() as collected:
        grey = channels == "grey" or (channels == "auto" and all(map(is_grey, paths)))
        images = _empty_array((len(paths), 1 if grey else 3, *(image_size or _first_size(paths))), budget)
        outcomes = decode_all(paths, images, image_size, collected, workers or core_count())
    bad = tuple((shown(file), one.fault) for file, one in zip(files, outcomes, strict=True) if one.fault)
    if bad:
        if not skips_bad_files:
            raise bad_files_error(folder, bad, len(files))
        listed, images, outcomes = _without_bad_files(folder, listed, images, outcomes)
    names = tuple(map(shown, (*listed.files, *listed.unlabelled)))
    check_sizes(folder, names, outcomes, images.shape[2:])
    n = len(listed.files)
    return RawData(
        images[:n],
        listed.labels,
        listed.class_names,
        listed.target_name,
        splits=listed.splits,
        ids=np.array(names[:n]),
        warnings=image_warnings(listed, names, outcomes, bad),
        unlabelled=Unlabelled(images[n:], np.array(names[n:])) if listed.unlabelled else None,
        bad_files=bad,
    )


def _first_size(paths: Sequence[Path]) -> tuple[int, int]:
    for path in paths:
        with suppress(ImageError):
            _, height, width = decode(path, None, grey=True).pixels.shape
            return height, width
    return 1, 1  # no file can be read, which is told of all together


def _empty_array(shape: tuple[int, ...], budget: int | None) -> NDArray[np.uint8]:
    try:
        return empty_array(shape, np.uint8, sys.maxsize if budget is None else budget)
    except (MemoryError, ValueError):  # too large for the machine, or for any
        raise too_large(shape, "memory") from None
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise too_large(shape, "disk, more than is left there") from None


def _without_bad_files(
    folder: Path, listed: ImageFiles, images: NDArray[np.uint8], outcomes: Sequence[Outcome]
) -> tuple[ImageFiles, NDArray[np.uint8], list[Outcome]]:
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
