"""Occlusion: which parts of an image a prediction depends on."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.explain.copies import Predict, predictions_of
from wellfit.metrics.scores import FloatArray, IntArray

PLACES = 7  # of the patch, along each side
PART = 4  # the patch has a fourth of the height and of the width: neighbours overlap by about half


class Occlusion(NamedTuple):
    """What becomes of the predictions of n images when a part of them is hidden.

    Attributes:
        heat: (n, H, W) the fall of the prediction, mean over the patches that hide the pixel; negative where it rises.
            Of a probability its log-odds, for near 0 and 1 the probability itself hardly moves.
        lowest: (n,) the lowest prediction.
    """

    heat: FloatArray
    lowest: FloatArray


def occlude(predict: Predict, images: NDArray[np.uint8], outputs: IntArray, colour: Sequence[float]) -> Occlusion:
    """Hides one part of an image after the other behind a patch (Zeiler and Fergus 2014).

    Args:
        predict: the model.
        images: (n, C, H, W).
        outputs: (n,) which of the probabilities is looked at; zeros for numbers.
        colour: (C,) of the patch: the mean of the training images, which says the least.
    """
    n, channels, height, width = images.shape
    patches = list(_patches(height, width))
    hidden = np.rint(np.asarray(colour)).astype(np.uint8).reshape(channels, 1, 1)

    def occluded() -> Iterator[NDArray[Any]]:
        for image in images:
            copies = np.repeat(image[np.newaxis], len(patches), axis=0)
            for copy, patch in zip(copies, patches, strict=True):
                copy[:, *patch] = hidden
            yield copies

    covered = np.zeros((height, width))
    for patch in patches:
        covered[patch] += 1
    before, heat, lowest = predict(images), np.zeros((n, height, width)), np.zeros(n)
    for i, after in enumerate(predictions_of(predict, occluded())):
        of_whole, of_parts = (each if each.ndim == 1 else each[:, outputs[i]] for each in (before, after))
        lowest[i] = of_parts.min()
        falls = of_whole[i] - of_parts if before.ndim == 1 else _log_odds(of_whole[i]) - _log_odds(of_parts)
        for patch, fall in zip(patches, falls, strict=True):
            heat[i][patch] += fall
    return Occlusion(heat / covered, lowest)


def _log_odds(probability: FloatArray) -> FloatArray:
    eps = np.finfo(np.float64).eps
    inside = np.clip(probability, eps, 1 - eps)
    odds: FloatArray = inside / (1 - inside)
    return np.log(odds)


def _patches(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Where the patch lies, row by row; it reaches every pixel."""
    for top in _starts(height):
        for left in _starts(width):
            yield slice(top, top + -(-height // PART)), slice(left, left + -(-width // PART))


def _starts(side: int) -> list[int]:
    starts: list[int] = np.unique(np.linspace(0, side - -(-side // PART), PLACES).round().astype(int)).tolist()
    return starts
