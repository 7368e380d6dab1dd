"""Pictures of a training and of a study."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from wellfit.evaluation.style import BLUE, GREY, ORANGE, RED, spread_keys, spread_values, style
from wellfit.evaluation.style import save as save  # so that who draws needs one module


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


@style()
def no_tuning() -> Figure:
    """Says that there is nothing to show."""
    figure = Figure(figsize=(8, 1.2))
    figure.text(0.5, 0.5, "tuning is off: params.yaml is used as it is", ha="center", va="center")
    return figure


@style()
def tuning_history(
    values: Sequence[float | None], states: Sequence[str], monitor: str, higher_is_better: bool
) -> Figure:
    """The best value of the monitored metric in each trial, and the best of the completed trials so far.

    Args:
        values: one for each trial, None for none.
        states: Optuna's names of them in small letters: ``complete``, ``pruned``, ``fail``.
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
    searched: Mapping[str, Sequence[float]],
    values: Sequence[float | None],
    states: Sequence[str],
    monitor: str,
    higher_is_better: bool,
    log_keys: Collection[str],
) -> Figure:
    """The best value of the monitored metric in each trial against each key that was searched.

    Args:
        searched: dotted key to its value in each trial, at least one key.
        values: the metric, one for each trial, None for none.
        states: Optuna's names of them in small letters: ``complete``, ``pruned``, ``fail``.
        monitor: name of the metric.
        higher_is_better: whether it is to rise.
        log_keys: keys on a logarithmic scale.
    """
    trials = _Trials(values, states, higher_is_better)
    figure = Figure(figsize=(max(6.5, 1.3 + 2.9 * len(searched)), 4.2))
    panels = figure.subplots(1, len(searched), sharey=True, squeeze=False)[0]
    for axes, (key, column) in zip(panels, searched.items(), strict=True):
        trials.draw(axes, np.array(column, float))
        axes.set_xlabel(key)
        if key in log_keys:
            spread_keys(axes, column)
    panels[0].set_ylabel(f"best {monitor} of a trial")
    spread_values(panels[0], trials.values)
    figure.suptitle(trials.summary(monitor), x=0.01, ha="left", fontsize=11)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


class _Trials:
    """The values of a study, NaN where a trial has none, and which of its trials won."""

    def __init__(self, values: Sequence[float | None], states: Sequence[str], higher_is_better: bool) -> None:
        self.values: NDArray[np.float64] = np.array(values, float)
        self._state = np.array(states)
        complete = np.where(self._state == "complete", self.values, np.nan)
        self.best_so_far = (np.fmax if higher_is_better else np.fmin).accumulate(complete)
        won = np.flatnonzero(complete == self.best_so_far[-1])
        self._winner = int(won[0]) if len(won) else None

    def summary(self, monitor: str) -> str:
        """The title: the best value, and how many trials it took."""
        pruned, complete = np.sum(self._state == "pruned"), np.sum(self._state == "complete")
        counts = f"{complete} completed, {pruned} pruned, {len(self._state) - complete - pruned} failed"
        if self._winner is None:
            return f"No trial has a result yet ({counts})"
        return f"Best {monitor}: {self.values[self._winner]:.4g} ({counts})"

    def draw(self, axes: Axes, x: NDArray[np.float64] | NDArray[np.int64]) -> None:
        """A point for each trial."""
        for state, marker, color in (("complete", "o", BLUE), ("pruned", "x", ORANGE)):
            of_state = self._state == state
            label = {"complete": "completed trial", "pruned": "pruned trial, its best until then"}[state]
            axes.plot(
                x[of_state], self.values[of_state], marker, color=color, markersize=5, markeredgewidth=1.4, label=label
            )
        if self._winner is not None:
            winner = x[self._winner], self.values[self._winner]
            axes.plot(*winner, "o", color=RED, label="best trial", markersize=11, fillstyle="none", markeredgewidth=1.8)


def marker(epochs: np.ndarray) -> str | None:
    """Of a curve over epochs."""
    return "." if len(epochs) == 1 else None  # one epoch is no line


def count_epochs(axes: Axes, epochs: int) -> None:
    """Labels the x axis with whole epochs, from the first to the last."""
    axes.set_xlim(0.5, epochs + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    axes.set_xlabel("epoch")
