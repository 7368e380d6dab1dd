"""Charts of what was decided on validation rows: the threshold, and the coverage of sets and intervals."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from wellfit.charts.style import BLACK, BLUE, GREY, HEIGHT, ORANGE, SKY, WIDTH, in_percent, legend_below, plain, style
from wellfit.metrics.conformal import Coverage
from wellfit.metrics.threshold import DEFAULT_THRESHOLD, ThresholdCurve

MOST_GROUPS = 40  # that are drawn


@style()
def threshold_curves(curves: Mapping[str, ThresholdCurve]) -> Figure:
    """A score over the threshold, and the threshold that was chosen.

    Args:
        curves: by the name of the rows; all have the same chosen threshold.
    """
    figure = Figure(figsize=(WIDTH, HEIGHT + 0.4))
    axes = figure.subplots()
    for (name, curve), color in zip(curves.items(), (BLUE, ORANGE), strict=False):
        axes.step(
            [*curve.starts, 1.0],
            [*curve.values, curve.values[-1]],
            where="post",
            color=color,
            linestyle="-",
            label=name,
        )
        axes.plot(curve.chosen, curve.at(curve.chosen), "o", color=color, markersize=6)
    first = next(iter(curves.values()))
    axes.axvline(first.chosen, color=BLACK, linestyle=":", linewidth=1.4, label=f"chosen: {first.chosen:.3g}")
    axes.axvline(DEFAULT_THRESHOLD, color=GREY, linewidth=1, zorder=1, label=f"{DEFAULT_THRESHOLD}")
    axes.set(xlim=(0, 1), xlabel="threshold of the probability of the second class", ylabel=first.words)
    best = ", ".join(f"{curve.at(curve.chosen):.3g} ({name})" for name, curve in curves.items())
    axes.set_title(f"{first.words[0].upper()}{first.words[1:]} at {first.chosen:.3g}: {best}")
    legend_below(figure, axes.get_legend_handles_labels()[0])
    return figure


@style()
def coverage_by_group(found: Sequence[Coverage], asked: float) -> Figure:
    """The share of rows whose set or interval holds the truth, with its interval, of all rows and by group.

    Args:
        found: of all rows first; the first 40 are drawn.
        asked: the coverage that was asked for.
    """
    shown = found[:MOST_GROUPS]
    figure = Figure(figsize=(WIDTH, 1.3 + 0.3 * len(shown)))
    axes = figure.subplots()
    places = np.arange(len(shown))
    low, high, share = (np.array([getattr(each, name) for each in shown]) for name in ("low", "high", "coverage"))
    axes.axvline(asked, color=BLACK, linestyle=":", linewidth=1.4, label=f"asked: {100 * asked:.4g} %")
    axes.hlines(places, low, high, color=SKY, linewidth=3, label="95 % interval")
    axes.plot(share, places, "o", color=BLUE, linestyle="none", markersize=6, label="held the truth")
    axes.set_yticks(places, [plain(each.group) for each in shown])
    axes.set(ylim=(len(shown) - 0.5, -0.5), xlabel="share of the test rows")
    axes.set_title(f"The truth was held in {share[0]:.1%} of the test rows")
    in_percent(axes.xaxis)
    legend_below(figure, axes.get_legend_handles_labels()[0])
    return figure
