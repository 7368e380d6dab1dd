"""Moves the pixels of whole image batches, each image by its own amount; pixels from outside an image are black."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Offset(NamedTuple):
    """How far each image is moved, in pixels, to the right and down: x (B,) and y (B,)."""

    x: Tensor
    y: Tensor


class Mirror(NamedTuple):
    """Which images are mirrored: left and right x (B,), top and bottom y (B,), both bool."""

    x: Tensor
    y: Tensor


def pick(images: Tensor, offset: Offset, mirror: Mirror, padding: int) -> Tensor:
    """Moves whole pixels and leaves their values as they are.

    Args:
        images: (B, C, H, W) of any type.
        offset: whole numbers, at most ``padding`` either way; applied after the mirroring.
        mirror: which images.
        padding: pixels of black that are put around the images.
    """
    height, width = images.shape[-2:]
    rows = _source(height, offset.y, mirror.y) + padding
    columns = _source(width, offset.x, mirror.x) + padding
    if padding:
        images = F.pad(images, (padding,) * 4)
    index = rows[:, :, None] * images.shape[3] + columns[:, None, :]
    picked = images.flatten(2).gather(2, index.flatten(1)[:, None].expand(-1, images.shape[1], -1))
    return picked.view(*picked.shape[:2], height, width)


def _source(size: int, offset: Tensor, mirrored: Tensor) -> Tensor:
    """Row, or column, of the image that each one of the moved image shows: (B, size) int64."""
    place = torch.arange(size, device=offset.device) - offset[:, None].long()
    return torch.where(mirrored[:, None], size - 1 - place, place)


def affine_maps(angle: Tensor, zoom: Tensor, shear: Tensor, offset: Offset, mirror: Mirror) -> Tensor:
    """Where in an image the pixels of the moved image come from.

    The image is mirrored, sheared, rotated and zoomed about its centre, and then moved, as torchvision's ``affine``
    does it. What is returned is the inverse of that, since each pixel of the result asks for its source. Lengths are
    pixels, so that angles stay true in images that are not square.

    Args:
        angle: (B,) of the rotation, in radians, clockwise.
        zoom: (B,) factor above 0.
        shear: (B,) angle of the shear along the rows, in radians.
        offset: any numbers.
        mirror: which images.

    Returns:
        (B, 2, 3) float32: source (x, y) = map @ (x, y, 1), with the origin in the centre of either image.
    """
    cos, sin, tan = angle.cos() / zoom, angle.sin() / zoom, shear.tan()
    x_from = torch.stack([cos - tan * sin, sin + tan * cos], 1)
    y_from = torch.stack([-sin, cos], 1)
    sign = 1 - 2 * torch.stack(mirror, 1).float()
    turn = torch.stack([x_from, y_from], 1) * sign[:, :, None]
    shift = -(turn * torch.stack(offset, 1)[:, None, :]).sum(2, keepdim=True)
    return torch.cat([turn, shift], 2)


def resample(images: Tensor, maps: Tensor) -> Tensor:
    """Interpolates each pixel bilinearly at its source.

    Args:
        images: (B, C, H, W) float32.
        maps: (B, 2, 3) of :func:`affine_maps`.
    """
    height, width = images.shape[-2:]
    maps = torch.stack([maps[:, 0] * (2 / width), maps[:, 1] * (2 / height)], 1)  # grid_sample: -1 to 1 over each side
    x = torch.arange(width, device=maps.device) - (width - 1) / 2
    y = torch.arange(height, device=maps.device) - (height - 1) / 2
    # What x and what y give is added last, so that only the sum is as large as an image.
    from_x = maps[:, None, None, :, 0] * x[:, None]  # (B, 1, W, 2)
    from_y = maps[:, None, None, :, 1] * y[:, None, None] + maps[:, None, None, :, 2]  # (B, H, 1, 2)
    return F.grid_sample(images, from_x + from_y, mode="bilinear", padding_mode="zeros", align_corners=False)
