"""Scores models/best.safetensors on the test split, which no other stage opens."""

from pathlib import Path

from wellfit.cli import run_stage
from wellfit.params import Params


def main(params: Params) -> None:
    from wellfit.evaluation.evaluate import evaluate

    evaluate(params, Path("data/processed", params.data.name), models=Path("models"), reports=Path("reports"))


if __name__ == "__main__":
    run_stage(main, __doc__)
