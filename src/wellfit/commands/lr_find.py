"""Finds which learning rates are worth trying: a short training whose rate rises from lr_find.low to lr_find.high."""

from pathlib import Path

from wellfit.commands.cli import of_params
from wellfit.settings.params import Params


def _lr_find(params: Params) -> None:
    from wellfit.stages.lr_find import lr_find

    lr_find(params, Path("data/processed", params.data.name), report=Path("reports/lr_find"))


COMMAND = of_params(_lr_find, reads=("data", "model", "loss", "regularize", "optim", "train", "lr_find"))
