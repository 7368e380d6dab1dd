"""Images decoded into an array that is there already, in parallel; a file that gives no pixels is an outcome, too."""

from __future__ import annotations

import hashlib
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.data.readers.pixels import ImageError, Note, Picture, decode
from wellfit.data.scratch import forget
from wellfit.errors import WellfitError
from wellfit.machine import core_count
from wellfit.progress import Progress

FILES_AT_ONCE = 16  # per task, so that a million files do not need a million tasks


class Outcome(NamedTuple):
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


def decode_all(
    paths: Sequence[Path],
    images: NDArray[np.uint8],
    image_size: tuple[int, int] | None,
    collected: dict[int, str],
    workers: int,
) -> list[Outcome]:
    """Fills ``images`` and returns the outcome of each file, in their order."""

    def work(rows: range) -> list[Outcome]:
        done = []
        for row in rows:
            collected.pop(threading.get_ident(), None)
            outcome = _decode_one(paths[row], images[row], image_size)
            done.append(outcome._replace(pillow=collected.get(threading.get_ident())))
        return done

    n = len(paths)
    tasks = [range(start, min(start + FILES_AT_ONCE, n)) for start in range(0, n, FILES_AT_ONCE)]
    outcomes: list[Outcome] = []
    with ThreadPoolExecutor(workers) as pool, Progress("read", n, "image") as progress:
        for done in pool.map(work, tasks):
            forget(images)
            for outcome in done:
                outcomes.append(outcome)
                progress.show(len(outcomes), {})
    return outcomes


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
    with collected_warnings(), ThreadPoolExecutor(workers or core_count()) as pool:
        outcomes = list(pool.map(lambda picture, target: _decode_one(picture, target, size), pictures, images))
    return images, [outcome.fault for outcome in outcomes]


@contextmanager
def collected_warnings() -> Iterator[dict[int, str]]:
    """Keeps the last warning of each thread, by its number, instead of printing it."""
    collected: dict[int, str] = {}

    def collect(message: Warning | str, *_: Any, **__: Any) -> None:
        collected[threading.get_ident()] = " ".join(str(message).split())

    with warnings.catch_warnings():  # puts showwarning back too
        warnings.simplefilter("always")
        warnings.showwarning = collect
        yield collected


def _decode_one(picture: Picture, target: NDArray[np.uint8], image_size: tuple[int, int] | None) -> Outcome:
    try:
        pixels, notes, brightest = decode(picture, image_size, grey=len(target) == 1)
    except ImageError as fault:
        return Outcome(fault=str(fault))
    if pixels.shape != target.shape:
        return Outcome(other_size=pixels.shape[1:])
    target[...] = pixels
    return Outcome(notes=notes, brightest=brightest, digest=hashlib.blake2b(target.tobytes(), digest_size=16).digest())
