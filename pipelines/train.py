"""Trains one model, with the values that tuning chose, and keeps its best validation checkpoint in models/."""

from pathlib import Path

from wellfit.settings.params import Params
from wellfit.stages.cli import run_stage


def main(params: Params) -> None:
    from wellfit.stages.train import train

    train(
        params,
        data_folder=Path("data/processed", params.data.name),
        tune_report=Path("reports/tune"),
        models=Path("models"),
        report=Path("reports/train"),
    )


if __name__ == "__main__":
    run_stage(main, __doc__)
