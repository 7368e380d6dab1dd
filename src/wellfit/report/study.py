"""Charts of a study, with what is to be seen in them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from wellfit.charts import tuning as charts
from wellfit.metrics.names import is_higher_better
from wellfit.report.content import Chart, Share, Table, cell, is_number, percent, score
from wellfit.settings.params import Params
from wellfit.tuning.report import Row, pairs_of, study_of

RANKED_KEYS = 3  # the most important ones, whose pairs are drawn


class StudyCharts:
    """A study that charts are drawn of.

    Args:
        trials: in the order of their numbers, at least one.
        params: the configuration, with the space that was searched.

    Attributes:
        monitor: name of the metric that trials are compared by.
        best: the best completed trial, the first of equals; None where none is complete.
        ranked: the completed trials, the best first.
    """

    def __init__(self, trials: Sequence[Row], params: Params) -> None:
        self.trials, self.monitor = trials, params.train.monitor
        higher = is_higher_better(self.monitor)
        self._study = study_of(trials, params, higher_is_better=higher)
        sign = -1.0 if higher else 1.0
        complete = [trial for trial in trials if trial.state == "complete" and trial.value is not None]
        self.ranked = sorted(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number))
        self.best = self.ranked[0] if self.ranked else None
        self.keys = list(trials[0].values)

    def history(self) -> Chart:
        """The value of each trial, and the best so far."""
        states = [trial.state for trial in self.trials]
        counts = {state: states.count(state) for state in ("complete", "pruned", "failed")}
        says = ", ".join(f"{count} {state}" for state, count in counts.items() if count) + "."
        if self.best is not None:
            says += (
                f" The best {self.monitor}, {score(self.monitor, self.best.value)}, came with trial {self.best.number}"
            )
            first = self.trials[0]
            if first.value is not None and first is not self.best:
                says += f"; the values of params.yaml, trial {first.number}, have {score(self.monitor, first.value)}"
            says += ". The line is the best so far."
        return Chart("History", says, charts.history(self._study))

    def slices(self) -> list[Chart]:
        """The value of each trial against each key."""
        return [
            Chart(key.key, self._best_values(key.key), charts.slices(self._study, [key])) for key in self._study.keys
        ]

    def importance(self, shares: Mapping[str, float]) -> Chart:
        """How much of the differences between trials each key explains."""
        ranked = sorted(shares.items(), key=lambda item: -item[1])
        listed = ", ".join(f"{key} {percent(share)}" for key, share in ranked)
        says = (
            f"What part of the differences in {self.monitor} each key explains by itself, by fANOVA on the "
            f"{len(self.ranked)} completed trials: {listed}."
        )
        table = Table("Share of the variance by key", ["key", "share"], [(key, Share(share)) for key, share in ranked])
        return Chart("What mattered", says, charts.importance(shares, self.monitor, len(self.ranked)), table)

    def parallel(self) -> Chart:
        """A line for each trial through its values and its result."""
        says = (
            f"Each line is a trial, from its values to its {self.monitor}; the better a completed trial, the stronger "
            "its line, and the best one is thick."
        )
        return Chart("Parallel coordinates", says, charts.parallel(self._study))

    def ranks(self, importance: Mapping[str, float]) -> list[Chart]:
        """The trials over each pair of the most important keys."""
        return [
            Chart(
                f"{right.key} and {up.key}",
                f"Where in {right.key} and {up.key} the good trials are: the better a completed trial, the stronger "
                "its point.",
                charts.ranks(self._study, [(right, up)]),
            )
            for right, up in pairs_of(self._study, importance, RANKED_KEYS)
        ]

    def _best_values(self, key: str) -> str:
        """Which value of a key the best trial has, and what the best tenth of the completed trials have in common."""
        if self.best is None:
            return "Each trial by its value of this key."
        best = f"The best trial has {_label(self.best.values[key])}"
        top = self.ranked[: max(1, len(self.ranked) // 10)]
        if len(top) == 1:
            return f"{best}."
        values = [trial.values[key] for trial in top]
        labels, whose = list(dict.fromkeys(map(_label, values))), f"{best}; the best {len(top)} completed trials"
        if len(labels) == 1:
            return f"{whose} all have it."
        if all(map(is_number, values)):
            return f"{whose} have values from {cell(min(values))} to {cell(max(values))}."
        return f"{whose} have {', '.join(labels[:-1])} and {labels[-1]}."


def _label(value: Any) -> str:
    return cell(value) if is_number(value) else value if isinstance(value, str) else json.dumps(value)
