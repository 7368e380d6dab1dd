"""Which rows are examples."""

import numpy as np

from wellfit.explain.examples import confident_mistakes, largest_errors, usual_classes, usual_numbers

Y = np.array([0, 0, 0, 0, 1, 1, 1, 0])
CHANCES = np.array([0.9, 0.2, 0.7, 0.8, 0.4, 0.1, 0.95, 0.5])  # of class 0
PROBABILITIES = np.stack([CHANCES, 1 - CHANCES], axis=1)
PREDICTED = PROBABILITIES.argmax(axis=1)


def test_mistakes_come_by_their_confidence() -> None:
    assert confident_mistakes(Y, PREDICTED, PROBABILITIES).tolist() == [6, 1]
    # With another threshold, the confidence in a predicted class may be below a half.
    assert confident_mistakes(Y, np.ones(8, int), PROBABILITIES).tolist() == [1, 7, 2, 3, 0]
    assert confident_mistakes(Y[:1], PREDICTED[:1], PROBABILITIES[:1]).tolist() == []


def test_errors_come_by_their_size() -> None:
    assert largest_errors(np.zeros(4), np.array([1.0, -3.0, 0.0, 2.0])).tolist() == [1, 3, 0, 2]


def test_usual_rows_are_right_and_of_median_confidence() -> None:
    # Class 0 is right in rows 0, 2, 3 and 7 (0.5 is a tie, which the first class wins), class 1 in 4 and 5.
    assert usual_classes(Y, PREDICTED, PROBABILITIES, 5).tolist() == [3, 5]
    assert usual_classes(Y, PREDICTED, PROBABILITIES, 1).tolist() == [3]
    assert usual_classes(1 - Y[:1], PREDICTED[:1], PROBABILITIES[:1], 3).tolist() == []


def test_usual_numbers_lie_in_the_middle_of_equal_parts() -> None:
    prediction = np.array([5.0, 1.0, 4.0, 2.0, 6.0, 3.0])
    assert sorted(prediction[usual_numbers(prediction, 3)]) == [2, 4, 6]
    assert usual_numbers(prediction[:1], 3).tolist() == [0]
