"""Trains trials of the study of params.yaml, which workers on other machines share by tune.storage."""

from wellfit.commands.cli import of_params
from wellfit.settings.params import Params


def _work(params: Params) -> None:
    from wellfit.stages.preprocess import prepared
    from wellfit.stages.worker import work

    work(params, prepared(params))


SECTIONS = ("data", "model", "loss", "regularize", "optim", "schedule", "train", "tune")
COMMAND = of_params(_work, reads=SECTIONS, alone=False)
