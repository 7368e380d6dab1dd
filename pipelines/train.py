"""Trains one model, with the values that tuning chose, and keeps its best validation checkpoint in models/."""

from pathlib import Path

from wellfit.cli import run_stage
from wellfit.params import Params


def main(params: Params) -> None:
    from wellfit.training.train import train

    train(
        params,
        data_folder=Path("data/processed", params.data.name),
        tune_report=Path("reports/tune"),
        models=Path("models"),
        report=Path("reports/train"),
    )


if __name__ == "__main__":
    run_stage(main, __doc__)
