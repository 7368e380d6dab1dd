"""Random numbers for a batch of images, the same on every device."""

from torch import Tensor

# A number is drawn for each of these, used or not, so that an added operation does not change those of the others.
PURPOSES = (
    *("rotate", "shift_x", "shift_y", "zoom", "shear", "flip_horizontal", "flip_vertical", "crop_x", "crop_y"),
    *("brightness", "contrast", "saturation", "hue"),
    *("erase", "erase_area", "erase_ratio", "erase_x", "erase_y"),
)


class Draws:
    """Random numbers for one batch, uniform from 0 to 1: one for each image and purpose.

    Args:
        numbers: (purposes, B) float32, where the images are.
    """

    def __init__(self, numbers: Tensor) -> None:
        self._shares: dict[str, Tensor] = dict(zip(PURPOSES, numbers.unbind(), strict=True))

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
