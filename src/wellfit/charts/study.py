"""A study as its charts see it: its trials in numbers, and which of them are drawn."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from wellfit.charts.style import plain, spread_keys

MOST = 300  # trials that are drawn: of thousands, the points hide one another and the page takes seconds to load
WORST = 0.1  # opacity of the worst completed trial; that of the best is 1


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
            axes.tick_params(which, labelsize=9)
            return
        positions = self.positions()
        if self.scale == "log" and np.isfinite(positions).any():
            spread_keys(axes, positions[np.isfinite(positions)], which)


def _label(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@dataclass(frozen=True)
class Study:
    """The trials of a study, in the order of their numbers.

    Attributes:
        monitor: name of the metric that trials are compared by.
        higher_is_better: whether it is to rise.
        values: the metric of each trial, None for none.
        states: ``complete``, ``pruned`` or ``failed``.
        keys: those that were searched, at least one.
    """

    monitor: str
    higher_is_better: bool
    values: Sequence[float | None]
    states: Sequence[str]
    keys: Sequence[Searched]

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """The values, (n,); NaN for none."""
        return np.array([np.nan if value is None else value for value in self.values], float)

    @cached_property
    def is_complete(self) -> NDArray[np.bool_]:
        """Which trials completed, (n,)."""
        return np.array([state == "complete" for state in self.states], bool)

    @cached_property
    def best_so_far(self) -> NDArray[np.float64]:
        """The best value of the completed trials up to each, (n,); NaN before the first."""
        so_far: NDArray[np.float64] = (np.fmax if self.higher_is_better else np.fmin).accumulate(
            np.where(self.is_complete, self.scores, np.nan)
        )
        return so_far

    @cached_property
    def winner(self) -> int | None:
        """The number of the best completed trial, the first of equals; None where there is none."""
        won = np.flatnonzero(self.is_complete & (self.scores == self.best_so_far[-1]))
        return int(won[0]) if len(won) else None

    @cached_property
    def strength(self) -> NDArray[np.float64]:
        """Opacity of each trial by its rank among the completed ones, (n,); NaN for the others."""
        cost = np.where(self.is_complete, -self.scores if self.higher_is_better else self.scores, np.nan)
        better = np.searchsorted(np.sort(cost[np.isfinite(cost)]), cost)
        return np.where(np.isfinite(cost), 1 - (1 - WORST) * better / max(1, np.isfinite(cost).sum() - 1), np.nan)

    @cached_property
    def shown(self) -> NDArray[np.int64]:
        """The numbers of the trials that are drawn, rising: of many the first, the last, those that were the best so
        far, the best third of what is drawn, and others spread evenly."""
        n = len(self.values)
        if n <= MOST:
            return np.arange(n)
        so_far = self.best_so_far
        new_best = np.flatnonzero(np.diff(so_far, prepend=np.nan) != 0)
        new_best = new_best[np.isfinite(so_far[new_best])][-MOST // 3 :]
        leading = np.argsort(-np.nan_to_num(self.strength), kind="stable")[: MOST // 3]
        kept = np.unique(np.concatenate([[0, n - 1], new_best, leading]))
        rest = np.setdiff1d(np.arange(n), kept)
        spread = np.linspace(0, len(rest) - 1, MOST - len(kept)).round().astype(int)
        return np.union1d(kept, rest[spread])

    def summary(self) -> str:
        """The best value, and how many trials there were."""
        pruned, complete = self.states.count("pruned"), int(self.is_complete.sum())
        counts = f"{complete} completed, {pruned} pruned, {len(self.states) - complete - pruned} failed"
        drawn = f"\n{len(self.shown)} of them are drawn" if len(self.shown) < len(self.states) else ""
        if self.winner is None:
            return f"No trial has a result yet ({counts}){drawn}"
        return f"Best {self.monitor}: {self.scores[self.winner]:.4g} ({counts}){drawn}"
