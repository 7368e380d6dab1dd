"""Runs the whole pipeline as one MLflow run, its stages nested below it: what `mlflow run .` calls."""

from wellfit.stages.cli import run_stage
from wellfit.stages.run import run_pipeline

if __name__ == "__main__":
    run_stage(run_pipeline, __doc__)
