"""Runs the whole pipeline, or one stage with those it needs, as one MLflow run: what `mlflow run .` calls."""

from wellfit.stages.cli import Named, run_stage
from wellfit.stages.run import WHOLE, load_project, run_pipeline, stage_titles

if __name__ == "__main__":
    run_stage(run_pipeline, __doc__, Named(load_project, stage_titles, default=WHOLE))
