"""Trains one model, with the values that tuning chose, and keeps its best validation checkpoint in models/."""

from pathlib import Path

from wellfit.commands.cli import of_params
from wellfit.settings.params import Params


def _train(params: Params) -> None:
    from wellfit.stages.train import train

    train(
        params,
        data_folder=Path("data/processed", params.data.name),
        tune_report=Path("reports/tune"),
        models=Path("models"),
        report=Path("reports/train"),
    )


COMMAND = of_params(_train, by_torchrun=True)
