"""Charts of a study: its history, and what each key that was searched has to do with the result."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from wellfit.charts.study import Searched, Study
from wellfit.charts.style import (
    BLACK,
    BLUE,
    GREY,
    HEIGHT,
    ORANGE,
    RED,
    WHITE,
    WIDTH,
    in_percent,
    legend_below,
    panels,
    plain,
    spread_values,
    style,
)
from wellfit.metrics.names import is_share

GOLDEN_RATIO, SQUARE_ROOT = (1 + 5**0.5) / 2, 2**0.5
RING: dict[str, Any] = {"marker": "o", "markersize": 11, "fillstyle": "none", "markeredgewidth": 1.8, "color": RED}


@style()
def no_tuning() -> Figure:
    """Says that there is nothing to show."""
    return _only_words("tuning is off: params.yaml is used as it is")


def _only_words(words: str) -> Figure:
    figure = Figure(figsize=(8, 1.2))
    figure.text(0.5, 0.5, words, ha="center", va="center")
    return figure


@style()
def history(study: Study) -> Figure:
    """The best value of the monitored metric in each trial, and the best of the completed trials so far."""
    figure = Figure(figsize=(WIDTH, HEIGHT))
    axes = figure.subplots()
    so_far = study.best_so_far[study.shown]
    axes.step(study.shown, so_far, where="post", color=BLUE, linewidth=1.2, label="best completed so far")
    _draw_trials(axes, study, np.arange(len(study.values)))
    axes.set_title(study.summary())
    axes.set_xlabel("trial (the first has the values of params.yaml)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    _scale_scores(axes, study)
    legend_below(figure, axes.get_legend_handles_labels()[0])
    return figure


@style()
def slices(study: Study, keys: Sequence[Searched]) -> Figure:
    """The best value of the monitored metric in each trial against each of some keys, a panel for each."""
    figure, axes_of_all = panels(len(keys), columns=3, height=2.9)
    for axes, key in zip(axes_of_all, keys, strict=True):
        _draw_trials(axes, study, _apart(key))
        axes.set_xlabel(plain(key.key, 30))
        key.scale_axis(axes, "x")
        _scale_scores(axes, study)
    if len(keys) > 1:
        figure.suptitle(study.summary(), x=0.01, ha="left", fontsize=11)
    legend_below(figure, axes_of_all[0].get_legend_handles_labels()[0])
    return figure


@style()
def importance(shares: Mapping[str, float], monitor: str, trials: int) -> Figure:
    """How much of the differences between trials each key explains.

    Args:
        shares: dotted key to its share, which add up to 1; empty where it cannot be told.
        monitor: name of the metric.
        trials: completed ones that it is told from.
    """
    if not shares:
        return _only_words(f"{trials} completed trials are too few, or too alike, to tell which key matters")
    figure = Figure(figsize=(WIDTH, 1.2 + 0.4 * len(shares)))
    axes = figure.subplots()
    ranked = sorted(shares.items(), key=lambda item: item[1])
    bars = axes.barh([plain(key, 30) for key, _ in ranked], [share for _, share in ranked], color=BLUE, height=0.62)
    axes.bar_label(bars, [f"{share:.0%}" for _, share in ranked], padding=4)
    axes.set_xlim(0, 1.12 * max(shares.values()))
    axes.set_title(f"What decided {monitor}, by {trials} completed trials")
    axes.set_xlabel("share of the variance (fANOVA)")
    in_percent(axes.xaxis)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


@style()
def parallel(study: Study) -> Figure:
    """A line for each completed trial through its values and its result, the stronger the better; the rest in grey."""
    finite = study.scores[np.isfinite(study.scores)]
    is_wide = len(finite) > 0 and finite.min() > 0 and finite.max() > 10 * finite.min()
    result = Searched(study.monitor, study.values, "log" if is_wide else "linear")
    columns = [*study.keys, result]
    figure = Figure(figsize=(max(WIDTH, 1.2 * len(columns)), 3.6))
    axes = figure.subplots()
    heights = np.stack([_height(column) for column in columns], axis=1)
    for n in study.shown[np.argsort(np.nan_to_num(study.strength[study.shown]), kind="stable")]:  # the best on top
        if np.isnan(heights[n]).any():
            continue
        won, complete = n == study.winner, study.is_complete[n]
        color, width, alpha = (
            (RED, 2.6, 1.0) if won else (BLUE, 1.3, study.strength[n]) if complete else (GREY, 0.8, 0.4)
        )
        axes.add_patch(PathPatch(_smooth(heights[n]), facecolor="none", edgecolor=color, linewidth=width, alpha=alpha))
    for x, column in enumerate(columns):
        axes.axvline(x, color=BLACK, linewidth=1)
        for height, text in _marks(column):
            axes.annotate(
                text, (x, height), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9, color=BLACK,
                bbox={"boxstyle": "square,pad=0.15", "facecolor": WHITE, "edgecolor": "none", "alpha": 0.75},
            )  # fmt: skip
    axes.set(xlim=(-0.15, len(columns) - 0.55), ylim=(-0.05, 1.05), yticks=[])
    names = [plain(column.key.partition(".")[2] or column.key, 16) for column in columns]
    axes.set_xticks(range(len(columns)), names, fontsize=9)
    axes.tick_params(axis="x", length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_title(study.summary())
    lines = [Line2D([], [], color=RED, linewidth=2.6, label="best trial")] * (study.winner is not None)
    lines += [Line2D([], [], color=BLUE, linewidth=1.3, label="completed, the stronger the better")]
    if not study.is_complete.all():
        lines += [Line2D([], [], color=GREY, linewidth=0.8, label="pruned or failed")]
    legend_below(figure, lines)
    return figure


@style()
def ranks(study: Study, pairs: Sequence[tuple[Searched, Searched]]) -> Figure:
    """The trials over each of some pairs of keys, the stronger the better by rank.

    Args:
        study: the trials.
        pairs: keys to draw along the bottom and upwards.
    """
    figure, axes_of_all = panels(len(pairs), columns=3, height=3.0)
    for axes, (right, up) in zip(axes_of_all, pairs, strict=True):
        x, y = _apart(right), _apart(up, SQUARE_ROOT)
        rest = study.shown[~study.is_complete[study.shown]]
        axes.plot(x[rest], y[rest], "x", color=ORANGE, markersize=5)
        complete = study.shown[np.isfinite(study.strength[study.shown])]
        order = complete[np.argsort(study.strength[complete], kind="stable")]
        colors = [to_rgba(BLUE, strength) for strength in study.strength[order]]
        axes.scatter(x[order], y[order], color=colors, s=34, linewidths=0, zorder=2)
        if study.winner is not None:
            axes.plot(x[study.winner], y[study.winner], linestyle="", **RING)
        axes.set(xlabel=plain(right.key, 30), ylabel=plain(up.key, 30))
        right.scale_axis(axes, "x")
        up.scale_axis(axes, "y")
    if len(pairs) > 1:
        figure.suptitle(study.summary(), x=0.01, ha="left", fontsize=11)
    marks = [Line2D([], [], color=BLUE, linestyle="", marker="o", label="completed, the stronger the better")]
    if not study.is_complete.all():
        marks += [Line2D([], [], color=ORANGE, linestyle="", marker="x", label="pruned or failed")]
    marks += [Line2D([], [], linestyle="", label="best trial", **RING)] * (study.winner is not None)
    legend_below(figure, marks)
    return figure


def _draw_trials(axes: Axes, study: Study, x: NDArray[np.floating] | NDArray[np.integer]) -> None:
    """A point for each trial that has a value."""
    states, shown = np.array(study.states)[study.shown], study.shown
    for state, marker, color, label in (
        ("complete", "o", BLUE, "completed trial"),
        ("pruned", "x", ORANGE, "pruned trial"),
    ):
        x_of, y_of = x[shown[states == state]], study.scores[shown[states == state]]
        if len(x_of):
            axes.plot(x_of, y_of, marker, color=color, markersize=5, markeredgewidth=1.4, label=label)
    if study.winner is not None:
        axes.plot(x[study.winner], study.scores[study.winner], linestyle="", label="best trial", **RING)


def _scale_scores(axes: Axes, study: Study) -> None:
    """Labels the y axis with the monitored metric."""
    axes.set_ylabel(f"best {study.monitor} of a trial")
    if is_share(study.monitor):
        in_percent(axes.yaxis)
    else:
        spread_values(axes, study.scores)


def _apart(key: Searched, ratio: float = GOLDEN_RATIO) -> NDArray[np.float64]:
    """Positions; those of one choice stand side by side instead of on top of each other."""
    positions = key.positions()
    if key.scale == "choice":
        # Multiples of an irrational number fill an interval evenly, however many there are.
        positions = positions + 0.5 * ((np.arange(len(positions)) * ratio) % 1.0 - 0.5)
    return positions


def _height(column: Searched) -> NDArray[np.float64]:
    """Positions from 0 to 1 on an axis that all trials fill."""
    low, high = _ends(column)
    positions = column.positions()
    if column.scale == "log":
        positions, low, high = np.log(positions), np.log(low), np.log(high)
    return (positions - low) / (high - low) if high > low else np.where(np.isnan(positions), np.nan, 0.5)


def _ends(column: Searched) -> tuple[float, float]:
    finite = column.positions()[np.isfinite(column.positions())]
    return (float(finite.min()), float(finite.max())) if len(finite) else (1.0, 1.0)


def _marks(column: Searched) -> list[tuple[float, str]]:
    """Heights and words along an axis."""
    if column.scale == "choice":
        last = max(1, len(column.labels) - 1)
        return [(0.5 if len(column.labels) == 1 else i / last, plain(text, 12)) for i, text in enumerate(column.labels)]
    low, high = _ends(column)
    if low == high:
        return [(0.5, f"{low:.3g}")]
    middle = float(np.sqrt(low * high)) if column.scale == "log" else (low + high) / 2
    return [(0.0, f"{low:.3g}"), (0.5, f"{middle:.3g}"), (1.0, f"{high:.3g}")]


def _smooth(heights: NDArray[np.float64]) -> Path:
    """A curve through points at x = 0, 1, 2, ... that is level at each."""
    vertices, codes = [(0.0, heights[0])], [Path.MOVETO]
    for x in range(1, len(heights)):
        vertices += [(x - 0.6, heights[x - 1]), (x - 0.4, heights[x]), (float(x), heights[x])]
        codes += [Path.CURVE4] * 3
    return Path(vertices, codes)
