"""Charts of predictions on the test split."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import ListedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from wellfit.charts.data import draw_histogram, histogram_of
from wellfit.charts.style import (
    BLACK,
    BLUE,
    GREY,
    RED,
    SKY,
    WHITE,
    WIDTH,
    in_percent,
    legend_below,
    panels,
    plain,
    style,
)
from wellfit.metrics.intervals import wilson_interval
from wellfit.metrics.predictions import confidence_bins, regression_scores
from wellfit.metrics.scores import FloatArray, IntArray

FEW_CLASSES = 4  # classes up to which a confusion matrix is small and says 0
MANY_CELLS = 20  # classes above which a confusion matrix shows colours alone
MANY_POINTS = 1500  # rows above which a scatter becomes a density
MOST_TICKS = 34  # class names that fit along a confusion matrix
DARK = 0.65  # opacity of a cell above which its number is written in white
CORNERS = np.array([(-0.48, -0.48), (0.48, -0.48), (0.48, 0.48), (-0.48, 0.48)])  # of a cell, from its middle


class Reliability(NamedTuple):
    """How often predictions of about the same confidence are right; all (bins with rows,) but the last two.

    Attributes:
        confidence: mean of a bin.
        accuracy: of a bin.
        low: lower end of the 95 % interval of its accuracy.
        high: the upper end.
        rows: of a bin.
        mean_confidence: of all rows.
        mean_accuracy: of all rows.
    """

    confidence: FloatArray
    accuracy: FloatArray
    low: FloatArray
    high: FloatArray
    rows: IntArray
    mean_confidence: float
    mean_accuracy: float


def reliability_of(y: IntArray, probabilities: FloatArray, bins: int) -> Reliability:
    """The accuracy of predictions, by the probability of the predicted class.

    Args:
        y: (n,) true class indices.
        probabilities: (n, C).
        bins: number of equal bins from 0 to 1; those without rows are left out.
    """
    confidence, index = confidence_bins(probabilities, bins)
    right = probabilities.argmax(axis=1) == y
    counts = np.bincount(index, minlength=bins)
    used = counts > 0
    rows = counts[used]
    accuracy = np.bincount(index, right, minlength=bins)[used] / rows
    mean = np.bincount(index, confidence, minlength=bins)[used] / rows
    low, high = wilson_interval(accuracy, rows)
    return Reliability(mean, accuracy, low, high, rows, float(confidence.mean()), float(right.mean()))


@style()
def confusion_matrix(matrix: IntArray, class_names: Sequence[str]) -> Figure:
    """How often each class was taken for each: counts, the stronger the larger their share of the true class's rows.

    Args:
        matrix: (C, C) counts; rows are the true classes, columns the predicted ones.
        class_names: C names.
    """
    classes = len(class_names)
    share = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    opacity = 0.12 + 0.88 * share**0.5  # square root: rare mistakes show
    width = max(WIDTH, 0.42 * classes) if classes <= MANY_CELLS else 2 * WIDTH  # inches
    figure = Figure(figsize=(width, 0.95 * width))
    axes = figure.subplots()
    cells = np.argwhere(matrix)  # (n, 2): row, column
    colors = [to_rgba(BLUE if row == column else RED, opacity[row, column]) for row, column in cells]
    axes.add_collection(PolyCollection(cells[:, None, ::-1] + CORNERS, facecolors=colors, linewidths=0))
    axes.set(xlim=(-0.5, classes - 0.5), ylim=(classes - 0.5, -0.5), aspect="equal")
    axes.grid(visible=False)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    cell = 0.58 * width * 72 / classes  # points; names take the rest
    _name_classes(axes, class_names, cell)
    if classes <= MANY_CELLS:
        _write_counts(axes, matrix, opacity, cell)
    hits, total = int(np.trace(matrix)), int(matrix.sum())
    axes.set_title(f"{hits:,} of {total:,} rows predicted right ({hits / total:.1%})")
    patches = [Patch(color=BLUE, label="right"), Patch(color=RED, label="wrong (strength: share of the true class)")]
    legend_below(figure, patches)
    return figure


@style()
def reliability_diagram(found: Reliability) -> Figure:
    """Accuracy against the probability of the predicted class, in bins, and how the rows spread over them.

    Args:
        found: of :func:`reliability_of`.
    """
    figure = Figure(figsize=(WIDTH, 4))
    axes = figure.subplots()
    share = found.rows / found.rows.sum()
    error = float((share * np.abs(found.accuracy - found.confidence)).sum())
    axes.bar(found.confidence, share, width=0.02, color=GREY, alpha=0.5, label="share of the rows")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1.2, label="accuracy equals confidence")
    axes.vlines(found.confidence, found.low, found.high, color=SKY, linewidth=1.4, label="95 % interval of a bin")
    axes.plot(found.confidence, found.accuracy, "o", color=BLUE, markersize=6, label="accuracy of a bin")
    axes.set_title(f"Confidence {found.mean_confidence:.1%}, accuracy {found.mean_accuracy:.1%}, ECE {error:.3f}")
    axes.set(xlim=(0, 1.02), ylim=(0, 1.04), xlabel="confidence (probability of the predicted class)")
    axes.set_ylabel("accuracy")
    in_percent(axes.xaxis)
    in_percent(axes.yaxis)
    legend_below(figure, axes.get_legend_handles_labels()[0])
    return figure


@style()
def residuals(
    y: FloatArray, prediction: FloatArray, target_name: str, shown: Sequence[str] = ("predictions", "errors")
) -> Figure:
    """Predicted against actual values, and the spread of their differences.

    Args:
        y: (n,) actual values.
        prediction: (n,).
        target_name: with its unit.
        shown: the panels: ``predictions``, ``errors``.
    """
    figure, axes_of_all = panels(len(shown), height=4.4 if "predictions" in shown else 3.3)
    for axes, name in zip(axes_of_all, shown, strict=True):
        if name == "predictions":
            _draw_predictions(axes, y, prediction, plain(target_name, 30))
        else:
            _draw_errors(axes, prediction - y)
    return figure


def _draw_predictions(axes: Axes, y: FloatArray, prediction: FloatArray, target: str) -> None:
    ends = min(y.min(), prediction.min()), max(y.max(), prediction.max())
    if len(y) <= MANY_POINTS:
        axes.scatter(y, prediction, s=14, color=BLUE, alpha=0.6, linewidths=0)
    else:
        density = axes.hexbin(y, prediction, gridsize=40, cmap=ListedColormap([BLUE]), mincnt=1, linewidths=0)
        rows = np.asarray(density.get_array())
        density.set_alpha(0.15 + 0.85 * np.log1p(rows) / np.log1p(rows.max()))
    axes.plot(ends, ends, color=BLACK, linestyle=":", linewidth=1.4, label="predicted equals actual")
    scores = regression_scores(y, prediction, None)
    axes.set_title(f"R² {scores['r2']:.3f}, RMSE {_number(scores['rmse'])} ({len(y):,} rows)")
    axes.set(xlabel=f"actual {target}", ylabel=f"predicted {target}", box_aspect=1)
    axes.legend(loc="upper left")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))


def _draw_errors(axes: Axes, error: FloatArray) -> None:
    draw_histogram(axes, histogram_of({"test rows": error}))
    axes.axvline(0, color=BLACK, linestyle=":", linewidth=1.4)
    axes.axvline(error.mean(), color=RED, linewidth=1.4, label="mean error")
    axes.set_title(f"Error: mean {_number(error.mean())}, standard deviation {_number(error.std())}")
    axes.set_xlabel("error (predicted minus actual)")
    axes.legend()


def _name_classes(axes: Axes, class_names: Sequence[str], cell: float) -> None:
    """Writes the names that fit along cells of so many points: level, else aslant, else upright."""
    classes = len(class_names)
    shown = range(0, classes, -(-classes // MOST_TICKS))
    names = [plain(class_names[i]) for i in shown]
    size = 10 if classes <= MANY_CELLS else 6.5
    level = max(map(len, names)) * 0.65 * size < cell
    slope = 0 if level else 45 if cell > 2 * size else 90
    axes.set_yticks(shown, names, fontsize=size)
    axes.set_xticks(shown, names, fontsize=size)
    if not level:
        for label in axes.get_xticklabels():
            label.set(rotation=slope, ha="right", va="center", rotation_mode="anchor")


def _write_counts(axes: Axes, matrix: IntArray, opacity: FloatArray, cell: float) -> None:
    """Writes each count as large as its cell, of so many points, allows."""
    size = min(11, 0.45 * cell, 1.4 * cell / len(str(matrix.max())))
    for (row, column), count in np.ndenumerate(matrix):
        if count or len(matrix) <= FEW_CLASSES:
            color = WHITE if count and opacity[row, column] > DARK else BLACK
            axes.text(column, row, str(count), ha="center", va="center", fontsize=size, color=color)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
