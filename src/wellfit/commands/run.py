"""Runs the whole pipeline as one MLflow run, its stages nested below it: what `mlflow run .` calls."""

from wellfit.commands.cli import of_params
from wellfit.settings.params import Params


def _run(params: Params) -> None:
    from wellfit.stages.run import run_pipeline

    run_pipeline(params)


COMMAND = of_params(_run)
