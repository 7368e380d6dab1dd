import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from wellfit.data.augment.geometry import Mirror, Offset, affine_maps, pick, resample

# Degrees, pixels to the right and down, factor, degrees.
MOVES = [
    {"angle": 30.0, "translate": [0.0, 0.0], "scale": 1.0, "shear": [0.0, 0.0]},
    {"angle": -100.0, "translate": [0.0, 0.0], "scale": 1.0, "shear": [0.0, 0.0]},
    {"angle": 0.0, "translate": [3.0, -2.0], "scale": 1.0, "shear": [0.0, 0.0]},
    {"angle": 0.0, "translate": [0.0, 0.0], "scale": 1.4, "shear": [0.0, 0.0]},
    {"angle": 0.0, "translate": [0.0, 0.0], "scale": 1.0, "shear": [25.0, 0.0]},
    {"angle": -50.0, "translate": [2.0, 1.0], "scale": 0.7, "shear": [-12.0, 0.0]},
]


def images(count: int, channels: int = 3, height: int = 21, width: int = 30) -> Tensor:
    return torch.rand(count, channels, height, width) * 255


def none_of(count: int) -> Mirror:
    return Mirror(torch.zeros(count, dtype=torch.bool), torch.zeros(count, dtype=torch.bool))


def maps_of(moves: list[dict[str, Any]], mirror: Mirror | None = None) -> Tensor:
    return affine_maps(
        angle=torch.tensor([math.radians(move["angle"]) for move in moves]),
        zoom=torch.tensor([move["scale"] for move in moves]),
        shear=torch.tensor([math.radians(move["shear"][0]) for move in moves]),
        offset=Offset(*torch.tensor([move["translate"] for move in moves]).unbind(1)),
        mirror=mirror or none_of(len(moves)),
    )


def torchvisions(image: Tensor, move: dict[str, Any]) -> Tensor:
    return functional.affine(image, **move, interpolation=InterpolationMode.BILINEAR)


@pytest.mark.parametrize("move", MOVES)
def test_one_image_moves_as_in_torchvision(move: dict[str, Any]) -> None:
    image = images(1)
    moved = resample(image, maps_of([move]))
    torch.testing.assert_close(moved, torchvisions(image, move), rtol=0, atol=5e-3)
    assert not torch.allclose(moved, image, atol=1)


def test_each_image_of_a_batch_moves_in_its_own_way() -> None:
    batch = images(len(MOVES))
    expected = [torchvisions(image, move) for image, move in zip(batch, MOVES, strict=True)]
    torch.testing.assert_close(resample(batch, maps_of(MOVES)), torch.stack(expected), rtol=0, atol=5e-3)


@pytest.mark.parametrize(("x", "y"), [(True, False), (False, True), (True, True)])
def test_mirroring_comes_before_the_rest_of_the_map(x: bool, y: bool) -> None:
    image = images(1)
    mirrored = image.flip([axis for axis, wanted in ((3, x), (2, y)) if wanted])
    moved = resample(image, maps_of(MOVES[-1:], Mirror(torch.tensor([x]), torch.tensor([y]))))
    torch.testing.assert_close(moved, torchvisions(mirrored, MOVES[-1]), rtol=0, atol=5e-3)


def test_a_map_that_moves_nothing_changes_nothing() -> None:
    batch = images(2)
    still = {"angle": 0.0, "translate": [0.0, 0.0], "scale": 1.0, "shear": [0.0, 0.0]}
    maps = maps_of([still, still])
    assert maps.tolist() == [[[1, 0, 0], [0, 1, 0]]] * 2
    torch.testing.assert_close(resample(batch, maps), batch, rtol=0, atol=1e-3)


def test_a_quarter_turn_of_a_square_is_exact_to_rounding() -> None:
    batch = images(1, height=16, width=16)
    quarter = {"angle": 90.0, "translate": [0.0, 0.0], "scale": 1.0, "shear": [0.0, 0.0]}
    clockwise = torch.rot90(batch, -1, (2, 3))
    torch.testing.assert_close(resample(batch, maps_of([quarter])), clockwise, rtol=0, atol=5e-3)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_pick_crops_like_torchvision(dtype: torch.dtype) -> None:
    padding, offsets = 3, [(-3, 3), (0, 0), (3, -1), (2, 2)]
    mirrored = [(False, False), (True, False), (False, True), (True, True)]
    batch = images(4).to(dtype)
    x, y = torch.tensor(offsets).float().unbind(1)
    picked = pick(batch, Offset(x, y), Mirror(*torch.tensor(mirrored).unbind(1)), padding)
    assert picked.dtype == dtype
    for image, (right, down), (flip_x, flip_y), got in zip(batch, offsets, mirrored, picked, strict=True):
        image = functional.horizontal_flip(image) if flip_x else image
        image = functional.vertical_flip(image) if flip_y else image
        padded = functional.pad(image, [padding] * 4)
        assert torch.equal(got, functional.crop(padded, padding - down, padding - right, *image.shape[1:]))


def test_pick_and_a_map_move_by_the_same_offset() -> None:
    batch, mirror = images(3), Mirror(torch.tensor([True, False, True]), torch.tensor([False, True, True]))
    offset = Offset(torch.tensor([1.0, -2.0, 0.0]), torch.tensor([-1.0, 2.0, 2.0]))
    still = torch.zeros(3)
    maps = affine_maps(still, still + 1, still, offset, mirror)
    torch.testing.assert_close(resample(batch, maps), pick(batch, offset, mirror, 2), rtol=0, atol=5e-3)
