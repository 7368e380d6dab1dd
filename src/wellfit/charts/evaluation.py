"""Charts of predictions on the test split."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import ListedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from matplotlib.typing import DrawStyleType
from numpy.typing import NDArray

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
MANY_CURVES = 10  # above: thin lines without names
MOST_CURVES = 100  # of thin ones: a thousand take ten seconds and hide one another
MANY_CELLS = 20  # classes above which a confusion matrix shows colours alone
CROWDED = 0.97  # AUC above which all curves lie in a corner, which is drawn again, larger
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
def roc_curves(y: IntArray, probabilities: FloatArray, class_names: Sequence[str]) -> Figure:
    """ROC curves: of class 1 for two classes, else of each class against the rest.

    Args:
        y: (n,) true class indices.
        probabilities: (n, C).
        class_names: C names.
    """
    curves = _trace_classes(_trace_roc, y, probabilities, class_names)
    figure, axes = _plot_classes(curves, "default", "ROC AUC")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1, zorder=1)  # behind the curves
    if curves and min(curve.area for curve in curves) > CROWDED:
        corner = axes.inset_axes((0.34, 0.12, 0.62, 0.62), xlim=(-0.003, 0.2), ylim=(0.8, 1.003))
        corner.set_title("the upper left corner", fontsize=9)
        corner.set(xticks=[0, 0.1, 0.2], yticks=[0.8, 0.9, 1])
        corner.tick_params(labelsize=9)
        _draw_curves(corner, curves, "default")
    axes.set_xlabel("false positive rate (other rows taken for the class)")
    axes.set_ylabel("true positive rate (rows of the class found)")
    return figure


@style()
def precision_recall_curves(y: IntArray, probabilities: FloatArray, class_names: Sequence[str]) -> Figure:
    """Precision against recall: of class 1 for two classes, else of each class against the rest.

    Args:
        y: (n,) true class indices.
        probabilities: (n, C).
        class_names: C names.
    """
    curves = _trace_classes(_trace_precision_recall, y, probabilities, class_names)
    figure, axes = _plot_classes(curves, "steps-pre", "Average precision")
    axes.set_xlabel("recall (rows of the class found)")
    axes.set_ylabel("precision (of rows taken for the class)")
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


class _Curve(NamedTuple):
    name: str
    x: FloatArray
    y: FloatArray
    area: float


def _trace_classes(
    trace: Callable[[NDArray[np.bool_], FloatArray], tuple[FloatArray, FloatArray, float]],
    y: IntArray,
    probabilities: FloatArray,
    class_names: Sequence[str],
) -> list[_Curve]:
    """The curve of each class that has rows, and others to tell it from; of two classes, the second's."""
    traced = [1] if len(class_names) == 2 else range(len(class_names))
    return [
        _Curve(plain(class_names[c]), *trace(y == c, probabilities[:, c]))
        for c in traced
        if 0 < np.sum(y == c) < len(y)
    ]


def _trace_roc(is_class: NDArray[np.bool_], score: FloatArray) -> tuple[FloatArray, FloatArray, float]:
    found, mistaken = _count_by_threshold(is_class, score)
    x, y = mistaken / mistaken[-1], found / found[-1]
    return x, y, float(np.trapezoid(y, x))


def _trace_precision_recall(is_class: NDArray[np.bool_], score: FloatArray) -> tuple[FloatArray, FloatArray, float]:
    """Steps that hold the highest precision of each recall; the area below them is the average precision."""
    found, mistaken = _count_by_threshold(is_class, score)
    steps = np.flatnonzero(np.diff(found)) + 1
    recall, precision = found[steps] / found[-1], found[steps] / (found[steps] + mistaken[steps])
    x, y = np.append(0.0, recall), np.append(precision[0], precision)
    return x, y, float((np.diff(x) * precision).sum())


def _count_by_threshold(is_class: NDArray[np.bool_], score: FloatArray) -> tuple[IntArray, IntArray]:
    """Rows of the class and other rows that score at least each threshold, from none to all of them."""
    order = np.argsort(-score)
    ends = np.flatnonzero(np.diff(score[order], append=-np.inf)) + 1  # of each run of equal scores
    found = np.append(0, np.cumsum(is_class[order])[ends - 1])
    return found, np.append(0, ends) - found


def _plot_classes(curves: Sequence[_Curve], drawstyle: DrawStyleType, area: str) -> tuple[Figure, Axes]:
    """The curves in a unit square, with a title and, for several, a legend."""
    legend_rows = 0 if len(curves) <= 1 else 2 if len(curves) > MANY_CURVES else 1 + -(-len(curves) // 2)
    figure = Figure(figsize=(WIDTH, 4.4 + 0.18 * legend_rows))
    axes = figure.subplots()
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    _draw_curves(axes, curves, drawstyle)
    if not curves:
        axes.set_title(f"{area}: undefined, since all rows are of one class")
    elif len(curves) == 1:
        axes.set_title(f"{area} of class {curves[0].name}: {curves[0].area:.3f}")
    else:
        axes.set_title(f"{area}: mean over the classes {_mean_area(curves):.3f}")
        legend_below(figure, axes.get_legend_handles_labels()[0], f"{area} of each class against the rest")
    return figure, axes


def _draw_curves(axes: Axes, curves: Sequence[_Curve], drawstyle: DrawStyleType) -> None:
    """Draws each curve, or thin ones with a thick mean where there are many, or only some of very many."""
    if len(curves) <= MANY_CURVES:
        for curve in curves:
            axes.plot(curve.x, curve.y, drawstyle=drawstyle, label=f"{curve.area:.3f}  {curve.name}")
        return
    by_area = sorted(curves, key=lambda curve: curve.area)
    drawn = by_area[:: -(-len(curves) // MOST_CURVES)]
    for curve in drawn:
        axes.plot(curve.x, curve.y, drawstyle=drawstyle, color=SKY, linestyle="-", linewidth=0.6, alpha=0.6)
    axes.lines[-1].set_label(f"{'' if drawn == by_area else f'{len(drawn)} of '}{len(curves)} classes")
    grid = np.linspace(0, 1, 501)
    mean = np.mean([np.interp(grid, curve.x, curve.y) for curve in curves], axis=0)
    axes.plot(grid, mean, color=BLUE, linestyle="-", linewidth=2.4, label=f"their mean: {_mean_area(curves):.3f}")


def _mean_area(curves: Sequence[_Curve]) -> float:
    return float(np.mean([curve.area for curve in curves]))
