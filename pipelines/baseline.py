"""Fits gradient boosting, a linear model and a constant to the training rows, to compare the network with."""

from pathlib import Path

from wellfit.settings.params import Params
from wellfit.stages.cli import run_stage


def main(params: Params) -> None:
    from wellfit.stages.baseline import baseline

    baseline(params, Path("data/processed", params.data.name), report=Path("reports/baseline"))


if __name__ == "__main__":
    run_stage(main, __doc__)
