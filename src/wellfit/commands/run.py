"""Runs the whole pipeline, or one stage with those it needs, as one MLflow run: what `mlflow run .` calls."""

from wellfit.commands.cli import of_file
from wellfit.stages.run import WHOLE, load_project, run_pipeline, stage_titles

COMMAND = of_file(run_pipeline, load_project, stage_titles, default=WHOLE)
