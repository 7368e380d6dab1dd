"""Draws training images of data.name before and after data.augment, into reports/preview.png."""

from pathlib import Path

from wellfit.settings.params import Params
from wellfit.stages.cli import run_stage


def main(params: Params) -> None:
    from wellfit.stages.preprocess import prepared
    from wellfit.stages.preview import preview

    out = Path("reports/preview.png")
    preview(params, prepared(params), out)
    print(f"written to {out}")


if __name__ == "__main__":
    run_stage(main, __doc__)
