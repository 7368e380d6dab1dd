"""Fits gradient boosting, a linear model and a constant to the training rows, to compare the network with."""

from pathlib import Path

from wellfit.commands.cli import of_params
from wellfit.settings.params import Params


def _baseline(params: Params) -> None:
    from wellfit.stages.baseline import baseline

    baseline(params, Path("data/processed", params.data.name), report=Path("reports/baseline"))


COMMAND = of_params(_baseline)
