"""Pictures of a study: its history, and what each key that was searched has to do with the result."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from wellfit.charts.style import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    RED,
    panel_grid,
    plain,
    spread_keys,
    spread_values,
    style,
)

SHADES: Colormap = LinearSegmentedColormap.from_list("rank", ["#0B3C6F", BLUE, "#7FB6D9", "#DCE9F2"])  # best to worst
GOLDEN_RATIO, SQUARE_ROOT = (1 + 5**0.5) / 2, 2**0.5
RANKED_KEYS = 4  # the most whose pairs are drawn


@dataclass(frozen=True)
class Searched:
    """A key that was searched, with its value in each trial.

    Attributes:
        key: dotted, as in ``params.yaml``.
        values: one for each trial, of any type that the key takes.
        scale: ``linear`` or ``log`` for numbers; ``choice`` for what has no order.
    """

    key: str
    values: Sequence[Any]
    scale: Literal["linear", "log", "choice"]

    @property
    def labels(self) -> list[str]:
        """The choices that were tried, in the order of their first trial."""
        return list(dict.fromkeys(_label(value) for value in self.values))

    def positions(self) -> NDArray[np.float64]:
        """Where each trial stands on the key's axis, (n,); NaN where it has no place there."""
        if self.scale == "choice":
            return np.array([self.labels.index(_label(value)) for value in self.values], float)
        positions = np.array([np.nan if value is None else value for value in self.values], float)
        if self.scale == "log":
            positions[~(positions > 0)] = np.nan
        return positions

    def scale_axis(self, axes: Axes, which: Literal["x", "y"]) -> None:
        """Labels the axis that :meth:`positions` are drawn on."""
        if self.scale == "choice":
            ticks = [plain(label, max(5, 30 // len(self.labels))) for label in self.labels]
            axes.set(**{f"{which}ticks": range(len(ticks)), f"{which}lim": (-0.6, len(ticks) - 0.4)})
            axes.set(**{f"{which}ticklabels": ticks})
            axes.tick_params(which, labelsize=8)
            return
        positions = self.positions()
        if self.scale == "log" and np.isfinite(positions).any():
            spread_keys(axes, positions[np.isfinite(positions)], which)


def _label(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@style()
def no_tuning() -> Figure:
    """Says that there is nothing to show."""
    return _only_words("tuning is off: params.yaml is used as it is")


def _only_words(words: str) -> Figure:
    figure = Figure(figsize=(8, 1.2))
    figure.text(0.5, 0.5, words, ha="center", va="center")
    return figure


@style()
def tuning_history(
    values: Sequence[float | None], states: Sequence[str], monitor: str, higher_is_better: bool
) -> Figure:
    """The best value of the monitored metric in each trial, and the best of the completed trials so far.

    Args:
        values: one for each trial, None for none.
        states: ``complete``, ``pruned`` or ``failed``.
        monitor: name of the metric.
        higher_is_better: whether it is to rise.
    """
    trials = _Trials(values, states, higher_is_better)
    numbers = np.arange(len(values))
    figure = Figure(figsize=(8, 4.6))
    axes = figure.subplots()
    axes.step(numbers, trials.best_so_far, where="post", color=BLUE, linewidth=1.4, label="best completed so far")
    trials.draw(axes, numbers)
    axes.set_title(trials.summary(monitor))
    axes.set_xlabel("trial (the first has the values of params.yaml)")
    axes.set_ylabel(f"best {monitor} of a trial")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    spread_values(axes, trials.values)
    axes.legend()
    return figure


@style()
def tuning_slices(
    searched: Sequence[Searched],
    values: Sequence[float | None],
    states: Sequence[str],
    monitor: str,
    higher_is_better: bool,
) -> Figure:
    """The best value of the monitored metric in each trial against each key that was searched.

    Args:
        searched: the keys, at least one.
        values: the metric, one for each trial, None for none.
        states: ``complete``, ``pruned`` or ``failed``.
        monitor: name of the metric.
        higher_is_better: whether it is to rise.
    """
    trials = _Trials(values, states, higher_is_better)
    columns = min(len(searched), 4)
    rows = -(-len(searched) // columns)
    figure = Figure(figsize=(max(6.5, 1.3 + 2.9 * columns), 0.9 + 3.3 * rows))
    panels = panel_grid(figure, len(searched), columns, sharey=True)
    for axes, key in zip(panels, searched, strict=True):
        trials.draw(axes, _apart(key))
        axes.set_xlabel(plain(key.key, 30))
        key.scale_axis(axes, "x")
    for axes in panels[::columns]:
        axes.set_ylabel(f"best {monitor} of a trial")
    spread_values(panels[0], trials.values)
    figure.suptitle(trials.summary(monitor), x=0.01, ha="left", fontsize=11)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=max(1, len(labels)))
    return figure


@style()
def tuning_importance(importance: Mapping[str, float], monitor: str, trials: int) -> Figure:
    """How much of the differences between trials each key explains.

    Args:
        importance: dotted key to its share, which add up to 1; empty where it cannot be told.
        monitor: name of the metric.
        trials: completed ones that it is told from.
    """
    if not importance:
        return _only_words(f"{trials} completed trials are too few, or too alike, to tell which key matters")
    figure = Figure(figsize=(8, 1.5 + 0.45 * len(importance)))
    axes = figure.subplots()
    ranked = sorted(importance.items(), key=lambda item: item[1])
    bars = axes.barh([plain(key, 40) for key, _ in ranked], [share for _, share in ranked], color=BLUE, height=0.62)
    axes.bar_label(bars, [f"{share:.0%}" for _, share in ranked], padding=4)
    axes.set_xlim(0, 1.08 * max(importance.values()))
    axes.set_title(f"What decided {monitor}, by {trials} completed trials")
    axes.set_xlabel("share of the variance that the key explains (fANOVA)")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


@style()
def tuning_parallel(
    searched: Sequence[Searched],
    values: Sequence[float | None],
    states: Sequence[str],
    monitor: str,
    higher_is_better: bool,
) -> Figure:
    """A line for each completed trial through its values and its result, the darker the better; the rest in grey.

    Args:
        searched: the keys, at least one.
        values: the metric, one for each trial, None for none.
        states: ``complete``, ``pruned`` or ``failed``.
        monitor: name of the metric.
        higher_is_better: whether it is to rise.
    """
    trials = _Trials(values, states, higher_is_better)
    result = Searched(monitor, [None if np.isnan(v) else v for v in trials.values], "linear")
    finite = trials.values[np.isfinite(trials.values)]
    if len(finite) and finite.min() > 0 and finite.max() > 10 * finite.min():
        result = Searched(monitor, result.values, "log")
    columns = [*searched, result]
    figure = Figure(figsize=(max(6.5, 1.8 * len(columns) + 1.0), 4.8))
    axes = figure.subplots()
    heights = np.stack([_height(column) for column in columns], axis=1)
    for n in np.argsort(-np.nan_to_num(trials.share_better, nan=2.0), kind="stable"):  # the best on top
        if np.isnan(heights[n]).any():
            continue
        complete, won = states[n] == "complete", n == trials.winner
        color = RED if won else SHADES(trials.share_better[n]) if complete else GREY
        width, alpha = (2.6, 1.0) if won else (1.3, 0.85) if complete else (0.8, 0.3)
        axes.add_patch(PathPatch(_smooth(heights[n]), facecolor="none", edgecolor=color, linewidth=width, alpha=alpha))
    for x, column in enumerate(columns):
        axes.axvline(x, color=BLACK, linewidth=1)
        for height, text in _marks(column):
            axes.annotate(
                text, (x, height), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8, color=BLACK,
                bbox={"boxstyle": "square,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
            )  # fmt: skip
    axes.set_xlim(-0.15, len(columns) - 0.55)
    axes.set_ylim(-0.05, 1.05)
    names = [plain(column.key, 24) for column in columns]
    axes.set_xticks(range(len(columns)), [*names[:-1], f"best {names[-1]}"])
    axes.tick_params(axis="x", length=0)
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title(trials.summary(monitor))
    _explain(figure, trials, best={"linewidth": 2.6}, other={"linewidth": 1})
    return figure


@style()
def tuning_rank(
    searched: Sequence[Searched],
    values: Sequence[float | None],
    states: Sequence[str],
    monitor: str,
    higher_is_better: bool,
) -> Figure:
    """The trials over each pair of keys, the darker the better by rank.

    Args:
        searched: the keys, the most important first, of which as many as fit are paired.
        values: the metric, one for each trial, None for none.
        states: ``complete``, ``pruned`` or ``failed``.
        monitor: name of the metric.
        higher_is_better: whether it is to rise.
    """
    trials = _Trials(values, states, higher_is_better)
    shown = list(searched)[:RANKED_KEYS]
    if len(shown) == 1:  # nothing to pair it with but time
        shown.append(Searched("trial", range(len(values)), "linear"))
    pairs = list(combinations(shown, 2))
    columns = 1 if len(pairs) == 1 else 3
    rows = -(-len(pairs) // columns)
    figure = Figure(figsize=(max(6.5, 3.3 * columns + 0.6), 1.3 + 2.9 * rows))
    panels = panel_grid(figure, len(pairs), columns)
    for axes, (right, up) in zip(panels, pairs, strict=True):
        x, y = _apart(right), _apart(up, SQUARE_ROOT)
        complete = np.array([state == "complete" for state in states], bool)
        axes.plot(x[~complete], y[~complete], "x", color=GREY, markersize=4, alpha=0.6)
        order = np.flatnonzero(complete)[np.argsort(-trials.share_better[complete], kind="stable")]
        axes.scatter(
            x[order], y[order], c=trials.share_better[order], cmap=SHADES, vmin=0, vmax=1, s=34,
            edgecolors="white", linewidths=0.5, zorder=2,
        )  # fmt: skip
        if trials.winner is not None:
            axes.plot(
                x[trials.winner], y[trials.winner], "o", color=RED, markersize=11, fillstyle="none", markeredgewidth=1.8
            )
        axes.set_xlabel(plain(right.key, 30))
        axes.set_ylabel(plain(up.key, 30))
        right.scale_axis(axes, "x")
        up.scale_axis(axes, "y")
    figure.suptitle(trials.summary(monitor), x=0.01, ha="left", fontsize=11)
    ring = {"linestyle": "", "marker": "o", "markersize": 11, "fillstyle": "none", "markeredgewidth": 1.8}
    _explain(figure, trials, best=ring, other={"linestyle": "", "marker": "x", "markersize": 5})
    return figure


class _Trials:
    """The values of a study, NaN where a trial has none, and which of its trials won.

    Attributes:
        values: (n,).
        best_so_far: (n,) of the completed trials up to each.
        winner: number of the best one; None where none is complete.
        share_better: (n,) share of the completed trials that are better than each, 0 the best; NaN for the others.
    """

    def __init__(self, values: Sequence[float | None], states: Sequence[str], higher_is_better: bool) -> None:
        self.values: NDArray[np.float64] = np.array([np.nan if value is None else value for value in values], float)
        self._state = np.array(states)
        complete = np.where(self._state == "complete", self.values, np.nan)
        self.best_so_far = (np.fmax if higher_is_better else np.fmin).accumulate(complete)
        won = np.flatnonzero(complete == self.best_so_far[-1])
        self.winner = int(won[0]) if len(won) else None
        cost = -complete if higher_is_better else complete
        better = (cost[None, :] < cost[:, None]).sum(axis=1)
        count = max(1, np.isfinite(cost).sum() - 1)
        self.share_better = np.where(np.isfinite(cost), better / count, np.nan)

    def summary(self, monitor: str) -> str:
        """The title: the best value, and how many trials it took."""
        pruned, complete = np.sum(self._state == "pruned"), np.sum(self._state == "complete")
        counts = f"{complete} completed, {pruned} pruned, {len(self._state) - complete - pruned} failed"
        if self.winner is None:
            return f"No trial has a result yet ({counts})"
        return f"Best {monitor}: {self.values[self.winner]:.4g} ({counts})"

    def draw(self, axes: Axes, x: NDArray[np.float64] | NDArray[np.int64]) -> None:
        """A point for each trial."""
        for state, marker, color in (("complete", "o", BLUE), ("pruned", "x", ORANGE)):
            of_state = self._state == state
            if not of_state.any():
                continue
            label = {"complete": "completed trial", "pruned": "pruned trial, its best until then"}[state]
            axes.plot(
                x[of_state], self.values[of_state], marker, color=color, markersize=5, markeredgewidth=1.4, label=label
            )
        if self.winner is not None:
            winner = x[self.winner], self.values[self.winner]
            axes.plot(*winner, "o", color=RED, label="best trial", markersize=11, fillstyle="none", markeredgewidth=1.8)


def _apart(key: Searched, ratio: float = GOLDEN_RATIO) -> NDArray[np.float64]:
    """Positions, those of one choice side by side instead of on top of each other."""
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
    if not len(finite):
        return (1.0, 1.0)
    return float(finite.min()), float(finite.max())


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


def _explain(figure: Figure, trials: _Trials, best: dict[str, Any], other: dict[str, Any]) -> None:
    """What the colours mean; the best trial and those without a rank as they are drawn."""
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), SHADES), ax=figure.axes, aspect=32, fraction=0.04, pad=0.02)
    bar.ax.invert_yaxis()
    bar.set_ticks([0, 1], labels=["best", "worst"])
    bar.ax.tick_params(length=0)
    bar.outline.set_visible(False)
    won = Line2D([], [], color=RED, label="best trial", **best)
    figure.legend(
        handles=[won] * (trials.winner is not None) + [Line2D([], [], color=GREY, label="pruned or failed", **other)],
        loc="outside lower center",
        ncols=2,
    )
