"""Charts of a data set: its classes, its target, and what augmentation makes of its images."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from wellfit.charts.style import BLUE, HEIGHT, ORANGE, WIDTH, in_percent, plain, style

GAP = 0.03  # around an image, as a share of its side
MANY_NAMES = 30  # classes above which bars have no names


class Histogram(NamedTuple):
    """How values spread.

    Attributes:
        edges: (bins + 1,).
        counts: name of each set of values to its rows in each bin, (bins,).
    """

    edges: NDArray[np.float64]
    counts: Mapping[str, NDArray[np.int64]]


def histogram_of(parts: Mapping[str, NDArray[np.floating]]) -> Histogram:
    """Counts the values of each set in the same bins.

    Args:
        parts: name of a set to its values, (n,).
    """
    everything = np.concatenate(list(parts.values()))
    edges = np.histogram_bin_edges(everything, int(np.clip(np.sqrt(len(everything)), 6, 24)))
    return Histogram(edges, {name: np.histogram(values, edges)[0] for name, values in parts.items()})


@style()
def histogram(found: Histogram, label: str) -> Figure:
    """How values spread, as shares of each set of them, side by side.

    Args:
        found: of one or two sets.
        label: what the values are.
    """
    figure = Figure(figsize=(WIDTH, HEIGHT))
    axes = figure.subplots()
    draw_histogram(axes, found)
    axes.set_xlabel(plain(label, 42))
    if len(found.counts) > 1:
        axes.legend()
    return figure


def draw_histogram(axes: Axes, found: Histogram) -> None:
    """Bars of the share of the rows in each bin."""
    width = np.diff(found.edges) * 0.92 / len(found.counts)
    for place, (name, count) in enumerate(found.counts.items()):
        left, share = found.edges[:-1] + place * width, count / max(1, count.sum())
        axes.bar(left, share, width, align="edge", color=(BLUE, ORANGE)[place], label=name)
    axes.set_ylabel("share of the rows")
    in_percent(axes.yaxis)


@style()
def class_balance(counts: Sequence[int], class_names: Sequence[str]) -> Figure:
    """Rows of each class of the training split.

    Args:
        counts: C of them.
        class_names: C names.
    """
    classes = np.arange(len(counts))
    if len(counts) > MANY_NAMES:
        figure = Figure(figsize=(WIDTH, 0.8 * HEIGHT))
        axes = figure.subplots()
        axes.stairs(counts, np.arange(len(counts) + 1) - 0.5, fill=True, color=BLUE)  # one shape, however many bars
        axes.set(xlabel="class, by its number", ylabel="training rows")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        return figure
    figure = Figure(figsize=(WIDTH, 0.8 + 0.25 * len(counts)))
    axes = figure.subplots()
    axes.barh(classes, counts, color=BLUE)
    axes.set_yticks(classes, [plain(name) for name in class_names])
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("training rows")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return figure


@style()
def image_rows(images: NDArray[np.float32], names: Sequence[str], title: str) -> Figure:
    """A row for each sample: the original, and what was drawn from it.

    Args:
        images: (samples, 1 + draws, C, H, W) from 0 on; what is largest in the originals is shown as white. Colours
            where C is 3, else the first channel in grey.
        names: one for each sample.
        title: what is shown.
    """
    samples, columns, channels, height, width = images.shape
    cell, letter, line = 1.15, 0.085, 0.2  # inches
    labels = [plain(name) for name in names]
    margin, head = letter * max(map(len, labels)), line * (title.count("\n") + 3)
    figure = Figure(figsize=(cell * columns + margin, cell * height / width * samples + head))
    axes = figure.subplots()
    shown = np.clip(images / max(images[:, 0].max(), 1), 0, 1).transpose(0, 1, 3, 4, 2)
    for row, column in np.ndindex(samples, columns):  # one pair of axes for all: a pair for each takes seconds
        image = shown[row, column] if channels == 3 else shown[row, column, :, :, 0]
        place = (column + GAP, column + 1 - GAP, row + 1 - GAP, row + GAP)
        axes.imshow(image, extent=place, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xlim=(0, columns), ylim=(samples, 0), aspect=height / width)
    axes.set_xticks([0.5, 1.5], ["original", "as drawn"])
    axes.set_yticks(np.arange(samples) + 0.5, labels)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure
