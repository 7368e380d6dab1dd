"""Changes the colours of whole image batches, each image by its own amount, as torchvision's ColorJitter does it.

All functions take and return images (B, C, H, W), float32 from 0 to 255. Grey images (one channel) have no saturation
and no hue to change.
"""

import torch
from torch import Tensor

from wellfit.data.augment.draws import Draws
from wellfit.data.augment.settings import Colour

LUMA = (0.2989, 0.587, 0.114)  # share of red, green and blue in grey, as in torchvision and PIL (ITU-R BT.601)


def recolour(images: Tensor, colour: Colour, draws: Draws) -> Tensor:
    """Changes brightness, contrast, saturation and hue, in this order.

    Args:
        images: (B, C, H, W) float32 from 0 to 255, with 1 or 3 channels.
        colour: largest changes.
        draws: of this batch.
    """
    adjusters = (
        ("brightness", colour.brightness, adjust_brightness),
        ("contrast", colour.contrast, adjust_contrast),
        ("saturation", colour.saturation, adjust_saturation),
    )
    for purpose, largest, adjust in adjusters:
        if largest is not None:
            images = adjust(images, draws.between(purpose, 1 - largest, 1 + largest))
    if colour.hue is not None:
        images = adjust_hue(images, draws.either_way("hue", colour.hue))
    return images


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiplies by a factor (B,): 0 is black, 1 changes nothing."""
    return (images * factor[:, None, None, None]).clamp_(0, 255)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Multiplies the distance from the image's mean grey by a factor (B,)."""
    mean = images.mean((2, 3), keepdim=True)
    grey = _grey(mean) if images.shape[1] == 3 else mean
    return torch.lerp(grey, images, factor[:, None, None, None]).clamp_(0, 255)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Multiplies the distance from each pixel's grey by a factor (B,)."""
    if images.shape[1] == 1:
        return images
    return torch.lerp(_grey(images), images, factor[:, None, None, None]).clamp_(0, 255)


def adjust_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Turns each pixel's colour on the colour wheel by so many turns (B,), at most half a turn either way."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    highest, lowest = images.amax(1), images.amin(1)
    chroma = highest - lowest
    divisor = chroma.clamp(min=1e-6)  # grey pixels have no hue, and keep none
    # From 0 to 6, with red at 0, green at 2 and blue at 4.
    hue = torch.where(
        highest == red,
        (green - blue) / divisor,
        torch.where(highest == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    hue = (hue + 6 * turns[:, None, None]).remainder(6)
    share = torch.stack([(hue - 3).abs() - 1, 2 - (hue - 2).abs(), 2 - (hue - 4).abs()], 1).clamp_(0, 1)
    return torch.addcmul(lowest[:, None], chroma[:, None], share).clamp_(0, 255)


def _grey(images: Tensor) -> Tensor:
    red, green, blue = images.unbind(1)
    return (red * LUMA[0] + green * LUMA[1] + blue * LUMA[2])[:, None]
