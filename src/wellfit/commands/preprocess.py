"""Splits the raw data into train, validation and test, and computes the statistics of train."""

from pathlib import Path

from wellfit.commands.cli import of_params
from wellfit.settings.params import Params


def _preprocess(params: Params) -> None:
    from wellfit.stages.preprocess import preprocess

    preprocess(params, raw=Path("data/raw"), out=Path("data/processed"))


COMMAND = of_params(_preprocess)
