"""Charts of new rows beside the training rows."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from wellfit.charts.style import BLUE, ORANGE, WIDTH, in_percent, legend_below, plain, style
from wellfit.metrics.scores import FloatArray

BAR = 0.38  # of the height between two bins


@style()
def shares(labels: Sequence[str], before: FloatArray, now: FloatArray, names: tuple[str, str]) -> Figure:
    """The share of the rows in each bin, once and now.

    Args:
        labels: of the bins.
        before: share of the earlier rows in each.
        now: share of the new rows.
        names: of both.
    """
    figure = Figure(figsize=(WIDTH, 1.1 + 0.34 * len(labels)))
    axes = figure.subplots()
    places = np.arange(len(labels))
    for at, values, color, name in ((-BAR / 2, before, BLUE, names[0]), (BAR / 2, now, ORANGE, names[1])):
        axes.barh(places + at, values, BAR, color=color, label=name)
    axes.set_yticks(places, [plain(label) for label in labels])
    axes.set(ylim=(len(labels) - 0.5, -0.5), xlabel="share of the rows")
    axes.grid(visible=False, axis="y")
    in_percent(axes.xaxis)
    legend_below(figure, axes.get_legend_handles_labels()[0])
    return figure
