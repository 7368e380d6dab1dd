"""Pictures of a training."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from wellfit.charts.style import BLUE, GREY, ORANGE, spread_values, style
from wellfit.charts.style import save as save  # so that who draws needs one module


@style()
def learning_curves(history: Mapping[str, Sequence[float]], best_epoch: int, score: str) -> Figure:
    """Loss and score of the training and validation split after each epoch, with the epoch whose weights were kept.

    Args:
        history: ``train/loss``, ``val/loss``, ``train/<score>`` and ``val/<score>``, one value for each epoch.
        best_epoch: counted from 1.
        score: name of a metric without its split, such as ``accuracy``.
    """
    figure = Figure(figsize=(10, 4.4))
    for axes, name in zip(figure.subplots(1, 2), ("loss", score), strict=True):
        training, validation = history[f"train/{name}"], history[f"val/{name}"]
        epochs = np.arange(1, len(validation) + 1)
        best = validation[best_epoch - 1]
        axes.axvline(best_epoch, color=GREY, linewidth=1, linestyle=":")
        axes.plot(epochs, training, color=ORANGE, marker=marker(epochs), label="training, during the epoch")
        axes.plot(epochs, validation, color=BLUE, marker=marker(epochs), label="validation, after it")
        axes.plot(best_epoch, best, "o", color=BLUE, label=f"weights kept: epoch {best_epoch}")
        axes.set_title(f"Validation {name} {best:.4g} with the weights kept")
        axes.set_ylabel("loss (mean over rows)" if name == "loss" else name)
        spread_values(axes, [*training, *validation])
        count_epochs(axes, len(validation))
    handles, labels = axes.get_legend_handles_labels()  # both panels have the same
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


@style()
def learning_rate(history: Mapping[str, Sequence[float]]) -> Figure:
    """Learning rate and gradient norm of each epoch.

    Args:
        history: ``lr`` (of an epoch's last step) and ``grad_norm`` (mean over its steps, before clipping).
    """
    figure = Figure(figsize=(8, 5.2))
    upper, lower = figure.subplots(2, 1, sharex=True)
    lr, norm = history["lr"], history["grad_norm"]
    epochs = np.arange(1, len(lr) + 1)
    upper.plot(epochs, lr, color=BLUE, marker=marker(epochs))
    upper.set_title(f"Learning rate: {max(lr):.3g} at most, {lr[-1]:.3g} in the last epoch")
    upper.set_ylabel("learning rate")
    upper.set_ylim(bottom=0)
    lower.plot(epochs, norm, color=BLUE, marker=marker(epochs))
    lower.set_title("Gradient norm: mean over the epoch's steps, before clipping")
    lower.set_ylabel("gradient norm")
    spread_values(lower, norm)
    count_epochs(lower, len(lr))
    return figure


def marker(epochs: np.ndarray) -> str | None:
    """Of a curve over epochs."""
    return "." if len(epochs) == 1 else None  # one epoch is no line


def count_epochs(axes: Axes, epochs: int) -> None:
    """Labels the x axis with whole epochs, from the first to the last."""
    axes.set_xlim(0.5, epochs + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    axes.set_xlabel("epoch")
