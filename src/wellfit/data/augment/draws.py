"""Random numbers for a batch of images, the same on every device."""

import numpy as np
import torch
from torch import Tensor

# What a number is drawn for. All are drawn, so that one operation more does not change the numbers of the others.
PURPOSES = (
    *("rotate", "shift_x", "shift_y", "zoom", "shear", "flip_horizontal", "flip_vertical", "crop_x", "crop_y"),
    *("brightness", "contrast", "saturation", "hue"),
    *("erase", "erase_area", "erase_ratio", "erase_x", "erase_y"),
)


class Draws:
    """Random numbers for one batch: one for each image and purpose, evenly spread.

    They are drawn on the CPU, which makes them the same for every device, and sent there without waiting for it.
    """

    def __init__(self, random: np.random.Generator, size: int, device: torch.device) -> None:
        drawn = torch.from_numpy(random.random((len(PURPOSES), size), dtype=np.float32))
        numbers = drawn.to(device, non_blocking=True).unbind()
        self._shares: dict[str, Tensor] = dict(zip(PURPOSES, numbers, strict=True))

    def between(self, purpose: str, low: float | Tensor, high: float | Tensor) -> Tensor:
        """(B,) float32 from low to high."""
        return self._shares[purpose] * (high - low) + low

    def either_way(self, purpose: str, largest: float) -> Tensor:
        """(B,) float32, at most so far from 0."""
        return self.between(purpose, -largest, largest)

    def whole(self, purpose: str, low: float | Tensor, high: float | Tensor) -> Tensor:
        """(B,) whole numbers as float32, from low to high, both included."""
        return self.between(purpose, low, high + 1).floor()

    def happens(self, purpose: str, probability: float) -> Tensor:
        """(B,) bool."""
        return self._shares[purpose] < probability
