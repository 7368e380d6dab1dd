"""Gets the raw data of data.name: from a mirror, the cache or its publisher, or from scikit-learn."""

from pathlib import Path

from wellfit.commands.cli import of_params
from wellfit.settings.params import Params


def _fetch(params: Params) -> None:
    from wellfit.stages.fetch import fetch

    fetch(params, out=Path("data/raw"))


COMMAND = of_params(_fetch)
