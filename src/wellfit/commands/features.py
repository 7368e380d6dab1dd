"""Gets the weights of a pretrained network and, while it is frozen, computes its features of the images."""

from pathlib import Path

from wellfit.commands.cli import of_params
from wellfit.settings.params import Params


def _features(params: Params) -> None:
    from wellfit.stages.features import features

    features(params, Path("data/processed", params.data.name))


COMMAND = of_params(_features)
