"""Pictures of what a comparison came to: differences to the first variant, and decision boundaries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from wellfit.charts.style import BLACK, BLUE, GREY, ORANGE, RED, at_foot, legend_below, panel_grid, plain, style

if TYPE_CHECKING:  # compare draws with this module, not the other way round
    from wellfit.compare.measures import Measure
    from wellfit.compare.statistics import Measured, Result

FAR_AWAY = 8.0  # times as far from zero as the others: drawn at the edge, with its number
SHADES = LinearSegmentedColormap.from_list("classes", ["#7DB4DB", "#C9E0F0", "#FFFFFF", "#FBE9C4", "#F2C464"])


@dataclass(frozen=True)
class Boundaries:
    """What networks of two inputs predict, in the units of the raw features.

    Attributes:
        x: (n,) of a grid.
        y: (m,) of it.
        probabilities: variant to (m, n) probabilities of class 1.
        points: (N, 2) test rows.
        classes: (N,) theirs, 0 or 1.
    """

    x: NDArray[np.floating]
    y: NDArray[np.floating]
    probabilities: Mapping[str, NDArray[np.floating]]
    points: NDArray[np.floating]
    classes: NDArray[np.integer]


@style()
def forest(results: Sequence["Result"], measures: Sequence["Measure"], target: str) -> Figure:
    """The difference of each variant to the first, with its interval and a dot for each seed; a panel a measure.

    Args:
        results: of the variants, two or more.
        measures: what was measured.
        target: what is predicted, with its unit.
    """
    first, *others = results
    columns = 2 if len(measures) == 4 else min(3, len(measures))
    rows = -(-len(measures) // columns)
    height = 1.0 + 0.42 * len(others)
    figure = Figure(figsize=(2.6 + 3.5 * columns, 0.9 + (height + 0.7) * rows))
    panels = panel_grid(figure, len(measures), columns, sharey=True)
    for axes, measure in zip(panels, measures, strict=True):
        axes.axvline(0, color=BLACK, linewidth=1)
        measured = [result.measured[measure.key] for result in others]
        limit = _limit(measured, measure)
        for row, each in enumerate(measured):
            _draw_difference(axes, row, each, measure, limit)
        label = measure.label[:1].upper() + measure.label[1:]
        axes.set_title(f"{label}: {measure.value(first.measured[measure.key].mean) or 'none'}", fontsize=10)
        axes.set_xlabel("difference in points" if measure.is_share else f"difference in {measure.in_unit(target)}")
        axes.grid(visible=False, axis="y")
        axes.locator_params(axis="x", nbins=5)
        if limit:
            axes.set_xlim(-1.08 * limit, 1.08 * limit)
    panels[0].set_yticks(range(len(others)), [plain(result.variant, 30) for result in others])
    panels[0].set_ylim(len(others) - 0.4, -0.6)
    figure.suptitle(
        f"Differences to “{plain(first.variant, 30)}”, whose own means are in the titles",
        x=0.01,
        ha="left",
        fontsize=11,
    )
    handles = [
        Line2D([], [], color=BLUE, marker="D", linewidth=2.2, label="better than the first, 95 % interval"),
        Line2D([], [], color=RED, marker="D", linewidth=2.2, label="worse"),
        Line2D([], [], color=GREY, marker="o", linewidth=2.2, label="the interval holds zero"),
        Line2D([], [], color=GREY, marker="o", linestyle="", markersize=3, label="a seed"),
    ]
    legend_below(figure, handles)
    return figure


@style()
def boundaries(shown: Boundaries, titles: Mapping[str, str], features: Sequence[str], classes: Sequence[str]) -> Figure:
    """The probability of class 1 over two features, a panel for each variant, with the test rows.

    Args:
        shown: what is predicted.
        titles: variant to what stands above its panel.
        features: names of both.
        classes: names of both.
    """
    columns = min(4, len(titles))
    rows = -(-len(titles) // columns)
    figure = Figure(figsize=(1.4 + 3.1 * columns, 1.0 + 3.1 * rows))
    panels = panel_grid(figure, len(titles), columns, sharex=True, sharey=True)
    for axes, (variant, title) in zip(panels, titles.items(), strict=True):
        probabilities = shown.probabilities[variant]
        image = axes.pcolormesh(shown.x, shown.y, probabilities, cmap=SHADES, vmin=0, vmax=1, shading="gouraud")
        axes.contour(shown.x, shown.y, probabilities, levels=[0.5], colors=BLACK, linewidths=1.2)
        for index, (color, shape) in enumerate(((BLUE, "o"), (ORANGE, "^"))):
            points = shown.points[shown.classes == index]
            axes.scatter(
                points[:, 0], points[:, 1], s=13, color=color, marker=shape, edgecolors=BLACK, linewidths=0.4, zorder=2
            )
        axes.set_title(title, fontsize=10)
        axes.set(xlim=(shown.x.min(), shown.x.max()), ylim=(shown.y.min(), shown.y.max()))
        axes.grid(visible=False)
    for axes in panels[::columns]:
        axes.set_ylabel(plain(features[1], 30))
    for axes in at_foot(panels, columns):
        axes.set_xlabel(plain(features[0], 30))
    bar = figure.colorbar(image, ax=panels, shrink=0.9, aspect=30, ticks=[0, 0.25, 0.5, 0.75, 1])
    bar.set_label(f"probability of class {plain(classes[1])}")
    bar.outline.set_visible(False)
    handles = [
        Line2D([], [], linestyle="", marker="o", color=BLUE, label=f"test row of class {plain(classes[0])}"),
        Line2D([], [], linestyle="", marker="^", color=ORANGE, label=f"test row of class {plain(classes[1])}"),
        Line2D([], [], color=BLACK, linewidth=1.2, label="decision boundary"),
    ]
    legend_below(figure, handles)
    return figure


def _limit(measured: Sequence["Measured"], measure: "Measure") -> float:
    """How far the axis reaches where a few differences are far from all others; else 0."""
    reach = sorted(
        measure.factor * max(map(abs, [*each.differences.values(), each.difference.low, each.difference.high]))
        for each in measured
        if np.isfinite(each.difference.low)
    )
    near = [value for value in reach if value <= FAR_AWAY * max(reach[(len(reach) - 1) // 2], 1e-12)]
    return max(near) if len(near) < len(reach) else 0.0


def _draw_difference(axes: Axes, row: int, measured: "Measured", measure: "Measure", limit: float) -> None:
    mean, low, high = (measure.factor * number for number in measured.difference)
    if np.isnan(mean):
        axes.text(
            0, row, " failed" if not measured.scores else " nothing to compare", va="center", color=GREY, fontsize=9
        )
        return
    if limit and abs(mean) > limit:
        side = np.sign(mean)
        text = f"{measure.difference(measured.difference)}"
        axes.annotate(
            text, (side * limit, row), (-side * 14, 0), textcoords="offset points", fontsize=8, va="center",
            ha="right" if side > 0 else "left", color=_color(measured, measure),
        )  # fmt: skip
        axes.plot(side * limit, row, ">" if side > 0 else "<", color=_color(measured, measure), markersize=7)
        return
    color = _color(measured, measure)
    seeds = [measure.factor * difference for difference in measured.differences.values()]
    axes.plot(seeds, row + 0.24 + _stacked(seeds), "o", color=GREY, markersize=3, alpha=0.8)
    if np.isfinite(low):
        axes.plot([low, high], [row, row], color=color, linewidth=2.2, linestyle="-", solid_capstyle="butt")
    axes.plot(mean, row, "o" if color == GREY else "D", color=color, markersize=6)


def _stacked(values: Sequence[float]) -> NDArray[np.float64]:
    """How far below the first of them each of some equal values is drawn, in rows."""
    equal = [[j for j, other in enumerate(values) if np.isclose(other, value)] for value in values]
    most = max(map(len, equal))
    ranks = np.array([group.index(i) for i, group in enumerate(equal)])
    return ranks * min(0.1, 0.3 / max(1, most - 1))


def _color(measured: "Measured", measure: "Measure") -> str:
    if not measured.difference.excludes_zero:
        return GREY
    return BLUE if (measured.difference.mean > 0) == measure.higher_is_better else RED
