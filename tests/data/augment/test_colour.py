from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from wellfit.data.augment.colour import adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation

Adjust = Callable[[Tensor, Tensor], Tensor]
FACTORS = (0.0, 0.3, 1.0, 1.8)
TURNS = (-0.5, -0.07, 0.0, 0.21, 0.5)
PAIRS = [
    (adjust_brightness, functional.adjust_brightness, FACTORS),
    (adjust_contrast, functional.adjust_contrast, FACTORS),
    (adjust_saturation, functional.adjust_saturation, FACTORS),
    (adjust_hue, functional.adjust_hue, TURNS),
]


def colours(count: int) -> Tensor:
    """Images of random colours, among them greys, black, white and pure ones."""
    images = torch.rand(count, 3, 9, 7) * 255
    images[:, :, 0] = images[:, :1, 0]
    images[:, :, 1] = torch.randint(0, 2, (count, 3, 7)) * 255.0
    return images


@pytest.mark.parametrize(("ours", "theirs", "amounts"), PAIRS)
def test_each_image_is_changed_as_in_torchvision(
    ours: Adjust, theirs: Callable[..., Tensor], amounts: tuple[float, ...]
) -> None:
    images = colours(len(amounts))
    before = images.clone()
    changed = ours(images, torch.tensor(amounts))
    expected = [theirs(image / 255, amount) * 255 for image, amount in zip(images, amounts, strict=True)]
    torch.testing.assert_close(changed, torch.stack(expected), rtol=0, atol=2e-3)
    assert torch.equal(images, before)
    assert changed.min() >= 0
    assert changed.max() <= 255


@pytest.mark.parametrize(("ours", "theirs"), [pair[:2] for pair in PAIRS[:2]])
def test_grey_images_are_changed_as_in_torchvision(ours: Adjust, theirs: Callable[..., Tensor]) -> None:
    images = torch.rand(4, 1, 9, 7) * 255
    expected = [theirs(image / 255, factor) * 255 for image, factor in zip(images, FACTORS, strict=True)]
    torch.testing.assert_close(ours(images, torch.tensor(FACTORS)), torch.stack(expected), rtol=0, atol=2e-3)


@pytest.mark.parametrize("adjust", [adjust_saturation, adjust_hue])
def test_a_grey_image_has_no_saturation_and_no_hue(adjust: Adjust) -> None:
    images = torch.rand(2, 1, 9, 7) * 255
    assert torch.equal(adjust(images, torch.tensor([0.1, 0.4])), images)
    as_colour = images.expand(-1, 3, -1, -1)
    torch.testing.assert_close(adjust(as_colour, torch.tensor([0.1, 0.4])), as_colour, rtol=0, atol=0.05)
