"""What the charts say, and the numbers behind them."""

import numpy as np
import pytest

from wellfit.metrics.predictions import confusion_counts
from wellfit.report.charts import (
    class_balance,
    confusion_matrix,
    curves,
    errors,
    precision_recall,
    predicted_against_actual,
    reliability,
    roc,
    single_curve,
    target,
)
from wellfit.report.content import cell

HISTORY = {"epoch": [1.0, 2.0, 3.0], "train/loss": [0.9, 0.5, 0.2], "val/loss": [0.8, 0.6, 0.7], "lr": [0.1, 0.2, 0.05]}


def test_curves_tell_what_was_kept() -> None:
    chart = curves(HISTORY, 2, "loss")
    assert "from 0.8 in the first epoch to 0.7 in the last" in chart.says
    assert "The weights of epoch 2 were kept, with 0.6" in chart.says
    assert chart.table
    assert chart.table.rows == [(1, 0.9, 0.8), (2, 0.5, 0.6), (3, 0.2, 0.7)]


def test_curves_of_a_share_are_in_percent() -> None:
    history = {"epoch": [1.0, 2.0], "train/balanced_accuracy": [0.5, 0.75], "val/balanced_accuracy": [0.25, 0.875]}
    chart = curves(history, 2, "balanced_accuracy")
    assert chart.title == "Balanced accuracy"
    assert "goes from 25.0\u00a0% in the first epoch to 87.5\u00a0% in the last" in chart.says
    assert chart.table
    assert cell(chart.table.rows[1][1]) == "75.0\u00a0%"
    history = {"epoch": [1.0], "train/rmse": [0.5], "val/rmse": [0.25]}
    assert curves(history, 1, "rmse").title == "RMSE"


def test_rates_are_told() -> None:
    chart = single_curve(HISTORY, "lr")
    assert (chart.title, chart.says) == ("Learning rate", "Highest 0.2, in the last epoch 0.05.")
    assert chart.table
    assert chart.table.rows == [(1, 0.1), (2, 0.2), (3, 0.05)]


def test_a_training_of_one_epoch_is_drawn() -> None:
    history = {name: values[:1] for name, values in HISTORY.items()}
    assert curves(history, 1, "loss").table
    assert single_curve(history, "lr").table


def test_the_confusion_matrix_counts() -> None:
    y, predicted = np.array([0, 0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 1, 0, 2])
    chart = confusion_matrix(confusion_counts(y, predicted, 3), ["cat", "dog", "eel"])
    assert chart.says.startswith(
        "4 of 7 test rows were predicted right (57.1\u00a0%). Most often cat was taken for dog (2 rows)."
    )
    assert chart.table
    assert chart.table.rows == [["cat", 2, 2, 0], ["dog", 1, 1, 0], ["eel", 0, 0, 1]]


def test_of_many_classes_the_most_frequent_mistakes_are_listed() -> None:
    matrix = 50 * np.eye(100, dtype=np.int64)
    matrix[7, 9], matrix[3, 1] = 5, 8
    chart = confusion_matrix(matrix, [str(i) for i in range(100)])
    assert chart.table
    assert chart.table.rows == [["3", "1", 8], ["7", "9", 5]]
    assert chart.least > 500


def test_only_a_pair_that_leads_is_the_most_frequent_mistake() -> None:
    equals = confusion_matrix(np.array([[5, 1, 0], [2, 5, 2], [0, 1, 5]]), ["a", "b", "c"])
    assert "The 6 mistakes are of 4 kinds, and none is the most frequent." in equals.says
    assert "Most often" not in equals.says
    assert "Only a was taken for b (1 row)." in confusion_matrix(np.array([[5, 1], [0, 5]]), ["a", "b"]).says


def test_without_mistakes_none_is_named() -> None:
    chart = confusion_matrix(np.diag([3, 4]), ["a", "b"])
    assert chart.says == "7 of 7 test rows were predicted right (100.0\u00a0%)."


@pytest.mark.parametrize(
    ("top", "right", "word"),
    [(0.9, 0.5, "over-confident"), (0.6, 0.9, "under-confident"), (0.7, 0.7, "as it is right")],
)
def test_reliability_says_how_confident_the_model_is(top: float, right: float, word: str) -> None:
    n = 100
    probabilities = np.tile([top, 1 - top], (n, 1))
    y = (np.arange(n) >= right * n).astype(int)
    chart = reliability(y, probabilities, 10, 0.1)
    assert word in chart.says
    assert chart.table
    ((confidence, accuracy, low, high, rows),) = chart.table.rows
    assert (confidence, accuracy, rows) == pytest.approx((top, right, n))
    assert low < accuracy < high


def test_numbers_are_told_with_their_errors() -> None:
    y = np.arange(10.0)
    assert "R² is 0.5." in predicted_against_actual(y, y + 1, "y", 0.5).says
    chart = errors(y, y + 1, "y")
    assert chart.says == "Mean error 1, standard deviation 0."
    assert chart.table
    assert sum(row[2] for row in chart.table.rows) == 10


def test_the_target_is_told_of_both_splits() -> None:
    chart = target(np.arange(100.0), np.arange(50.0), "price")
    assert chart.says == "Training rows from 0 to 99, mean 49.5, standard deviation 28.87."
    assert chart.table
    columns = list(zip(*chart.table.rows, strict=True))
    assert (sum(columns[2]), sum(columns[3])) == (100, 50)


def test_curves_over_thresholds_say_of_which_class_they_are() -> None:
    y, probabilities = np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    for chart in (roc, precision_recall):
        assert "Curves of yes," in chart(y, probabilities, ["no", "yes"]).says


@pytest.mark.parametrize("classes", [2, 30, 31, 100])
def test_the_balance_names_its_ends(classes: int) -> None:
    counts = [10 + i for i in range(classes)]
    chart = class_balance(counts, [f"class {i}" for i in range(classes)])
    assert f"class {classes - 1}, has {9 + classes:,} training rows, the rarest, class 0, 10." in chart.says
    assert class_balance([5] * classes, ["x"] * classes).says == "Each class has 5 training rows."
