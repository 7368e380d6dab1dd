"""Pictures of what goes on inside a training: its layers, and the learning-rate range test."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wellfit.charts.curves import count_epochs, marker
from wellfit.charts.style import BLUE, GREY, ORANGE, RED, plain, spread_keys, spread_values, style

PANELS = {
    "grad_norm": ("Gradient norm: mean over the epoch's steps", "gradient norm"),
    "activation_std": ("Spread of the activations", "standard deviation"),
    "weight_norm": ("Norm of the weights", "weight norm"),
    "dead_share": ("Dead units: no row of the sample moves them", "share of the units"),
}
NAMED_LAYERS = 8  # in the legend; of a deeper network every so many-th


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
    handles, labels = axes.get_legend_handles_labels()  # all panels have the same
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


@style()
def lr_range(
    lr: Sequence[float] | np.ndarray, loss: np.ndarray, smoothed: np.ndarray, suggested: tuple[float, float]
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
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)
    return figure
