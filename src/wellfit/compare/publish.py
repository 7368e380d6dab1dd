"""What is published of a comparison in MLflow: a run, and a run below it for each variant and seed.

It runs as a process of its own, beside the training.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wellfit import tracking
from wellfit.compare.comparison import Comparison
from wellfit.compare.outcome import Outcome, read_outcome
from wellfit.data.meta import Meta
from wellfit.settings.params import flatten
from wellfit.tracking.publication import Publication, run
from wellfit.training.record import CHECKPOINT, HISTORY

LONGEST = 4500  # characters of a page in a description, of which MLflow takes 5000 in all


class ComparisonPublication(Publication):
    """The trainings of a comparison.

    Args:
        opening: with ``comparison``, its ``file`` as it is called, ``variants``, by the folder of each training, and
            ``monitor``, which is ``train.monitor``.
    """

    def __init__(self, opening: Mapping[str, Any]) -> None:
        super().__init__(opening)
        self._comparison = Comparison.model_validate(opening["comparison"])
        self._file, self._monitor, self._variants = (opening[key] for key in ("file", "monitor", "variants"))

    def ended_run(self, folder: Path) -> tracking.EndedRun:
        """What MLflow is told of a training.

        Raises:
            WellfitError: its folder is damaged.
        """
        outcome, weights = read_outcome(folder, self._variants[str(folder)]), self._comparison.weights
        tags = {
            "wellfit.comparison": self._file,
            "wellfit.variant": outcome.variant,
            "wellfit.seed": str(outcome.seed),
            "mlflow.note.content": _describe_training(outcome, self._comparison),
        }
        if outcome.failure:
            tags["wellfit.failure"] = outcome.failure
        files = [(folder / HISTORY, "")]
        if not outcome.failure:
            files.append((folder / CHECKPOINT, "checkpoint"))
        # Beside the curves of the same name, which end with the last epoch. The first is what MLflow's views open with.
        names = sorted(outcome.scores, key=lambda name: name not in self._comparison.measure[:1])
        scores = {name if name.startswith("test/") else f"{weights}/{name}": outcome.scores[name] for name in names}
        return tracking.EndedRun(
            stage="comparison",
            name=f"{outcome.variant}, seed {outcome.seed}",
            status="FAILED" if outcome.failure else "FINISHED",
            started=outcome.started,
            ended=outcome.ended,
            tags=tags,
            params=flatten(outcome.config),
            metrics=scores | {"best_epoch": outcome.best_epoch, "training_seconds": outcome.seconds},
            history=self._told(outcome.history),
            best_epoch=outcome.best_epoch,
            files=files,
        )

    def _told(self, history: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
        """Of each epoch the measures, the loss and what explains them: the fewer curves, the more of their points.

        All metrics are in ``history.jsonl``.
        """
        usual = "accuracy" if history and "val/accuracy" in history[0] else "rmse"
        asked = {"loss", usual, *(name.split("/")[-1] for name in [*self._comparison.measure, self._monitor])}
        return [
            {name: value for name, value in epoch.items() if "/" not in name or name.split("/")[-1] in asked}
            for epoch in history
        ]


def _describe_training(outcome: Outcome, comparison: Comparison) -> str:
    changes = comparison.variants[outcome.variant]
    lines = [
        f"{comparison.title}: variant **{outcome.variant}** with seed {outcome.seed}, one of {comparison.seeds}.",
        "",
    ]
    if outcome.failure:
        lines += [f"It failed after {len(outcome.history)} epochs: {outcome.failure}.", ""]
    if changes:
        lines += ["| key | value |", "|---|---|", *(f"| `{k}` | {json.dumps(v)} |" for k, v in changes.items()), ""]
    found = {name: outcome.scores[name] for name in comparison.measure if name in outcome.scores}
    if found:
        which = "best validation" if comparison.weights == "best" else "last"
        lines += [f"| score (weights of the {which} epoch) | |", "|---|---|"]
        lines += [f"| `{name}` | {value:.4g} |" for name, value in found.items()]
    return "\n".join(lines)


def describe_comparison(comparison: Comparison, meta: Meta, summary: str = "") -> str:
    """The description of the comparison's own run.

    Args:
        comparison: what its file says.
        meta: the data.
        summary: what the report's page says above its pictures; empty as long as there is no report.
    """
    told = summary or f"# {comparison.title}\n\n{comparison.question}\n\nKnown: {comparison.expectation}"
    below = (
        f"{len(comparison.variants)} variants on `{meta.name}`, {comparison.seeds} seeds each, are nested below, with "
        "their curves and checkpoints. `compare/` among the artifacts is the report, with its pictures."
    )
    return f"{told[:LONGEST]}\n\n{below}"


if __name__ == "__main__":
    run(ComparisonPublication)
