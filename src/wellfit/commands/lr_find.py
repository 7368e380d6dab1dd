"""Finds which learning rates are worth trying: a short training whose rate rises from lr_find.low to lr_find.high."""

from pathlib import Path

from wellfit.commands.cli import of_params
from wellfit.settings.params import Params


def _lr_find(params: Params) -> None:
    from wellfit.stages.lr_find import lr_find
    from wellfit.stages.preprocess import prepared

    lr_find(params, prepared(params), report=Path("reports/lr_find"))


COMMAND = of_params(_lr_find, reads=("data", "model", "loss", "regularize", "optim", "train", "lr_find"))
