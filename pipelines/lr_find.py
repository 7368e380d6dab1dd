"""Finds which learning rates are worth trying: a short training whose rate rises from lr_find.low to lr_find.high."""

from pathlib import Path

from wellfit.settings.params import Params
from wellfit.stages.cli import run_stage


def main(params: Params) -> None:
    from wellfit.stages.lr_find import lr_find
    from wellfit.stages.preprocess import prepared

    lr_find(params, prepared(params), report=Path("reports/lr_find"))


if __name__ == "__main__":
    run_stage(main, __doc__)
