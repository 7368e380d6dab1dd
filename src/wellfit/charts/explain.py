"""Charts of what predictions depend on: columns, their values, and the parts of an image."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from wellfit.charts.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    PURPLE,
    RED,
    SKY,
    WHITE,
    WIDTH,
    in_percent,
    legend_below,
    plain,
    style,
)
from wellfit.explain.contributions import Contributions
from wellfit.explain.dependence import Dependence
from wellfit.explain.importance import Importance
from wellfit.metrics.names import is_higher_better, is_share, score_name
from wellfit.metrics.scores import FloatArray

MOST_COLUMNS = 20  # that importance is drawn of
MOST_BARS = 8  # of a row; where it has more columns, the last bar is the sum of the rest
HEAD = 2.6  # height of the title of a row, in bars
Z = 1.96  # standard errors from the middle of a 95 % interval to its ends
OUTPUT_COLORS = (BLUE, ORANGE, GREEN, RED, PURPLE)
LOWERS, RAISES = (
    "#0072B3",
    "#D55E01",
)  # of heat maps: pixels do not follow the page's style sheet, nor does their legend
PAIRS = 4  # of an image and its heat map, in a row


@style()
def importance(found: Importance) -> Figure:
    """By how much each score becomes worse without a column, with 95 % intervals: a panel for each score."""
    shown = found.order[:MOST_COLUMNS]
    figure = Figure(figsize=(WIDTH + 2.8 * (len(found.scores) - 1), 1.1 + 0.27 * len(shown)))
    places = np.arange(len(shown))
    axes_of_all = figure.subplots(1, len(found.scores), sharey=True, squeeze=False)[0]
    for axes, (name, score) in zip(axes_of_all, found.scores.items(), strict=True):
        axes.barh(places, score.mean[shown], color=BLUE, height=0.62)
        axes.hlines(places, score.low[shown], score.high[shown], color=BLACK, linewidth=1.2)
        axes.axvline(0, color=GREY, linewidth=1)
        axes.set_xlabel(f"{'fall' if is_higher_better(name) else 'rise'} of the {score_name(name)}")
        axes.xaxis.set_major_locator(MaxNLocator(4))
        if is_share(name):
            in_percent(axes.xaxis)
        _without_y_lines(axes)
    axes_of_all[0].set_yticks(places, [plain(found.names[i], 26) for i in shown])
    axes_of_all[0].invert_yaxis()
    return figure


@style()
def dependence(found: Sequence[Dependence], outputs: Sequence[str], *, are_shares: bool) -> Figure:
    """The mean prediction over the values of columns, a panel for each; numbers are on one scale, and categories.

    Args:
        found: one column or more.
        outputs: name of each output.
        are_shares: whether the outputs are probabilities.
    """
    columns = min(3, len(found))
    rows = -(-len(found) // columns)
    figure = Figure(figsize=(max(WIDTH, 3.6 * columns), 2.7 * rows + 0.4))
    # Names of categories take room in their own panel alone.
    parts = figure.subfigures(rows, columns, squeeze=False).ravel()
    of_numbers = [part for each in found if not each.categories for part in (each.mean, each.curves)]
    of_categories = [each.mean for each in found if each.categories]
    for part, each in zip(parts, found, strict=False):
        axes = part.subplots()
        if each.categories:
            axis = axes.xaxis
            _draw_categories(axes, each)
            axes.set_xlim(_scale(of_categories))
        else:
            axis = axes.yaxis
            _draw_numbers(axes, each)
            axes.set_ylim(_scale(of_numbers))
        axis.set_major_locator(MaxNLocator(3 if each.categories else 5))
        if are_shares:
            in_percent(axis)
        axes.set_title(plain(each.name, 34))
    marks: list[Artist] = [
        Line2D([], [], color=color, linestyle="-", marker="o", markersize=3, label=plain(name, 40))
        for color, name in zip(OUTPUT_COLORS, outputs, strict=False)
    ]
    if any(len(each.curves) for each in found):
        marks.append(Line2D([], [], color=SKY, linestyle="-", linewidth=0.8, label="single rows"))
    if any(each.missing is not None for each in found):
        marks.append(Line2D([], [], color=BLUE, linestyle=":", label="where it is missing"))
    if not all(each.categories for each in found):
        marks.append(Line2D([], [], color=BLACK, linestyle="", marker="|", markersize=8, label="deciles"))
    legend_below(figure, marks)
    return figure


def _scale(parts: Sequence[FloatArray]) -> tuple[float, float]:
    """Ends of an axis for all of these."""
    values = np.concatenate([part.ravel() for part in parts])
    margin = 0.05 * (float(np.ptp(values)) or 1.0)
    return float(values.min()) - margin, float(values.max()) + margin


def _draw_numbers(axes: Axes, found: Dependence) -> None:
    """Curves of the outputs and of single rows; the deciles of the training rows stand at the foot."""
    curves = [np.stack([found.values, curve], axis=1) for curve in found.curves]
    axes.add_collection(LineCollection(curves, colors=SKY, linewidths=0.6, alpha=0.6))
    for color, mean in zip(OUTPUT_COLORS, found.mean.T, strict=False):
        axes.plot(found.values, mean, color=color, linestyle="-", linewidth=2, marker="o", markersize=3)
    for color, missing in zip(OUTPUT_COLORS, found.missing if found.missing is not None else (), strict=False):
        axes.axhline(missing, color=color, linestyle=":", linewidth=1.4)
    deciles = found.spread[(found.spread >= found.values[0]) & (found.spread <= found.values[-1])]
    axes.vlines(deciles, 0, 0.05, transform=axes.get_xaxis_transform(), color=BLACK, linewidth=1)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=bool(np.all(found.values % 1 == 0))))


def _draw_categories(axes: Axes, found: Dependence) -> None:
    """Bars from the mean over all rows, or points where there are several outputs; with the shares of the rows."""
    places = np.arange(len(found.categories))
    if found.mean.shape[1] == 1:
        middle = float(np.average(found.mean[:, 0], weights=found.spread))
        axes.barh(places, found.mean[:, 0] - middle, left=middle, color=BLUE, height=0.62)
        axes.axvline(middle, color=GREY, linewidth=1)
    else:
        for color, mean in zip(OUTPUT_COLORS, found.mean.T, strict=False):
            axes.plot(mean, places, "o", color=color, markersize=5)
    labels = [
        f"{plain(name, 18)} ({_percent(share)})" for name, share in zip(found.categories, found.spread, strict=True)
    ]
    axes.set_yticks(places, labels, fontsize=9)
    axes.invert_yaxis()
    _without_y_lines(axes)


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else f"{share:.1%}"


@style()
def contributions(
    found: Contributions, cells: Sequence[Sequence[str]], titles: Sequence[str], what: str, *, are_shares: bool
) -> Figure:
    """What moves the predictions of single rows, one below the other in two columns, all on one scale.

    Args:
        found: of n rows.
        cells: (n, columns) each column with its value, such as ``age = 37``.
        titles: one for each row; of two lines.
        what: they contribute to.
        are_shares: whether that is a probability.
    """
    n, columns = found.values.shape
    below = -(-n // 2)  # in each of the columns
    bars = min(MOST_BARS, columns)
    figure = Figure(figsize=(2 * WIDTH if n > 1 else WIDTH, 0.8 + 0.23 * below * (bars + HEAD)))
    # A pair of axes for each row would take seconds.
    axes_of_all = figure.subplots(1, min(2, n), sharex=True, squeeze=False)[0]
    for axes, first in zip(axes_of_all, (0, below), strict=False):
        names: dict[float, str] = {}
        for place, i in enumerate(range(first, min(n, first + below))):
            top = place * (bars + HEAD)
            where = {"transform": axes.get_yaxis_transform(), "zorder": 3, "bbox": {"color": WHITE, "pad": 1}}
            axes.text(0.0, top + HEAD - 0.8, titles[i], fontsize=9.5, **where)
            names |= _draw_contributions(axes, found.values[i], found.errors[i], cells[i], top + HEAD)
        axes.axvline(0, color=GREY, linewidth=1)
        axes.set_yticks(list(names), list(names.values()), fontsize=9)
        axes.set_ylim(below * (bars + HEAD), 0)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        if are_shares:
            in_percent(axes.xaxis)
        _without_y_lines(axes)
    raised = [Patch(color=BLUE, label=f"raises {what}"), Patch(color=RED, label=f"lowers {what}")]
    legend_below(figure, [*raised, Line2D([], [], color=BLACK, linewidth=1.2, label="95 % interval")])
    return figure


def _draw_contributions(
    axes: Axes, values: FloatArray, errors: FloatArray, cells: Sequence[str], top: float
) -> dict[float, str]:
    """Bars downwards from a place, the largest first and the sum of the rest last; returns their places and names."""
    order = np.argsort(-np.abs(values), kind="stable")
    alone = len(values) if len(values) <= MOST_BARS else MOST_BARS - 1
    shown, rest = order[:alone], order[alone:]
    names, lengths = [plain(cells[i], 28) for i in shown], values[shown]
    if len(rest):
        names.append(f"{len(rest):,} others")
        lengths = np.append(lengths, values[rest].sum())
    places = top + np.arange(len(names))
    axes.barh(places, lengths, color=[BLUE if length >= 0 else RED for length in lengths], height=0.62)
    half = Z * errors[shown]
    axes.hlines(places[: len(shown)], values[shown] - half, values[shown] + half, color=BLACK, linewidth=1.2)
    return dict(zip(places.tolist(), names, strict=True))


@style()
def heat_maps(images: NDArray[np.uint8], heat: FloatArray, titles: Sequence[str], what: str) -> Figure:
    """Images, each with a map of how much the prediction falls where a part of it is hidden, all on one scale.

    Args:
        images: (n, C, H, W): colours where C is 3, else the first channel in grey.
        heat: (n, H, W); positive where it falls.
        titles: one for each image; of two lines.
        what: falls or rises.
    """
    n, channels, height, width = images.shape
    columns = min(PAIRS, n)
    rows, ratio = -(-n // columns), height / width
    head, gap = 0.42, 0.12  # above each pair, and beside it, in widths of an image
    figure = Figure(figsize=(2.5 * columns, 1.1 * (ratio + head) * rows + 0.5))
    axes = figure.subplots()
    largest = float(np.abs(heat).max()) or 1.0
    strength = (np.abs(heat) / largest)[..., np.newaxis]
    color = np.where(heat[..., np.newaxis] >= 0, to_rgb(LOWERS), to_rgb(RAISES))
    maps = np.concatenate([color, strength], axis=-1)
    shown = (images / max(1, int(images.max()))).transpose(0, 2, 3, 1)
    options: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 1, "interpolation": "nearest"}
    for i in range(n):
        left, top = (i % columns) * (2 + 3 * gap), (i // columns) * (ratio + head) + head
        image = shown[i] if channels == 3 else shown[i, :, :, 0]
        for place, picture in ((left, image), (left + 1 + gap / 2, maps[i])):
            axes.imshow(picture, extent=(place, place + 1, top + ratio, top), **options)
            axes.add_patch(Rectangle((place, top), 1, ratio, fill=False, edgecolor=PALE, linewidth=0.8))
        axes.text(left, top - 0.04, titles[i], fontsize=9, va="bottom")
    axes.set(xlim=(-0.02, columns * (2 + 3 * gap) - 2 * gap), ylim=(rows * (ratio + head) + 0.02, 0), aspect="equal")
    axes.set_axis_off()
    legend_below(
        figure,
        [
            Patch(color=LOWERS, label=f"hidden, it lowers {what}"),
            Patch(color=RAISES, label=f"hidden, it raises {what}"),
        ],
    )
    return figure


def _without_y_lines(axes: Axes) -> None:
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
