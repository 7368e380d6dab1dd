"""Curves of a comparison over its epochs: scores, what explains them, and learning rates.

Every curve is the mean over a variant's seeds, as far as they ran; bands reach from the lowest seed to the highest.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from wellfit.charts.seeds import has_value, later_values, mean_over_seeds, table_of
from wellfit.charts.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    LOG_SPAN,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    at_foot,
    legend_below,
    panel_grid,
    plain,
    spread_values,
    style,
)
from wellfit.charts.training import count_epochs, marker

if TYPE_CHECKING:  # compare draws with this module, not the other way round
    from wellfit.compare.measures import Measure
    from wellfit.compare.statistics import Result

# Black and grey are for what belongs to no variant.
COLORS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, "#882255", "#999933")
MARKERS = ("", "o", "s", "^")  # of the variants of the first eight colours, of the second, ...
FEW_VARIANTS = 3  # up to which training curves have bands, too
MANY_VARIANTS = 6  # from which bands would hide the curves
NAME_LENGTH = 34
FIRST_EPOCHS = 0.1  # of all: what networks come from, on their way to what is compared
BEHIND = "#CFCFCF"
ENDED: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 4}
FAILED: dict[str, Any] = {"linestyle": "", "marker": "X", "markersize": 6}

History = Sequence[Mapping[str, float]]


@style()
def curves(
    results: Sequence["Result"],
    measures: Sequence["Measure"],
    target: str,
    weights: Literal["best", "last"] = "best",
) -> Figure:
    """Metrics of both splits after each epoch: training dashed, validation solid.

    Where the first epochs would squeeze all later ones into a part of a linear axis, they lie outside it.

    Args:
        results: of the variants, with the histories of their trainings.
        measures: of validation rows, such as ``val/loss``; each has a panel.
        target: what is predicted, with its unit.
        weights: those the comparison scores, which is what titles tell of: of the best epoch, or of the last.
    """
    figure = Figure(figsize=(11, 4.9))
    for axes, measure in zip(figure.subplots(1, len(measures)), measures, strict=True):
        name = measure.score
        for look, result in _with_looks(results):
            dashed = look | {"linestyle": "--", "linewidth": 1.2, "marker": ""}
            _draw(axes, result, f"train/{name}", dashed, has_band=len(results) <= FEW_VARIANTS)
            _draw(axes, result, f"val/{name}", look, has_band=len(results) <= MANY_VARIANTS)
        # What is learned of an accuracy is at the end that a logarithm would squeeze.
        spread: list[float] | None = [] if measure.higher_is_better else None
        _scale(axes, results, [f"train/{name}", measure.key], spread, first_epochs=FIRST_EPOCHS)
        axes.set_title(_title_of_best(results, measure, weights))
        axes.set_ylabel("loss (mean over rows)" if name == "loss" else measure.in_unit(target))
    splits = [
        Line2D([], [], color=BLACK, linestyle="--", linewidth=1.2, label="training"),
        Line2D([], [], color=BLACK, label="validation"),
    ]
    _explain(figure, results, [measure.key for measure in measures], splits)
    return figure


@style()
def traces(results: Sequence["Result"]) -> Figure:
    """Learning rate, gradient norm and gap of the loss in each epoch; no panel for a rate that is always the same.

    Args:
        results: of the variants, with ``lr``, ``grad_norm`` and ``gap/loss`` in the histories of their trainings.
    """
    rates = [epoch["lr"] for result in results for outcome in result.outcomes for epoch in outcome.history]
    is_constant = len(rates) > 0 and np.allclose(rates, rates[0], rtol=1e-6, atol=0)
    names = {"lr": "learning rate", "grad_norm": "gradient norm", "gap/loss": "gap of the loss"}
    if is_constant:
        del names["lr"]
    figure = Figure(figsize=(9, 1.1 + 2.5 * len(names)))
    panels = dict(zip(names, figure.subplots(len(names), 1, sharex=True), strict=True))
    for name, axes in panels.items():
        for look, result in _with_looks(results):
            _draw(axes, result, name, look, has_band=len(results) <= MANY_VARIANTS)
        if name == "lr":  # one that ends at zero would make any logarithm; a thousandth of another does need it
            peaks = [float(np.nanmax(mean)) for each in results if np.isfinite(mean := _mean(each, "lr")).any()]
            _scale(axes, results, ["lr"], peaks, shows_failed=True)
            if axes.get_yscale() == "linear":
                axes.set_ylim(bottom=0)
            same = ", the same for all variants" if _are_all_the_same(results, "lr") else ""
            axes.set_title(f"Learning rate of each epoch's last step{same}")
        else:
            _scale(axes, results, [name], [] if name == "gap/loss" else None)
        axes.set(xlabel="epoch" if name == "gap/loss" else "", ylabel=names[name])
    panels["grad_norm"].set_title("Gradient norm: mean over the epoch's steps, before clipping")
    panels["gap/loss"].set_title(_title_of_gap(results))
    panels["gap/loss"].axhline(0, color=GREY, linewidth=1, linestyle=":")
    if is_constant:
        who = "of all variants" if len(results) > 1 else f"of {plain(results[0].variant, NAME_LENGTH)}"
        figure.suptitle(f"Learning rate {who}: {rates[0]:.3g} in every epoch", x=0.01, ha="left", fontsize=11)
    _explain(figure, results, list(names))
    return figure


@style()
def schedules(results: Sequence["Result"]) -> Figure:
    """The learning rate over the epochs, a panel for each variant, all seeds; the other variants behind it in grey.

    Args:
        results: of the variants, with ``lr`` in the histories of their trainings.
    """
    columns = min(4, len(results))
    rows = -(-len(results) // columns)
    figure = Figure(figsize=(max(5.0, 0.8 + 2.9 * columns), 1.2 + 2.2 * rows))
    peaks = [
        max((epoch["lr"] for each in result.outcomes for epoch in each.history), default=0.0) for result in results
    ]
    tops = [peak for peak in peaks if peak > 0] or [1.0]
    is_shared = max(tops) <= LOG_SPAN * min(tops)
    panels = panel_grid(figure, len(results), columns, sharex=True, sharey=is_shared)
    longest = _longest(results)
    for axes, result, peak in zip(panels, results, peaks, strict=True):
        for other in results:
            _draw(axes, other, "lr", {"color": BEHIND, "linestyle": "-", "linewidth": 1.2}, has_band=False)
        for outcome in result.outcomes:
            values = [epoch["lr"] for epoch in outcome.history]
            epochs = np.arange(1, len(values) + 1)
            axes.plot(epochs, values, color=BLUE, linestyle="-", linewidth=1.6, alpha=0.8, marker=marker(epochs))
        axes.set_title(plain(result.variant, 30), fontsize=10)
        axes.set_ylim(0, 1.05 * (max(tops) if is_shared else peak or max(tops)))
        count_epochs(axes, longest)
        axes.set_xlabel("")
    for axes in at_foot(panels, columns):
        axes.set_xlabel("epoch")
    for axes in panels[::columns]:
        axes.set_ylabel("learning rate")
    scale = f"{max(tops):.3g} at most" if is_shared else "each panel on a scale of its own"
    figure.suptitle(f"Learning rate of each epoch's last step, {scale}", x=0.01, ha="left", fontsize=11)
    own = Line2D([], [], color=BLUE, label="each seed of the variant")
    others = Line2D([], [], color=BEHIND, label="the other variants")
    legend_below(figure, [own, others])
    return figure


def _mean(result: "Result", metric: str) -> NDArray[np.float64]:
    return mean_over_seeds(result.histories, metric)


def _longest(results: Sequence["Result"]) -> int:
    """Epochs of the longest training, at least 1."""
    return max([1, *(len(outcome.history) for result in results for outcome in result.outcomes)])


def _with_looks(results: Sequence["Result"]) -> list[tuple[dict[str, Any], "Result"]]:
    """A colour for each variant, and a marker where colours come again."""
    return [
        ({"color": COLORS[i % len(COLORS)], "marker": MARKERS[i // len(COLORS) % len(MARKERS)], "linestyle": "-"}, each)
        for i, each in enumerate(results)
    ]


def _draw(axes: Axes, result: "Result", metric: str, look: Mapping[str, Any], *, has_band: bool) -> None:
    """The mean over the seeds, thinner from where the first of them has ended."""
    mean = _mean(result, metric)
    if not np.isfinite(mean).any():
        return
    epochs = np.arange(1, len(mean) + 1)
    shape: dict[str, Any] = {"linewidth": 1.8, "markersize": 5, "markevery": max(1, len(epochs) // 8), **look}
    shape["marker"] = shape.get("marker") or marker(epochs)
    all_run = max(1, min(map(len, result.histories)))
    axes.plot(epochs[:all_run], mean[:all_run], **shape)
    if all_run < len(epochs):
        axes.plot(epochs[all_run - 1 :], mean[all_run - 1 :], **shape | {"linewidth": 0.55 * shape["linewidth"]})
    if has_band:
        table = table_of(result.histories, metric)
        low, high = np.fmin.reduce(table, axis=0), np.fmax.reduce(table, axis=0)
        axes.fill_between(epochs, low, high, color=look["color"], alpha=0.15, linewidth=0)


def _scale(
    axes: Axes,
    results: Sequence["Result"],
    metrics: Sequence[str],
    spread: Sequence[float] | None = None,
    *,
    shows_failed: bool = False,
    first_epochs: float = 0.0,
) -> None:
    """An axis for what did not fail: numbers that blew up would flatten all others.

    Args:
        axes: with the curves.
        results: of the variants.
        metrics: that are drawn; where trainings ended is marked on the last.
        spread: values that decide whether the axis is logarithmic; None for all.
        shows_failed: whether it is for what failed, too: for settings, which do not blow up.
        first_epochs: share of the epochs that a linear axis leaves out where they would take half of it or more; the
            last epoch of a training is always on it.
    """
    well = [outcome.history for result in results for outcome in result.trained]
    every = [outcome.history for result in results for outcome in result.outcomes]
    shown = every if shows_failed or not well else well
    values = np.concatenate([table_of(shown, metric).ravel() for metric in metrics])
    values = values[np.isfinite(values)]
    spread_values(axes, values if spread is None else spread)
    if values.size:
        low, high = float(values.min()), float(values.max())
        if axes.get_yscale() == "log":
            low = low if spread is None else max(low, min(spread) / LOG_SPAN)
            axes.set_ylim(low / (high / low) ** 0.05, high * (high / low) ** 0.05)
        else:
            later = later_values(shown, metrics, first_epochs)
            if later.size and 2 * np.ptp(later) <= high - low:
                low, high = float(later.min()), float(later.max())
            margin = 0.05 * ((high - low) or abs(high) or 1.0)
            axes.set_ylim(low - margin, high + margin)
    count_epochs(axes, _longest(results))
    _mark_ends(axes, results, metrics[-1])


def _mark_ends(axes: Axes, results: Sequence["Result"], metric: str) -> None:
    """Dots on the means where seeds ended before the longest training did, crosses where they failed."""
    longest = _longest(results)
    for look, result in _with_looks(results):
        mean = _mean(result, metric)
        ends = sorted({len(outcome.history) for outcome in result.trained if 0 < len(outcome.history) < longest})
        axes.plot(ends, [mean[end - 1] for end in ends], color=look["color"], **ENDED)
        for outcome in result.failed:
            values = table_of([outcome.history], metric)[0]
            if np.isfinite(values).any():
                last = values[np.isfinite(values)][-1]
                axes.plot(len(values), np.clip(last, *axes.get_ylim()), color=look["color"], clip_on=False, **FAILED)


def _title_of_best(results: Sequence["Result"], measure: "Measure", weights: Literal["best", "last"]) -> str:
    """Which variant had the best mean on validation rows, and when."""
    sign = -1.0 if measure.higher_is_better else 1.0
    found = []
    for result in results:
        mean = sign * _mean(result, measure.key)
        if not result.trained or not np.isfinite(mean).any():
            continue
        if weights == "last":
            ends = sign * np.array([outcome.history[-1].get(measure.key, np.nan) for outcome in result.trained])
            found.append((float(ends.mean()), "after the last epoch", result.variant))
        else:
            epoch = int(np.nanargmin(mean))
            found.append((float(mean[epoch]), f"in epoch {epoch + 1}", result.variant))
    found = [each for each in found if np.isfinite(each[0])]
    label = measure.label[:1].upper() + measure.label[1:]
    if not found:
        return label
    value, when, variant = min(found)
    best = "highest" if measure.higher_is_better else "lowest"
    return f"{label}: {best} with {plain(variant, NAME_LENGTH)},\n{sign * value:.3g} on average {when}"


def _title_of_gap(results: Sequence["Result"]) -> str:
    title = "Gap of the loss (validation minus training)"
    ends = []
    for result in results:
        mean = _mean(result, "gap/loss")
        known = mean[np.isfinite(mean)]
        if result.trained and known.size:
            ends.append((float(known[-1]), plain(result.variant, 24)))
    if not ends:
        return title
    (low, least), (high, most) = min(ends), max(ends)
    return f"{title}: at the end {low:.3g} ({least})" + (f" to {high:.3g} ({most})" if most != least else "")


def _are_all_the_same(results: Sequence["Result"], metric: str) -> bool:
    means = [mean for result in results if (mean := _mean(result, metric)).size]
    shortest = min(map(len, means), default=0)
    return len(means) > 1 and all(np.allclose(mean[:shortest], means[0][:shortest], equal_nan=True) for mean in means)


def _explain(
    figure: Figure, results: Sequence["Result"], metrics: Sequence[str], splits: Sequence[Line2D] = ()
) -> None:
    """The legend below the panels: the variants, and what the lines of the splits, bands and marks are."""
    handles: list[Line2D | Patch] = []
    for look, result in _with_looks(results):
        name = plain(result.variant, NAME_LENGTH)
        if has_value(result.histories, metrics):
            handles.append(Line2D([], [], label=name, markersize=5, **look))
        else:
            handles.append(Line2D([], [], label=f"{name} (failed at once)", linestyle=""))
    handles += splits
    if len(results) <= MANY_VARIANTS:
        handles.append(Patch(color=BLACK, alpha=0.15, label="range of the seeds"))
    longest = _longest(results)
    if any(0 < len(outcome.history) < longest for result in results for outcome in result.trained):
        handles.append(Line2D([], [], color=BLACK, label="a seed ended before others", **ENDED))
    if has_value([outcome.history for result in results for outcome in result.failed], metrics):
        handles.append(Line2D([], [], color=BLACK, label="a seed failed", **FAILED))
    legend_below(figure, handles)
