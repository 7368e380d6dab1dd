"""Draws training images of data.name before and after data.augment, into reports/preview.png."""

from pathlib import Path

from wellfit.commands.cli import of_params
from wellfit.settings.params import Params


def _preview(params: Params) -> None:
    from wellfit.stages.preprocess import prepared
    from wellfit.stages.preview import preview

    out = Path("reports/preview.png")
    preview(params, prepared(params), out)
    print(f"written to {out}")


COMMAND = of_params(_preview, reads=("data", "train"))
