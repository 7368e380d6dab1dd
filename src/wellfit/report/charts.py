"""Charts of a training, of its predictions and of its data, with what is to be seen in them and their numbers."""

from collections.abc import Mapping, Sequence

import numpy as np

from wellfit.charts import class_curves, data, evaluation, training
from wellfit.metrics.intervals import wilson_interval
from wellfit.metrics.names import score_name
from wellfit.metrics.predictions import confusion_counts
from wellfit.metrics.scores import FloatArray, IntArray
from wellfit.metrics.threshold import DEFAULT_THRESHOLD, predicted_classes
from wellfit.report.content import Chart, Share, Table, number, percent, rows_in_words, score, score_cell

MANY_CELLS = 20  # classes above which a confusion matrix is not repeated as a table
TOP_CONFUSIONS = 10


def curves(history: Mapping[str, Sequence[float]], best_epoch: int, name: str) -> Chart:
    """A metric of the training and validation split after each epoch.

    Args:
        history: ``epoch``, and ``train/<name>`` and ``val/<name>``.
        best_epoch: whose weights were kept.
        name: of a metric, without its split.
    """
    train, validation = history[f"train/{name}"], history[f"val/{name}"]
    words = score_name(name)
    first, last = ([score(name, values[at]) for values in (validation, train)] for at in (0, -1))
    says = (
        f"Validation {words} goes from {first[0]} in the first epoch to {last[0]} in the last, training {words} from "
        f"{first[1]} to {last[1]}. The weights of epoch {best_epoch} were kept, with "
        f"{score(name, validation[best_epoch - 1])} on validation rows."
    )
    title = words[0].upper() + words[1:]
    rows = [
        (int(epoch), score_cell(name, before), score_cell(name, after))
        for epoch, before, after in zip(history["epoch"], train, validation, strict=True)
    ]
    table = Table(f"{title} by epoch", ["epoch", "training", "validation"], rows)
    return Chart(title, says, training.learning_curves(history, best_epoch, [name]), table)


def single_curve(history: Mapping[str, Sequence[float]], column: str) -> Chart:
    """The learning rate or the gradient norm, ``lr`` or ``grad_norm``, in each epoch."""
    name, values = training.RATES[column], history[column]
    says = f"Highest {number(np.nanmax(values))}, in the last epoch {number(values[-1])}."
    rows = list(zip(map(int, history["epoch"]), values, strict=True))
    table = Table(f"{name.capitalize()} by epoch", ["epoch", name], rows)
    return Chart(name.capitalize(), says, training.learning_rate(history, [column]), table)


def of_classes(
    y: IntArray,
    probabilities: FloatArray,
    class_names: Sequence[str],
    bins: int,
    ece: float | None,
    threshold: float = DEFAULT_THRESHOLD,
) -> dict[str, Chart]:
    """The charts of predicted classes by name, in the order of the page.

    Args:
        y: (n,) true class indices.
        probabilities: (n, C).
        class_names: C names.
        bins: of the reliability diagram.
        ece: the expected calibration error.
        threshold: of `wellfit.metrics.threshold.predicted_classes`.
    """
    predicted = predicted_classes(probabilities, threshold)
    return {
        "confusion_matrix": confusion_matrix(confusion_counts(y, predicted, len(class_names)), class_names),
        "reliability": reliability(y, probabilities, bins, ece),
        "roc": roc(y, probabilities, class_names),
        "precision_recall": precision_recall(y, probabilities, class_names),
    }


def confusion_matrix(matrix: IntArray, class_names: Sequence[str]) -> Chart:
    """How often each class was taken for each.

    Args:
        matrix: (C, C) counts; rows are the true classes, columns the predicted ones.
        class_names: C names.
    """
    total, hits = int(matrix.sum()), int(np.trace(matrix))
    mistakes = [(int(matrix[row, column]), row, column) for row, column in np.argwhere(matrix) if row != column]
    mistakes.sort(key=lambda each: (-each[0], each[1:]))
    says = f"{hits:,} of {total:,} test rows were predicted right ({percent(hits / total)})."
    if mistakes:
        count, row, column = mistakes[0]
        pair = f"{class_names[row]} was taken for {class_names[column]} ({rows_in_words(count)})."
        if len(mistakes) == 1:
            says += f" Only {pair}"
        elif count > mistakes[1][0]:
            says += f" Most often {pair}"
        else:
            says += f" The {total - hits:,} mistakes are of {len(mistakes):,} kinds, and none is the most frequent."
        says += " The stronger a cell, the larger its share of the true class."
    if len(class_names) <= MANY_CELLS:
        rows = [[name, *map(int, counts)] for name, counts in zip(class_names, matrix, strict=True)]
        table = Table("True class by row, predicted class by column", ["true class", *class_names], rows)
    else:
        rows = [[class_names[row], class_names[column], count] for count, row, column in mistakes[:TOP_CONFUSIONS]]
        table = Table("The most frequent mistakes", ["true class", "predicted class", "rows"], rows)
    return Chart("Confusion matrix", says, evaluation.confusion_matrix(matrix, class_names), table)


def roc(y: IntArray, probabilities: FloatArray, class_names: Sequence[str]) -> Chart:
    """The ROC curve of each class; arguments as of :func:`wellfit.charts.class_curves.roc_curves`."""
    says = (
        f"Curves {_whose(class_names)}, over all thresholds: the nearer to the upper left corner, the better. On the "
        "dotted line, the model would guess."
    )
    return Chart("ROC", says, class_curves.roc_curves(y, probabilities, class_names))


def precision_recall(y: IntArray, probabilities: FloatArray, class_names: Sequence[str]) -> Chart:
    """Precision against recall of each class; arguments as of :func:`roc`."""
    says = f"Curves {_whose(class_names)}, over all thresholds: the nearer to the upper right corner, the better."
    return Chart("Precision and recall", says, class_curves.precision_recall_curves(y, probabilities, class_names))


def _whose(class_names: Sequence[str]) -> str:
    return f"of {class_names[1]}" if len(class_names) == 2 else "of each class against the rest"


def reliability(y: IntArray, probabilities: FloatArray, bins: int, ece: float | None) -> Chart:
    """Accuracy against the probability of the predicted class, in bins.

    Args:
        y: (n,) true class indices.
        probabilities: (n, C).
        bins: number of equal bins from 0 to 1.
        ece: the expected calibration error.
    """
    found = evaluation.reliability_of(y, probabilities, bins)
    (low,), (high,) = wilson_interval(np.array([found.mean_accuracy]), np.array([len(y)]))
    word = "about as confident as it is right"
    if not low <= found.mean_confidence <= high:
        word = "over-confident" if found.mean_confidence > high else "under-confident"
    says = (
        f"Mean confidence {percent(found.mean_confidence)}, accuracy {percent(found.mean_accuracy)}: on the whole the "
        f"model is {word}. Expected calibration error {score('ece', ece)}. Points on the dotted line are calibrated; "
        "upright lines are 95 % intervals, bars the share of the rows."
    )
    header = ["confidence, mean of a bin", "accuracy", "low", "high", "rows"]
    cells = [(*map(Share, shares), n) for *shares, n in zip(*found[:5], strict=True)]
    return Chart("Reliability", says, evaluation.reliability_diagram(found), Table("Reliability by bin", header, cells))


def predicted_against_actual(y: FloatArray, prediction: FloatArray, target: str, r2: float | None) -> Chart:
    """Predicted against actual values, as points or, where there are many, as a density.

    Args:
        y: (n,) actual values.
        prediction: (n,).
        target: its name, with its unit.
        r2: share of the variance that is explained.
    """
    what = "Each point is a test row" if len(y) <= evaluation.MANY_POINTS else "The stronger a cell, the more test rows"
    says = f"{what}; on the dotted line predicted equals actual. R² is {number(r2)}."
    return Chart("Predicted against actual", says, evaluation.residuals(y, prediction, target, ["predictions"]))


def errors(y: FloatArray, prediction: FloatArray, target: str) -> Chart:
    """How errors spread; arguments as of :func:`predicted_against_actual`."""
    error = prediction - y
    says = f"Mean error {number(float(error.mean()))}, standard deviation {number(float(error.std()))}."
    table = _histogram_table("Errors", data.histogram_of({"test rows": error}))
    return Chart("Errors", says, evaluation.residuals(y, prediction, target, ["errors"]), table)


def target(train: FloatArray, test: FloatArray, name: str) -> Chart:
    """How the target spreads.

    Args:
        train: (n,) values of the training split.
        test: (m,) values of the test split.
        name: of the target, with its unit.
    """
    says = (
        f"Training rows from {number(train.min())} to {number(train.max())}, mean {number(train.mean())}, standard "
        f"deviation {number(train.std())}."
    )
    found = data.histogram_of({"training rows": train, "test rows": test})
    return Chart("Target", says, data.histogram(found, name), _histogram_table("Target", found))


def _histogram_table(title: str, found: data.Histogram) -> Table:
    ends = zip(found.edges[:-1], found.edges[1:], *found.counts.values(), strict=True)
    rows = [[number(low), number(high), *map(int, counts)] for low, high, *counts in ends]
    return Table(f"{title} by interval", ["from", "to", *found.counts], rows)


def class_balance(counts: Sequence[int], class_names: Sequence[str]) -> Chart:
    """Rows of each class of the training split.

    Args:
        counts: C of them.
        class_names: C names.
    """
    rarest, most = int(np.argmin(counts)), int(np.argmax(counts))
    says = f"Each class has {counts[most]:,} training rows."
    if counts[most] != counts[rarest]:
        says = (
            f"The most frequent class, {class_names[most]}, has {counts[most]:,} training rows, the rarest, "
            f"{class_names[rarest]}, {counts[rarest]:,}."
        )
    return Chart("Class balance", says, data.class_balance(counts, class_names))
