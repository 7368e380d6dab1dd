"""Occlusion: what is hidden, what counts, and that every pixel is covered."""

import numpy as np
import pytest

from wellfit.explain.occlusion import occlude


def corner(images: np.ndarray) -> np.ndarray:
    """Depends on a block of two by two pixels alone."""
    return images[:, 0, 2:4, 4:6].astype(np.float64).mean(axis=(1, 2))


@pytest.mark.parametrize("side", [8, 13, 28])
def test_only_the_block_that_matters_is_warm(side: int) -> None:
    images = np.full((2, 1, side, side), 100, np.uint8)
    heat = occlude(corner, images, np.zeros(2, np.int64), [40.0]).heat
    assert heat.shape == (2, side, side)
    assert np.all(np.isfinite(heat))  # every pixel was hidden once
    assert heat[0, 2:4, 4:6].max() == heat.max() > 0
    patch = -(-side // 4)
    assert np.all(heat[:, 4 + patch :] == 0)
    assert np.all(heat[:, :, 6 + patch :] == 0)


def test_the_patch_has_the_colour_and_the_probability_is_the_one_asked_for() -> None:
    seen = []

    def chances(images: np.ndarray) -> np.ndarray:
        seen.append(images.copy())
        bright = images[:, 0].mean(axis=(1, 2)) / 255
        return np.stack([bright, 1 - bright], axis=1)

    images = np.full((2, 3, 8, 8), 200, np.uint8)
    heat, lowest = occlude(chances, images, np.array([0, 1]), [10.0, 20.4, 30.6])
    hidden = seen[1][0]
    assert [np.unique(channel).tolist() for channel in hidden] == [[10, 200], [20, 200], [31, 200]]
    assert np.sum(hidden[0] == 10) == 4  # a fourth of each side
    assert np.all(heat[0] > 0)  # what is hidden is bright
    np.testing.assert_allclose(heat[1], -heat[0])  # log-odds of a class are those of the other, turned
    darkest = (200 - 4 * 190 / 64) / 255
    np.testing.assert_allclose(lowest, [darkest, 55 / 255 + 4 * 190 / 64 / 255])
    log_odds = np.log(200 / 55) - np.log(darkest / (1 - darkest))
    np.testing.assert_allclose(heat[0], log_odds)  # the same wherever the patch is


def test_numbers_and_images_that_are_not_square() -> None:
    images = np.zeros((1, 1, 5, 20), np.uint8)
    heat = occlude(lambda rows: rows.mean(axis=(1, 2, 3)), images, np.zeros(1, np.int64), [50.0]).heat
    assert heat.shape == (1, 5, 20)
    assert np.all(heat < 0)  # a patch of another colour raises the mean
