"""Charts of a study: its history, and what each key that was searched has to do with the result."""

import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wellfit.charts.style import shortened
from wellfit.metrics.names import is_share
from wellfit.report.content import Chart, Series, Share, Table, cell, percent, score
from wellfit.report.svg import HEIGHT, LINE, WIDTH, Axis, Plot
from wellfit.tuning.report import Row

GOLDEN_RATIO = (1 + 5**0.5) / 2
RANKED_KEYS = 3  # the most important ones, whose pairs are drawn
SHOWN_NAMES = 12  # of an axis of parallel coordinates
COLUMN = 80.0  # width of one of them


class StudyCharts:
    """A study that charts are drawn of.

    Args:
        trials: in the order of their numbers, at least one.
        logarithmic: dotted keys that were searched on a logarithmic scale.
        monitor: name of the metric that trials are compared by.
        higher_is_better: whether it is to rise.

    Attributes:
        best: the best completed trial, the first of equals; None where none is complete.
        ranked: the completed trials, the best first.
    """

    def __init__(
        self, trials: Sequence[Row], logarithmic: frozenset[str], monitor: str, *, higher_is_better: bool
    ) -> None:
        self.trials, self._logarithmic, self.monitor = trials, logarithmic, monitor
        self._sign = -1.0 if higher_is_better else 1.0
        complete = [trial for trial in trials if trial.state == "complete" and trial.value is not None]
        self.ranked = sorted(complete, key=lambda trial: (self._sign * (trial.value or 0.0), trial.number))
        self.best = self.ranked[0] if self.ranked else None
        self.keys = list(trials[0].values)
        # From 1, the best, to a tenth, the worst: who stands out, where values crowd.
        steps = max(1, len(self.ranked) - 1)
        self._strength = {trial.number: 1 - 0.9 * rank / steps for rank, trial in enumerate(self.ranked)}

    def history(self) -> Chart:
        """The value of each trial, and the best so far."""
        numbers = [trial.number for trial in self.trials]
        plot = Plot(Axis("trial", -0.7, len(numbers) - 0.3, whole=True), self._value_axis())
        costs = [self._sign * self._value(trial) if trial.number in self._strength else np.inf for trial in self.trials]
        plot.line(numbers, (self._sign * np.minimum.accumulate(costs)).tolist(), "s1 thin", steps=True)
        self._mark(plot, numbers)
        counts = {
            state: sum(trial.state == state for trial in self.trials) for state in ("complete", "pruned", "failed")
        }
        says = ", ".join(f"{count} {state}" for state, count in counts.items() if count) + "."
        if self.best is not None:
            says += (
                f" The best {self.monitor}, {score(self.monitor, self.best.value)}, came with trial {self.best.number}"
            )
            first = self.trials[0]
            if first.value is not None and first is not self.best:
                says += f"; the values of params.yaml, trial {first.number}, have {score(self.monitor, first.value)}"
            says += ". The line is the best so far."
        return Chart("History", says, str(plot), self._legend())

    def slice(self, key: str) -> Chart:
        """The value of each trial against one key."""
        xs, axis = self._positions(key)
        plot = Plot(axis, self._value_axis(), height=HEIGHT * 0.85)
        self._mark(plot, xs)
        says = "Each trial by its value of this key."
        if self.best is not None:
            top = self.ranked[: max(1, len(self.ranked) // 10)]
            says = f"The best trial has {_label(self.best.values[key])}{_span(top, key)}."
        return Chart(key, says, str(plot), self._legend())

    def importance(self, shares: Mapping[str, float]) -> Chart:
        """How much of the differences between trials each key explains."""
        ranked = sorted(shares.items(), key=lambda item: -item[1])
        names = Axis.of_names("", [key for key, _ in ranked], backwards=True)
        axis = Axis("share of the variance explained by the key", 0, 1.05 * max(shares.values()), percent=True)
        plot = Plot(axis, names, height=LINE * (2.2 * len(ranked) + 4))
        tips = [f"{key}\n{percent(share)}" for key, share in ranked]
        plot.boxes([(0, i - 0.36, share, i + 0.36) for i, (_, share) in enumerate(ranked)], "s1 bar", tips)
        listed = ", ".join(f"{key} {percent(share)}" for key, share in ranked)
        says = (
            f"What part of the differences in {self.monitor} each key explains by itself, by fANOVA on the "
            f"{len(self.ranked)} completed trials: {listed}."
        )
        table = Table("Share of the variance by key", ["key", "share"], [(key, Share(share)) for key, share in ranked])
        return Chart("What mattered", says, str(plot), (), table)

    def parallel(self) -> Chart:
        """A line for each completed trial through its values and its result; the better, the stronger."""
        columns = [self._positions(key, apart=False) for key in self.keys]
        result = Axis.over(self.monitor, [self._value(trial) for trial in self.ranked], percent=is_share(self.monitor))
        columns.append(([self._value(trial) for trial in self.trials], result))
        names = [shortened(key.partition(".")[2] or key, 14) for key in self.keys] + [shortened(self.monitor, 14)]
        width = max(WIDTH, COLUMN * len(columns))
        across = Axis("", -0.35, len(columns) - 0.45, names=tuple(names))
        plot = Plot(across, Axis("", -0.04, 1.04, names=("",)), width)
        places = np.array([[axis.place(value) for value in values] for values, axis in columns])
        order = sorted(range(len(self.trials)), key=lambda i: self._strength.get(self.trials[i].number, 0.0))
        for i in order:
            trial = self.trials[i]
            if trial.number not in self._strength or np.isnan(places[:, i]).any():
                continue
            style = "s3 thick" if trial is self.best else "s1"
            plot.line(
                range(len(columns)),
                places[:, i].tolist(),
                style,
                tip=self._tip(trial),
                strength=self._strength[trial.number],
            )
        for x, (_, axis) in enumerate(columns):
            plot.segment((x, 0), (x, 1), "axis")
            for value, text in axis.ticks(SHOWN_NAMES if axis.names else 5):
                if 0 <= axis.place(value) <= 1:
                    plot.write(x, axis.place(value), text, "start", apart=4)
        says = (
            f"Each line is a completed trial, from its values to its {self.monitor}; the better a trial, the stronger "
            "its line, and the best one is thick. Trials that were pruned or failed are left out."
        )
        legend = [Series("s3", "best trial"), Series("s1", "other completed trials")]
        least = 0 if width == WIDTH else int(0.85 * width)
        return Chart("Parallel coordinates", says, str(plot), legend, None, least)

    def ranks(self, importance: Mapping[str, float]) -> list[Chart]:
        """The trials over each pair of the most important keys, the better the stronger."""
        shown = sorted(self.keys, key=lambda key: -importance.get(key, 0.0))[:RANKED_KEYS]
        return [self._rank(right, up) for right, up in combinations(shown, 2)]

    def _rank(self, right: str, up: str) -> Chart:
        (xs, x), (ys, y) = self._positions(right), self._positions(up)
        plot = Plot(x, y, height=HEIGHT * 0.95)
        self._others(plot, xs, ys)
        complete = [i for i, trial in enumerate(self.trials) if trial.number in self._strength]
        complete.sort(key=lambda i: self._strength[self.trials[i].number])
        plot.points(
            [xs[i] for i in complete],
            [ys[i] for i in complete],
            "s1",
            [self._tip(self.trials[i]) for i in complete],
            radius=4,
            strengths=[self._strength[self.trials[i].number] for i in complete],
        )
        self._ring(plot, xs, ys)
        says = f"Where in {right} and {up} the good trials are: the better a completed trial, the stronger its point."
        return Chart(f"{right} and {up}", says, str(plot), self._legend())

    def _mark(self, plot: Plot, xs: Sequence[float]) -> None:
        """A mark for each trial, by its value."""
        ys = [self._value(trial) for trial in self.trials]
        self._others(plot, xs, ys)
        complete = [i for i, trial in enumerate(self.trials) if trial.state == "complete"]
        tips = [self._tip(self.trials[i]) for i in complete]
        plot.points([xs[i] for i in complete], [ys[i] for i in complete], "s1", tips)
        self._ring(plot, xs, ys)

    def _others(self, plot: Plot, xs: Sequence[float], ys: Sequence[float]) -> None:
        pruned = [i for i, trial in enumerate(self.trials) if trial.state != "complete"]
        tips = [self._tip(self.trials[i]) for i in pruned]
        plot.points([xs[i] for i in pruned], [ys[i] for i in pruned], "s2", tips, crosses=True)

    def _ring(self, plot: Plot, xs: Sequence[float], ys: Sequence[float]) -> None:
        if self.best is not None:
            at = self.trials.index(self.best)
            plot.points([xs[at]], [ys[at]], "s3 ring", [self._tip(self.best)], radius=6)

    def _legend(self) -> list[Series]:
        legend = [Series("s1", "completed trial", "dot")]
        if len(self.ranked) < len(self.trials):
            legend.append(Series("s2", "pruned or failed trial", "cross"))
        return [*legend, Series("s3", "best trial", "ring")] if self.best is not None else legend

    def _tip(self, trial: Row) -> str:
        lines = [f"trial {trial.number}, {trial.state}", f"{self.monitor} {score(self.monitor, trial.value)}"]
        return "\n".join(lines + [f"{key} {cell(value)}" for key, value in trial.values.items()])

    def _value(self, trial: Row) -> float:
        return np.nan if trial.value is None else trial.value

    def _value_axis(self) -> Axis:
        values = [self._value(trial) for trial in self.trials]
        return Axis.over(self.monitor, values, percent=is_share(self.monitor))

    def _positions(self, key: str, *, apart: bool = True) -> tuple[Sequence[float], Axis]:
        """Where each trial stands on the axis of a key, and the axis; choices side by side, if they are to be apart."""
        values = [trial.values[key] for trial in self.trials]
        if all(map(_is_number, values)):
            return values, Axis.over(
                key, values, log=key in self._logarithmic, whole=all(isinstance(v, int) for v in values)
            )
        labels = list(dict.fromkeys(map(_label, values)))
        positions: NDArray[np.float64] = np.array([labels.index(_label(value)) for value in values], float)
        if apart:  # multiples of an irrational number fill an interval evenly, however many there are
            positions = positions + 0.5 * ((np.arange(len(values)) * GOLDEN_RATIO) % 1.0 - 0.5)
        return positions.tolist(), Axis.of_names(key, labels)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _label(value: Any) -> str:
    return cell(value) if _is_number(value) else value if isinstance(value, str) else json.dumps(value)


def _span(trials: Sequence[Row], key: str) -> str:
    """What the best trials have in common in a key, to be said after the value of the best; nothing of one alone."""
    if len(trials) == 1:
        return ""
    values = [trial.values[key] for trial in trials]
    labels, whose = list(dict.fromkeys(map(_label, values))), f"; the best {len(trials)} completed trials"
    if len(labels) == 1:
        return f"{whose} all have it"
    if all(map(_is_number, values)):
        return f"{whose} have values from {cell(min(values))} to {cell(max(values))}"
    return f"{whose} have {', '.join(labels[:-1])} and {labels[-1]}"
