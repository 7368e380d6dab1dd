"""Which rows are shown as examples: the worst predictions, and usual ones."""

import numpy as np
from numpy.typing import NDArray

from wellfit.metrics.scores import FloatArray


def confident_mistakes(y: NDArray[np.int64], probabilities: FloatArray) -> NDArray[np.int64]:
    """The rows that were predicted wrong, the one with the highest probability first.

    Args:
        y: (n,) true class indices.
        probabilities: (n, C).
    """
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != y)
    return wrong[np.argsort(-probabilities.max(axis=1)[wrong], kind="stable")]


def largest_errors(y: FloatArray, prediction: FloatArray) -> NDArray[np.int64]:
    """All rows, the one with the largest error first.

    Args:
        y: (n,) actual values.
        prediction: (n,).
    """
    return np.argsort(-np.abs(prediction - y), kind="stable")


def usual_classes(y: NDArray[np.int64], probabilities: FloatArray, most: int) -> NDArray[np.int64]:
    """Of each class the row of median confidence among those that were predicted right.

    Args:
        y: (n,) true class indices.
        probabilities: (n, C).
        most: how many classes, those with the most such rows.
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right = [np.flatnonzero((predicted == c) & (y == c)) for c in range(probabilities.shape[1])]
    found = sorted(filter(len, right), key=len, reverse=True)[:most]
    middle = [rows[np.argsort(confidence[rows], kind="stable")[len(rows) // 2]] for rows in found]
    return np.array(middle, np.int64)


def usual_numbers(prediction: FloatArray, most: int) -> NDArray[np.int64]:
    """Rows in the middle of equal parts of the predictions: a low one, ..., a high one.

    Args:
        prediction: (n,).
        most: how many parts.
    """
    places = ((np.arange(most) + 0.5) / most * len(prediction)).astype(np.int64)
    return np.unique(np.argsort(prediction, kind="stable")[places])
