"""Pictures of predictions on the test split."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from matplotlib.typing import DrawStyleType
from numpy.typing import NDArray

from wellfit.charts.style import BLACK, BLUE, GREY, RED, SKY, plain, style
from wellfit.charts.style import save as save  # so that who draws needs one module
from wellfit.metrics.intervals import wilson_interval
from wellfit.metrics.predictions import classification_scores, confidence_bins, regression_scores
from wellfit.metrics.scores import FloatArray, IntArray

FEW_CLASSES = 4  # classes up to which a confusion matrix is small and says 0
MANY_CURVES = 10  # above: thin lines without names
MANY_CELLS = 20  # classes above which a confusion matrix shows colours alone
CROWDED = 0.97  # AUC above which all curves lie in a corner, which is drawn again, larger
MANY_POINTS = 2000  # rows above which a scatter becomes a density
MOST_TICKS = 34  # class names that fit along a confusion matrix


@style()
def confusion_matrix(matrix: IntArray, class_names: Sequence[str]) -> Figure:
    """How often each class was taken for each: counts, coloured by the share of the true class's rows.

    Args:
        matrix: (C, C) counts; rows are the true classes, columns the predicted ones.
        class_names: C names.
    """
    classes = len(class_names)
    rows = matrix.sum(axis=1, keepdims=True)
    share = np.divide(matrix, rows, out=np.zeros(matrix.shape), where=rows > 0)
    side = 4.4 if classes <= FEW_CLASSES else 6.4  # inches
    figure = Figure(figsize=(side + 1.4, side))
    axes = figure.subplots()
    image = axes.imshow(share, cmap="Blues", norm=PowerNorm(0.5, 0, 1))  # square root: rare mistakes show
    bar = figure.colorbar(image, ax=axes, shrink=0.8, ticks=[0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1])
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    bar.set_label("share of the true class's rows")
    bar.outline.set_visible(False)
    axes.grid(visible=False)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    cell = 0.6 * side * 72 / classes  # points; names take the rest of the side
    _name_classes(axes, class_names, cell)
    if classes <= MANY_CELLS:
        _write_counts(axes, matrix, share, cell)
    hits, total = int(np.trace(matrix)), int(matrix.sum())
    axes.set_title(f"{hits:,} of {total:,} rows predicted right ({hits / total:.1%})")
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
    figure = Figure(figsize=(8.6, 6))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
    _draw_curves(axes, curves, "default")
    _sum_up(figure, axes, curves, "ROC AUC")
    if curves and min(curve.area for curve in curves) > CROWDED:
        corner = axes.inset_axes((0.34, 0.12, 0.62, 0.62), xlim=(-0.003, 0.2), ylim=(0.8, 1.003))
        corner.set_title("the upper left corner", fontsize=9)
        corner.set(xticks=[0, 0.05, 0.1, 0.15, 0.2], yticks=[0.8, 0.85, 0.9, 0.95, 1])
        corner.tick_params(labelsize=9)
        _draw_curves(corner, curves, "default")
    axes.set_xlabel("false positive rate (share of other rows taken for the class)")
    axes.set_ylabel("true positive rate (share of the class's rows found)")
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
    figure = Figure(figsize=(8.6, 6))
    axes = figure.subplots()
    _draw_curves(axes, curves, "steps-pre")
    _sum_up(figure, axes, curves, "Average precision")
    axes.set_xlabel("recall (share of the class's rows found)")
    axes.set_ylabel("precision (share of rows taken for the class that are of it)")
    return figure


@style()
def reliability_diagram(y: IntArray, probabilities: FloatArray, bins: int) -> Figure:
    """Accuracy against the probability of the predicted class, in bins, and how the rows spread over them.

    Args:
        y: (n,) true class indices.
        probabilities: (n, C).
        bins: number of equal bins from 0 to 1.
    """
    confidence, index = confidence_bins(probabilities, bins)
    rows = np.bincount(index, minlength=bins)
    used = rows > 0
    right = probabilities.argmax(axis=1) == y
    accuracy = np.bincount(index, right, minlength=bins)[used] / rows[used]
    mean_confidence = np.bincount(index, confidence, minlength=bins)[used] / rows[used]
    ece = classification_scores(y, probabilities, None, bins)["ece"]

    figure = Figure(figsize=(7.4, 6.4))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1.2, label="accuracy equals confidence")
    low, high = wilson_interval(accuracy, rows[used])
    upper.vlines(mean_confidence, low, high, color=SKY, linewidth=1.4, label="95 % interval of a bin's accuracy")
    upper.plot(mean_confidence, accuracy, "o", color=BLUE, markersize=6, label="accuracy of a bin")
    upper.set_title(
        f"Confidence {confidence.mean():.1%}, accuracy {right.mean():.1%}, calibration error (ece) {ece:.3f}"
    )
    upper.set_ylabel("accuracy")
    upper.set(xlim=(0, 1.02), ylim=(0, 1.04))
    figure.legend(loc="outside lower center", ncols=3)
    lower.bar((np.arange(bins) + 0.5) / bins, rows / len(y), width=0.92 / bins, color=BLUE)
    lower.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    lower.set_xlabel("confidence (probability of the predicted class)")
    lower.set_ylabel("share of rows")
    return figure


@style()
def residuals(y: FloatArray, prediction: FloatArray, target_name: str) -> Figure:
    """Predicted against actual values, and the spread of their differences.

    Args:
        y: (n,) actual values.
        prediction: (n,).
        target_name: with its unit.
    """
    target, error = plain(target_name, 40), prediction - y
    scores = regression_scores(y, prediction, None)
    figure = Figure(figsize=(10, 4.8))
    left, right = figure.subplots(1, 2)
    ends = min(y.min(), prediction.min()), max(y.max(), prediction.max())
    if len(y) <= MANY_POINTS:
        left.scatter(y, prediction, s=16, color=BLUE, alpha=0.7, linewidths=0)
    else:
        density = left.hexbin(y, prediction, gridsize=50, cmap="Blues", norm=LogNorm(vmin=0.3), mincnt=1, linewidths=0)
        figure.colorbar(density, ax=left, label="rows", shrink=0.6, format="{x:g}").outline.set_visible(False)
    left.plot(ends, ends, color=BLACK, linestyle=":", linewidth=1.4, label="predicted equals actual")
    left.set_title(f"R² {scores['r2']:.3f}, rmse {_number(scores['rmse'])} ({len(y):,} rows)")
    left.set_xlabel(f"actual {target}")
    left.set_ylabel(f"predicted {target}")
    left.legend(loc="upper left")
    right.hist(error, bins=int(np.clip(2 * np.sqrt(len(y)), 8, 50)), color=BLUE)
    right.axvline(0, color=BLACK, linestyle=":", linewidth=1.4)
    right.axvline(error.mean(), color=RED, linewidth=1.4, label="mean error")
    right.set_title(f"Error: mean {_number(error.mean())}, standard deviation {_number(error.std())}")
    right.set_xlabel("error (predicted minus actual)")
    right.set_ylabel("rows")
    right.legend()
    for axis in (left.xaxis, left.yaxis, right.xaxis):
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    return figure


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


def _write_counts(axes: Axes, matrix: IntArray, share: FloatArray, cell: float) -> None:
    """Writes each count as large as its cell, of so many points, allows."""
    size = min(11, 0.45 * cell, 1.4 * cell / len(str(matrix.max())))
    for (row, column), count in np.ndenumerate(matrix):
        if count or len(matrix) <= FEW_CLASSES:
            color = "white" if share[row, column] > 0.3 else BLACK
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


def _draw_curves(axes: Axes, curves: Sequence[_Curve], drawstyle: DrawStyleType) -> None:
    """Draws each curve, or thin ones with a thick mean where there are many."""
    if len(curves) <= MANY_CURVES:
        for curve in curves:
            axes.plot(curve.x, curve.y, drawstyle=drawstyle, label=f"{curve.area:.3f}  {curve.name}")
        return
    for curve in curves:
        axes.plot(curve.x, curve.y, drawstyle=drawstyle, color=SKY, linestyle="-", linewidth=0.6, alpha=0.6)
    axes.lines[-1].set_label(f"{len(curves)} classes")
    grid = np.linspace(0, 1, 501)
    mean = np.mean([np.interp(grid, curve.x, curve.y) for curve in curves], axis=0)
    axes.plot(grid, mean, color=BLUE, linestyle="-", linewidth=2.4, label=f"their mean: {_mean_area(curves):.3f}")


def _sum_up(figure: Figure, axes: Axes, curves: Sequence[_Curve], area: str) -> None:
    """Title, legend and the unit square's limits."""
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    if not curves:
        axes.set_title(f"{area}: undefined, since all rows are of one class")
    elif len(curves) == 1:
        axes.set_title(f"{area} of class {curves[0].name}: {_mean_area(curves):.3f}")
    else:
        axes.set_title(f"{area}, each class against the rest: mean {_mean_area(curves):.3f}")
        figure.legend(title=area, alignment="left", loc="outside right upper")


def _mean_area(curves: Sequence[_Curve]) -> float:
    return float(np.mean([curve.area for curve in curves]))
