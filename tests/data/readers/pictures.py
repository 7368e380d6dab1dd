"""Folders of small images, for tests."""

from pathlib import Path

import numpy as np
from PIL import Image

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


def spoil(path: Path, keep: int = 0) -> None:
    path.write_bytes(path.read_bytes()[:keep])
