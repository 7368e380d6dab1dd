"""Occlusion: which parts of an image a prediction depends on."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wellfit.explain.copies import Predict, predictions_of
from wellfit.metrics.scores import FloatArray, IntArray

PLACES = 7  # of the patch, along each side
PART = 4  # the patch has a fourth of the height and of the width: neighbours overlap by about half


def occlusion(predict: Predict, images: NDArray[np.uint8], outputs: IntArray, colour: Sequence[float]) -> FloatArray:
    """How much the prediction falls where a patch hides a part of the image (Zeiler and Fergus 2014).

    Args:
        predict: the model.
        images: (n, C, H, W).
        outputs: (n,) which of the probabilities is looked at; zeros for numbers.
        colour: (C,) of the patch: the mean of the training images, which says the least.

    Returns:
        (n, H, W) the fall of the prediction, mean over the patches that hide the pixel; negative where it rises.
    """
    _, channels, height, width = images.shape
    patches = list(_patches(height, width))
    hidden = np.rint(np.asarray(colour)).astype(np.uint8).reshape(channels, 1, 1)

    def occluded() -> Iterator[NDArray[Any]]:
        for image in images:
            copies = np.repeat(image[np.newaxis], len(patches), axis=0)
            for copy, patch in zip(copies, patches, strict=True):
                copy[:, *patch] = hidden
            yield copies

    before = predict(images).reshape(len(images), -1)
    heat, covered = np.zeros((len(images), height, width)), np.zeros((height, width))
    for patch in patches:
        covered[patch] += 1
    for i, (output, after) in enumerate(zip(outputs, predictions_of(predict, occluded()), strict=True)):
        falls = before[i, output] - after.reshape(len(patches), -1)[:, output]
        for patch, fall in zip(patches, falls, strict=True):
            heat[i][patch] += fall
    return heat / covered


def _patches(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Where the patch lies, row by row; it reaches every pixel."""
    for top in _starts(height):
        for left in _starts(width):
            yield slice(top, top + -(-height // PART)), slice(left, left + -(-width // PART))


def _starts(side: int) -> list[int]:
    starts: list[int] = np.unique(np.linspace(0, side - -(-side // PART), PLACES).round().astype(int)).tolist()
    return starts
