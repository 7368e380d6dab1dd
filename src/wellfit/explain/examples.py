"""Which rows are shown as examples: the worst predictions, and usual ones."""

import numpy as np

from wellfit.metrics.scores import FloatArray, IntArray


def confident_mistakes(y: IntArray, predicted: IntArray, probabilities: FloatArray) -> IntArray:
    """The rows that were predicted wrong, the one with the highest probability of the predicted class first.

    Args:
        y: (n,) true class indices.
        predicted: (n,) likewise.
        probabilities: (n, C).
    """
    wrong = np.flatnonzero(predicted != y)
    return wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")]


def largest_errors(y: FloatArray, prediction: FloatArray) -> IntArray:
    """All rows, the one with the largest error first.

    Args:
        y: (n,) actual values.
        prediction: (n,).
    """
    return np.argsort(-np.abs(prediction - y), kind="stable")


def usual_classes(y: IntArray, predicted: IntArray, probabilities: FloatArray, most: int) -> IntArray:
    """Of each class the row of median confidence among those that were predicted right.

    Args:
        y: (n,) true class indices.
        predicted: (n,) likewise.
        probabilities: (n, C).
        most: how many classes, those with the most such rows.
    """
    confidence = probabilities[np.arange(len(y)), predicted]
    right = [np.flatnonzero((predicted == c) & (y == c)) for c in range(probabilities.shape[1])]
    found = sorted(filter(len, right), key=len, reverse=True)[:most]
    middle = [rows[np.argsort(confidence[rows], kind="stable")[len(rows) // 2]] for rows in found]
    return np.array(middle, np.int64)


def usual_numbers(prediction: FloatArray, most: int) -> IntArray:
    """Rows in the middle of equal parts of the predictions: a low one, ..., a high one.

    Args:
        prediction: (n,).
        most: how many parts.
    """
    places = ((np.arange(most) + 0.5) / most * len(prediction)).astype(np.int64)
    return np.unique(np.argsort(prediction, kind="stable")[places])
