"""Charts of how well scores tell classes apart, at every threshold."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import DrawStyleType
from numpy.typing import NDArray

from wellfit.charts.style import BLUE, GREY, SKY, WIDTH, legend_below, plain, style
from wellfit.metrics.scores import FloatArray, IntArray

MANY_CURVES = 10  # above: thin lines without names
MOST_CURVES = 100  # of thin ones: a thousand take ten seconds and hide one another
CROWDED = 0.97  # AUC above which all curves lie in a corner, which is drawn again, larger


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
