"""Runs the whole pipeline as one MLflow run, its stages nested below it: what `mlflow run .` calls."""

from wellfit.cli import run_stage
from wellfit.pipeline import run_pipeline

if __name__ == "__main__":
    run_stage(run_pipeline, __doc__)
