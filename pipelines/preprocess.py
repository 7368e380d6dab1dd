"""Splits the raw data into train, validation and test, and computes the statistics of train."""

from pathlib import Path

from wellfit.settings.params import Params
from wellfit.stages.cli import run_stage


def main(params: Params) -> None:
    from wellfit.stages.preprocess import preprocess

    preprocess(params, raw=Path("data/raw"), out=Path("data/processed"))


if __name__ == "__main__":
    run_stage(main, __doc__)
