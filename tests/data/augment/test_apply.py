import math
from colorsys import rgb_to_hsv
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from torch import Tensor

from wellfit.data.augment.apply import Augment
from wellfit.data.augment.settings import Augmentation, Erase
from wellfit.errors import WellfitError

AUGMENTATION: TypeAdapter[Augmentation] = TypeAdapter(Augmentation)
OPERATIONS: list[dict[str, Any]] = [
    {"rotate": 15},
    {"shift": 0.2},
    {"zoom": [0.8, 1.2]},
    {"shear": 10},
    {"flip_horizontal": 0.5},
    {"flip_vertical": 0.5},
    {"crop": 2},
    {"erase": {"probability": 0.9, "area": [0.02, 0.2]}},
    {"colour": {"brightness": 0.5}},
    {"colour": {"contrast": 0.5}},
    {"colour": {"saturation": 0.5}},
    {"colour": {"hue": 0.1}},
]
EVERYTHING = [*OPERATIONS[:8], {"colour": {"brightness": 0.5, "contrast": 0.5, "saturation": 0.5, "hue": 0.1}}]


def augment(*entries: Any, seed: int = 0) -> Augment:
    return Augment(AUGMENTATION.validate_python(list(entries)), seed)


def noise(count: int, channels: int = 3, height: int = 12, width: int = 16) -> Tensor:
    return torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8)


# What is the same for all of them


def test_none_changes_nothing() -> None:
    images = noise(5)
    seen = Augment("none", 0)(images)
    assert seen.dtype == torch.float32
    assert torch.equal(seen, images.float())


@pytest.mark.parametrize("entry", OPERATIONS, ids=str)
def test_each_operation_alone_changes_images_and_not_its_input(entry: dict[str, Any]) -> None:
    images = noise(40)
    before = images.clone()
    changed = (augment(entry)(images) - images.float()).abs().amax((1, 2, 3)) > 1
    assert changed.float().mean() > 0.3
    assert torch.equal(images, before)


@pytest.mark.parametrize("entry", [*OPERATIONS, *(["light"], ["strong"], EVERYTHING)], ids=str)
def test_the_seed_decides_and_batches_differ(entry: Any) -> None:
    entries = entry if isinstance(entry, list) else [entry]
    images = noise(30)
    one, again, other = augment(*entries), augment(*entries), augment(*entries, seed=1)
    first, second = one(images), one(images)
    assert torch.equal(first, again(images))
    assert torch.equal(second, again(images))
    assert not torch.equal(first, second)
    assert not torch.equal(first, other(images))


@pytest.mark.parametrize("entry", OPERATIONS, ids=str)
def test_images_of_one_batch_differ_from_each_other(entry: dict[str, Any]) -> None:
    images = noise(1).expand(60, -1, -1, -1)
    seen = augment(entry)(images)
    assert len(seen.flatten(1).unique(dim=0)) > (1 if "flip" in str(entry) else 15)


def test_torchs_own_generator_is_left_alone() -> None:
    images = noise(4)
    before = torch.get_rng_state()
    augment(*EVERYTHING)(images)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_order_of_the_list_does_not_matter() -> None:
    images = noise(20)
    assert torch.equal(augment(*EVERYTHING)(images), augment(*EVERYTHING[::-1])(images))


def test_one_operation_more_leaves_the_numbers_of_the_others() -> None:
    images = noise(20).clamp(min=1)
    plain = augment({"flip_vertical": 0.5}, {"crop": 2})(images)
    more = augment({"flip_vertical": 0.5}, {"crop": 2}, OPERATIONS[7])(images)
    assert (more == 0).sum() > (plain == 0).sum()
    assert torch.equal(torch.where(more == 0, more, plain), more)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    count=st.integers(1, 4),
    channels=st.integers(1, 5),
    height=st.integers(3, 40),
    width=st.integers(3, 40),
    seed=st.integers(0, 99),
)
def test_any_shape_stays_and_values_stay_between_0_and_255(
    count: int, channels: int, height: int, width: int, seed: int
) -> None:
    images = torch.full((count, channels, height, width), 255, dtype=torch.uint8)
    images[:, :, ::2] = torch.randint(0, 256, images[:, :, ::2].shape, dtype=torch.uint8)
    seen = augment(*(EVERYTHING if channels in (1, 3) else EVERYTHING[:8]), seed=seed)(images)
    assert seen.shape == images.shape
    assert seen.dtype == torch.float32
    assert seen.min() >= 0
    assert seen.max() <= 255


def test_interpolated_white_is_not_whiter_than_white() -> None:
    seen = augment({"rotate": 90}, {"zoom": [0.5, 1.5]})(torch.full((50, 2, 64, 64), 255, dtype=torch.uint8))
    assert seen.max() == 255


def test_a_crop_as_large_as_the_images_is_refused() -> None:
    with pytest.raises(WellfitError, match=r"crop must be < the sides of the images \(12 x 16 pixels\), got 12; lower"):
        augment({"crop": 12})(noise(2))
    augment({"crop": 11})(noise(2))


def test_colour_of_images_without_colours_is_refused() -> None:
    with pytest.raises(WellfitError, match="colour needs images of 1 or 3 channels, got 4"):
        augment({"colour": {"hue": 0.1}})(noise(2, channels=4))


@pytest.mark.gpu
def test_the_device_gets_the_same_images_as_the_cpu() -> None:
    images = noise(64)
    seen = augment(*EVERYTHING)(images.cuda())
    assert seen.device.type == "cuda"
    torch.testing.assert_close(seen.cpu(), augment(*EVERYTHING)(images), rtol=0, atol=0.05)


# Whole pixels


def test_a_flip_with_certainty_is_exact() -> None:
    images = noise(6)
    assert torch.equal(augment({"flip_horizontal": 1.0})(images), images.flip(3).float())
    assert torch.equal(augment({"flip_vertical": 1.0})(images), images.flip(2).float())
    both = augment({"flip_vertical": 1.0}, {"flip_horizontal": 1.0})(images)
    assert torch.equal(both, images.flip(2, 3).float())


@pytest.mark.parametrize(("name", "axis"), [("flip_horizontal", 3), ("flip_vertical", 2)])
def test_a_flip_happens_as_often_as_asked_for(name: str, axis: int) -> None:
    images = noise(1000)
    seen = augment({name: 0.25})(images)
    flipped = (seen == images.flip(axis)).flatten(1).all(1)
    kept = (seen == images).flatten(1).all(1)
    assert (flipped ^ kept).all()
    assert flipped.float().mean().item() == pytest.approx(0.25, abs=0.05)


def test_a_crop_is_a_window_of_the_padded_image_and_every_window_comes() -> None:
    images = noise(1, height=5, width=7).clamp(min=1)
    padded = torch.nn.functional.pad(images[0], (2, 2, 2, 2)).float()
    windows = padded.unfold(1, 5, 1).unfold(2, 7, 1).permute(1, 2, 0, 3, 4).flatten(0, 1)
    seen = augment({"crop": 2})(images.expand(1500, -1, -1, -1))
    is_window = (seen[:, None] == windows).flatten(2).all(2)
    assert (is_window.sum(1) == 1).all()
    counts = is_window.sum(0)
    assert len(counts) == 25
    assert counts.min() > 30  # 60 expected
    assert counts.max() < 100


# Resampling: ramps tell where a pixel comes from


def sources(*entries: Any, count: int = 400, height: int = 61, width: int = 41) -> Tensor:
    """The affine map (count, 2, 3) from pixels of the result, counted from the centre, to those of the image."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    ramps = torch.stack([x, y]).to(torch.uint8).expand(count, -1, -1, -1)
    seen = augment(*entries)(ramps)
    row, column = height // 2, width // 2
    centre = torch.tensor([column, row])
    origin = seen[:, :, row, column]
    right, down = seen[:, :, row, column + 4], seen[:, :, row + 4, column]
    return torch.stack([(right - origin) / 4, (down - origin) / 4, origin - centre], 2)


def fill(values: Tensor, low: float, high: float) -> bool:
    """Whether values reach close to either end of a range, never beyond, and evenly between."""
    slack = 1e-3 * (high - low)
    inside = bool(values.min() >= low - slack and values.max() <= high + slack)
    quarters = torch.quantile(values, torch.tensor([0.25, 0.5, 0.75]))
    even = low + (high - low) * torch.tensor([0.25, 0.5, 0.75])
    return inside and bool((quarters - even).abs().max() < 0.1 * (high - low))


def test_rotation_turns_by_true_angles_within_the_range() -> None:
    maps = sources({"rotate": 30})
    angles = torch.atan2(maps[:, 0, 1], maps[:, 0, 0])
    assert fill(torch.rad2deg(angles), -30, 30)
    turn = torch.stack([angles.cos(), angles.sin(), -angles.sin(), angles.cos()], 1).view(-1, 2, 2)
    torch.testing.assert_close(maps[:, :, :2], turn, rtol=0, atol=1e-4)
    assert maps[:, :, 2].abs().max() < 1e-3


def test_shift_moves_either_way_along_both_sides() -> None:
    maps = sources({"shift": 0.2}, count=2000)
    assert fill(maps[:, 0, 2], -0.2 * 41, 0.2 * 41)
    assert fill(maps[:, 1, 2], -0.2 * 61, 0.2 * 61)
    assert independent(maps[:, 0, 2], maps[:, 1, 2])
    torch.testing.assert_close(maps[:, :, :2], torch.eye(2).expand(2000, -1, -1), rtol=0, atol=1e-4)


def test_zoom_scales_both_sides_alike() -> None:
    maps = sources({"zoom": [0.8, 1.5]})
    assert fill(1 / maps[:, 0, 0], 0.8, 1.5)
    torch.testing.assert_close(maps[:, 0, 0], maps[:, 1, 1], rtol=0, atol=1e-4)
    assert maps[:, [0, 1], [1, 0]].abs().max() < 1e-4


def test_shear_slants_the_columns() -> None:
    maps = sources({"shear": 20})
    assert fill(torch.rad2deg(torch.atan(maps[:, 0, 1])), -20, 20)
    torch.testing.assert_close(maps[:, 0, 0], torch.ones(400), rtol=0, atol=1e-4)
    torch.testing.assert_close(maps[:, 1], torch.tensor([[0.0, 1.0, 0.0]]).expand(400, -1), rtol=0, atol=1e-3)


def test_flips_and_crop_are_a_part_of_the_one_map() -> None:
    maps = sources({"zoom": [1.0, 1.0]}, {"flip_horizontal": 0.5}, {"flip_vertical": 0.25}, {"crop": 3})
    rounded = maps.round()
    torch.testing.assert_close(maps, rounded, rtol=0, atol=1e-3)
    assert set(rounded[:, 0, 0].tolist()) == {-1.0, 1.0}
    assert (rounded[:, 0, 0] < 0).float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert (rounded[:, 1, 1] < 0).float().mean().item() == pytest.approx(0.25, abs=0.1)
    assert set(rounded[:, 0, 2].tolist()) == set(range(-3, 4)) == set(rounded[:, 1, 2].tolist())


def test_the_numbers_of_the_operations_are_independent() -> None:
    maps = sources({"rotate": 20}, {"zoom": [0.8, 1.25]}, {"shift": 0.1}, count=2000)
    turn = maps[:, :, :2]
    angle = torch.atan2(turn[:, 0, 1], turn[:, 0, 0])
    zoom = 1 / torch.linalg.det(turn).sqrt()
    offset = -torch.linalg.solve(turn, maps[:, :, 2])
    assert independent(angle, zoom, offset[:, 0], offset[:, 1])
    assert fill(torch.rad2deg(angle), -20, 20)
    assert fill(offset[:, 0], -4.1, 4.1)


def independent(*drawn: Tensor) -> bool:
    return bool((torch.corrcoef(torch.stack(drawn)) - torch.eye(len(drawn))).abs().max() < 0.1)


# Erasing


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    height=st.integers(6, 50),
    width=st.integers(6, 50),
    area=st.tuples(st.floats(0.01, 0.95), st.floats(0.01, 0.95)).map(lambda pair: tuple(sorted(pair))),
    seed=st.integers(0, 99),
)
def test_what_is_erased_is_a_box_of_the_share_asked_for(
    height: int, width: int, area: tuple[float, float], seed: int
) -> None:
    images = torch.full((20, 2, height, width), 7, dtype=torch.uint8)
    seen = augment({"erase": Erase(probability=1.0, area=area).model_dump()}, seed=seed)(images)
    assert set(seen.unique().tolist()) <= {0.0, 7.0}
    erased = seen == 0
    assert torch.equal(erased[:, 0], erased[:, 1])
    share = erased[:, 0].float().mean((1, 2))
    rounding = 0.5 / min(height, width) + 1e-6
    assert share.min() >= area[0] - rounding
    assert share.max() <= area[1] + rounding
    rows, columns = erased[:, 0].any(2), erased[:, 0].any(1)
    assert torch.equal(erased[:, 0], rows[:, :, None] & columns[:, None, :])
    for places in (rows, columns):  # one stretch each
        assert (places.int().diff(prepend=torch.zeros(20, 1), append=torch.zeros(20, 1)).abs().sum(1) == 2).all()


def test_boxes_differ_in_size_shape_and_place_and_come_as_often_as_asked_for() -> None:
    images = torch.full((2000, 1, 40, 40), 9, dtype=torch.uint8)
    erased = augment({"erase": {"probability": 0.7, "area": [0.02, 0.2]}})(images)[:, 0] == 0
    chosen = erased.flatten(1).any(1)
    assert chosen.float().mean().item() == pytest.approx(0.7, abs=0.04)
    erased = erased[chosen]
    assert fill(erased.float().mean((1, 2)), 0.015, 0.205)
    ratio = erased.any(2).sum(1) / erased.any(1).sum(1)
    assert ratio.min() < 0.45
    assert ratio.max() > 2.5
    assert ratio.log().mean().abs() < 0.1
    top, left = erased.any(2).int().argmax(1), erased.any(1).int().argmax(1)
    assert independent(erased.float().mean((1, 2)), ratio.log())
    assert independent(top.float(), left.float())
    often = erased.float().mean(0)  # the border is reached, and the middle is not left out
    assert often[0].mean() > 0
    assert often[:, -1].mean() > 0
    assert often[20, 20] > often[0, 0]


# Colours


def test_brightness_and_contrast_fill_their_ranges() -> None:
    images = torch.full((400, 1, 4, 4), 100, dtype=torch.uint8)
    images[:, :, :2] = 50
    brighter = augment({"colour": {"brightness": 0.3}})(images)
    assert fill(brighter[:, 0, 0, 0] / 50, 0.7, 1.3)
    torch.testing.assert_close(brighter[:, 0, 3, 3], 2 * brighter[:, 0, 0, 0])
    sharper = augment({"colour": {"contrast": 0.3}})(images)
    assert fill((sharper[:, 0, 3, 3] - sharper[:, 0, 0, 0]) / 50, 0.7, 1.3)
    torch.testing.assert_close(sharper.mean((1, 2, 3)), torch.full((400,), 75.0))


def test_hue_and_saturation_fill_their_ranges() -> None:
    images = torch.tensor([120, 90, 60], dtype=torch.uint8)[:, None, None].expand(400, 3, 3, 3)
    hue, saturation, value = rgb_to_hsv(120 / 255, 90 / 255, 60 / 255)
    turned = [rgb_to_hsv(*(pixel / 255).tolist()) for pixel in augment({"colour": {"hue": 0.05}})(images)[:, :, 1, 1]]
    assert fill(torch.tensor([each[0] for each in turned]), hue - 0.05, hue + 0.05)
    assert all(each[1:] == pytest.approx((saturation, value), abs=1e-4) for each in turned)
    pixels = augment({"colour": {"saturation": 0.4}})(images)[:, :, 1, 1]
    assert fill((pixels[:, 0] - pixels[:, 2]) / 60, 0.6, 1.4)
    assert all(rgb_to_hsv(*(pixel / 255).tolist())[0] == pytest.approx(hue, abs=1e-4) for pixel in pixels)


def test_each_change_of_colour_has_a_number_of_its_own() -> None:
    images = torch.tensor([120, 90, 60], dtype=torch.uint8)[:, None, None].repeat(2000, 1, 4, 4)
    images[:, :, 2:] += 40
    colour = {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2}
    seen = augment({"colour": colour})(images)
    grey = (seen * torch.tensor([0.2989, 0.587, 0.114])[:, None, None]).sum(1)
    level, step = grey.mean((1, 2)), grey[:, 3, 3] - grey[:, 0, 0]
    chroma = seen[:, 0, 0, 0] - seen[:, 2, 0, 0]
    # Brightness makes the level, contrast the step besides, saturation the chroma besides.
    assert independent(level, step / level, chroma / step)
    pixels = augment({"colour": colour | {"hue": 0.05}})(images)[:, :, 0, 0]
    hue = torch.tensor([rgb_to_hsv(*(pixel / 255).tolist())[0] for pixel in pixels])
    assert independent(hue, pixels.amax(1) - pixels.amin(1))


def test_grey_images_have_no_saturation_and_no_hue_to_change() -> None:
    images = noise(5, channels=1)
    assert torch.equal(augment({"colour": {"saturation": 0.5, "hue": 0.5}})(images), images.float())


def test_an_erased_box_stays_black_whatever_the_colours() -> None:
    images = torch.full((30, 3, 20, 20), 200, dtype=torch.uint8)
    box = {"erase": {"probability": 1.0, "area": [0.1, 0.1]}}
    seen = augment(box, {"colour": {"contrast": 0.9, "brightness": 0.2}})(images)
    assert math.isclose((seen == 0).float().mean().item(), 0.1, abs_tol=0.02)
