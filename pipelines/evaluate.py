"""Scores models/best.safetensors on the test split, which no other stage opens."""

from pathlib import Path

from wellfit.settings.params import Params
from wellfit.stages.cli import run_stage


def main(params: Params) -> None:
    from wellfit.stages.evaluate import evaluate

    evaluate(params, Path("data/processed", params.data.name), models=Path("models"), reports=Path("reports"))


if __name__ == "__main__":
    run_stage(main, __doc__)
