"""Charts of a training: its curves, its layers, and the learning-rate range test."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from wellfit.charts.style import (
    BLUE,
    GREY,
    ORANGE,
    RED,
    in_percent,
    legend_below,
    panels,
    plain,
    spread_keys,
    spread_values,
    style,
)
from wellfit.metrics.names import is_share, score_name

RATES = {"lr": "learning rate", "grad_norm": "gradient norm"}
PANELS = {
    "grad_norm": ("Gradient norm: mean over the epoch's steps", "gradient norm"),
    "activation_std": ("Spread of the activations", "standard deviation"),
    "weight_norm": ("Norm of the weights", "weight norm"),
    "dead_share": ("Dead units: zero for every row of the sample", "share of the units"),
}
NAMED_LAYERS = 8  # in the legend; of a deeper network every so many-th


@style()
def learning_curves(history: Mapping[str, Sequence[float]], best_epoch: int, names: Sequence[str]) -> Figure:
    """Metrics of the training and validation split after each epoch, with the epoch whose weights were kept.

    Args:
        history: ``train/<name>`` and ``val/<name>``, one value for each epoch.
        best_epoch: counted from 1.
        names: of metrics without their split, such as ``loss``; each has a panel.
    """
    figure, axes_of_all = panels(len(names))
    for axes, name in zip(axes_of_all, names, strict=True):
        training, validation = history[f"train/{name}"], history[f"val/{name}"]
        epochs = np.arange(1, len(validation) + 1)
        best = validation[best_epoch - 1]
        axes.axvline(best_epoch, color=GREY, linewidth=1, linestyle=":")
        axes.plot(epochs, training, "--", color=ORANGE, marker=marker(epochs), label="training, during the epoch")
        axes.plot(epochs, validation, color=BLUE, marker=marker(epochs), label="validation, after it")
        axes.plot(best_epoch, best, "o", color=BLUE, label=f"weights kept: epoch {best_epoch}")
        value = f"{best:.1%}" if is_share(name) else f"{best:.4g}"
        axes.set_title(f"Validation {score_name(name)} {value} with the weights kept")
        axes.set_ylabel("loss (mean over rows)" if name == "loss" else score_name(name))
        if is_share(name):
            in_percent(axes.yaxis)
        else:
            spread_values(axes, [*training, *validation])
        count_epochs(axes, len(validation))
    legend_below(figure, axes.get_legend_handles_labels()[0])  # all panels have the same
    return figure


@style()
def learning_rate(history: Mapping[str, Sequence[float]], columns: Sequence[str] = tuple(RATES)) -> Figure:
    """Learning rate and gradient norm of each epoch.

    Args:
        history: ``lr`` (of an epoch's last step) and ``grad_norm`` (mean over its steps, before clipping).
        columns: those of the history to draw; each has a panel.
    """
    figure, axes_of_all = panels(len(columns), height=2.6)
    for axes, column in zip(axes_of_all, columns, strict=True):
        values = history[column]
        epochs = np.arange(1, len(values) + 1)
        axes.plot(epochs, values, color=BLUE, marker=marker(epochs))
        axes.set_ylabel(RATES[column])
        if column == "lr":
            axes.set_title(f"Learning rate: at most {max(values):.3g}, at the end {values[-1]:.3g}")
            axes.set_ylim(bottom=0)
        else:
            axes.set_title("Gradient norm: mean over the epoch, before clipping")
            spread_values(axes, values)
        count_epochs(axes, len(values))
    return figure


@style()
def layer_statistics(layers: Sequence[Mapping[str, Mapping[str, float]]]) -> Figure:
    """Gradients, activations, weights and dead units of each layer, epoch by epoch.

    Args:
        layers: for each epoch, layer -> statistic -> value (`wellfit.training.layers`); NaN is left out.
    """
    figure = Figure(figsize=(10, 7.2))
    names = list(layers[0])
    named = {round(i) for i in np.linspace(0, len(names) - 1, NAMED_LAYERS)}
    # From the first layer to the last as from dark to light: neighbours look alike, as they are.
    colors = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(names)))
    epochs = np.arange(1, len(layers) + 1)
    panels = figure.subplots(2, 2).flat
    for axes, (statistic, (title, unit)) in zip(panels, PANELS.items(), strict=True):
        for number, (name, color) in enumerate(zip(names, colors, strict=True)):
            values = [epoch[name][statistic] for epoch in layers]
            label = plain(name, 30) if number in named else None
            axes.plot(epochs, values, color=color, linestyle="-", marker=marker(epochs), label=label)
        axes.set_title(title)
        axes.set_ylabel(unit)
        if statistic == "dead_share":
            axes.set_ylim(-0.03, 1.03)
        else:
            spread_values(axes, [epoch[name][statistic] for epoch in layers for name in names])
        count_epochs(axes, len(layers))
    legend_below(figure, axes.get_legend_handles_labels()[0])  # all panels have the same
    return figure


@style()
def lr_range(
    lr: NDArray[np.float64], loss: NDArray[np.float64], smoothed: NDArray[np.float64], suggested: tuple[float, float]
) -> Figure:
    """The loss against the learning rate, with the rates that are worth trying.

    Args:
        lr: of each step, rising.
        loss: of each step's batch.
        smoothed: the same, smoothed.
        suggested: where it falls most steeply, and a tenth of where it is lowest.
    """
    figure = Figure(figsize=(8, 4.6))
    axes: Axes = figure.subplots()
    steepest, tenth = suggested
    lowest = int(np.argmin(smoothed))
    axes.axvspan(min(suggested), max(suggested), color=BLUE, alpha=0.12, label="worth trying")
    axes.plot(lr, loss, color=GREY, linewidth=0.8, label="of each batch")
    axes.plot(lr, smoothed, color=BLUE, label="smoothed")
    axes.plot(steepest, np.interp(steepest, lr, smoothed), "o", color=RED, label=f"steepest fall: {steepest:.2g}")
    axes.plot(lr[lowest], smoothed[lowest], "o", color=ORANGE, label=f"lowest: {lr[lowest]:.2g}, a tenth: {tenth:.2g}")
    axes.set_title(f"Try optim.lr between {min(suggested):.2g} and {max(suggested):.2g}")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("training loss")
    spread_keys(axes, lr)
    spread_values(axes, smoothed)
    if axes.get_yscale() == "linear":  # single batches of the explosion would flatten all that came before
        axes.set_ylim(0, 1.1 * float(np.max(smoothed)))
    legend_below(figure, axes.get_legend_handles_labels()[0])
    return figure


def marker(epochs: NDArray[np.int64]) -> str | None:
    """Of a curve over epochs."""
    return "." if len(epochs) == 1 else None  # one epoch is no line


def count_epochs(axes: Axes, epochs: int) -> None:
    """Labels the x axis with whole epochs, from the first to the last."""
    axes.set_xlim(0.5, epochs + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    axes.set_xlabel("epoch")
