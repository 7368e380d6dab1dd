"""Augments whole batches of training images on their device, each image with its own random numbers."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wellfit.data.augment.colour import recolour
from wellfit.data.augment.draws import PURPOSES, Draws
from wellfit.data.augment.geometry import Mirror, Offset, affine_maps, pick, resample
from wellfit.data.augment.settings import Augmentation, Erase, operations
from wellfit.errors import WellfitError

LOWEST_RATIO, HIGHEST_RATIO = 0.3, 3.3  # of an erased box's height to its width, both as shares of the image's


class Augment:
    """Applies ``data.augment`` to batches of training images.

    The order of the list does not matter: an image is first moved (mirrored, sheared, rotated, zoomed, shifted,
    cropped), then its brightness, contrast, saturation and hue are changed, and then a box is erased.

    Args:
        augmentation: the key ``data.augment``.
        seed: ``train.seed``. Torch's global generator is left alone.
    """

    def __init__(self, augmentation: Augmentation, seed: int) -> None:
        self._operations = operations(augmentation)
        self._random = np.random.default_rng([seed, 2])

    def state_dict(self) -> Mapping[str, Any]:
        """Where its random numbers are."""
        return self._random.bit_generator.state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over what :meth:`state_dict` said."""
        self._random.bit_generator.state = state

    def draw(self, size: int) -> NDArray[np.float32]:
        """Random numbers for so many images, (purposes, B). The host draws them: they are the same for every device."""
        return self._random.random((len(PURPOSES), size), dtype=np.float32)

    def __call__(self, images: Tensor, numbers: Tensor | None = None) -> Tensor:
        """Augments a batch.

        Args:
            images: (B, C, H, W) uint8.
            numbers: for them, of :meth:`draw`, on their device; None: they are drawn here.

        Returns:
            (B, C, H, W) float32 from 0 to 255, on the same device.

        Raises:
            WellfitError: ``crop`` is as large as the images, or ``colour`` meets neither 1 nor 3 channels.
        """
        self._check(images.shape)
        if numbers is None:
            numbers = torch.from_numpy(self.draw(len(images))).to(images.device)
        draws = Draws(numbers)
        images = self._move(images, draws)
        if self._operations.colour is not None:
            images = recolour(images, self._operations.colour, draws)
        if self._operations.erase is not None:
            images = erase(images, self._operations.erase, draws)
        return images

    def _check(self, shape: torch.Size) -> None:
        channels, height, width = shape[1:]
        if self._operations.crop is not None and self._operations.crop >= min(height, width):
            raise WellfitError(
                f"data.augment: crop must be < the sides of the images ({height} x {width} pixels), "
                f"got {self._operations.crop}; lower it in params.yaml"
            )
        if self._operations.colour is not None and channels not in (1, 3):
            raise WellfitError(
                f"data.augment: colour needs images of 1 or 3 channels, got {channels}; take it out in params.yaml"
            )

    def _move(self, images: Tensor, draws: Draws) -> Tensor:
        """Interpolates once, or not at all where only flips and crops are asked for."""
        do = self._operations
        height, width = images.shape[-2:]
        padding = do.crop or 0
        crop = Offset(draws.whole("crop_x", -padding, padding), draws.whole("crop_y", -padding, padding))
        mirror = Mirror(
            draws.happens("flip_horizontal", do.flip_horizontal or 0.0),
            draws.happens("flip_vertical", do.flip_vertical or 0.0),
        )
        if not any((do.rotate, do.shift, do.zoom, do.shear)):
            if do.crop or do.flip_horizontal or do.flip_vertical:
                images = pick(images, crop, mirror, padding)
            return images.float()
        shift = do.shift or 0.0
        maps = affine_maps(
            angle=draws.either_way("rotate", math.radians(do.rotate or 0.0)),
            zoom=draws.between("zoom", *(do.zoom or (1.0, 1.0))),
            shear=draws.either_way("shear", math.radians(do.shear or 0.0)),
            offset=Offset(
                crop.x + draws.either_way("shift_x", shift * width),
                crop.y + draws.either_way("shift_y", shift * height),
            ),
            mirror=mirror,
        )
        return resample(images.float(), maps).clamp_(0, 255)  # weights may add up to a little more than 1


def erase(images: Tensor, config: Erase, draws: Draws) -> Tensor:
    """Blackens a box in some of the images (Zhong et al. 2020; torchvision's RandomErasing).

    A box lies within the image as a whole. Its area is the share that was drawn, up to the rounding of its width.

    Args:
        images: (B, C, H, W) float32.
        config: how often and how large.
        draws: of this batch.
    """
    height, width = images.shape[-2:]
    share = draws.between("erase_area", *config.area)
    # Between the ratios that leave a box of this area within the image.
    ratio = draws.between(
        "erase_ratio", share.clamp(min=LOWEST_RATIO).log(), (1 / share).clamp(max=HIGHEST_RATIO).log()
    ).exp()
    rows = (height * (share * ratio).sqrt()).round().clamp(1, height)
    columns = (share * height * width / rows).round().clamp(1, width)
    in_rows = _within(height, draws.whole("erase_y", 0.0, height - rows), rows)
    in_columns = _within(width, draws.whole("erase_x", 0.0, width - columns), columns)
    chosen = draws.happens("erase", config.probability)
    box = (in_rows & chosen[:, None])[:, None, :, None] & in_columns[:, None, None, :]
    return images.masked_fill(box, 0.0)


def _within(size: int, start: Tensor, length: Tensor) -> Tensor:
    """(B, size) bool: which positions lie in the ``length`` ones from ``start``."""
    position = torch.arange(size, device=start.device)
    return (position >= start[:, None]) & (position < (start + length)[:, None])
