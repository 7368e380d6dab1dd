"""Scores models/best.safetensors on the test split, which no other stage opens."""

from pathlib import Path

from wellfit.commands.cli import of_params
from wellfit.settings.params import Params


def _evaluate(params: Params) -> None:
    from wellfit.stages.evaluate import evaluate

    evaluate(params, Path("data/processed", params.data.name), models=Path("models"), reports=Path("reports"))


COMMAND = of_params(_evaluate)
