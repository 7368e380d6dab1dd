"""MLflow: the only package that imports it.

Local files are the truth and MLflow is a copy. A run appends each epoch to its ``history.jsonl`` first, and sends
metrics in batches every few seconds: a server that is slow or gone costs a training no more than a warning.
"""

from wellfit.tracking.address import shown_store_uri, store_uri
from wellfit.tracking.ended import EndedRun, children_by_tag, create_ended_run, fill_ended_run
from wellfit.tracking.failures import TrackingError
from wellfit.tracking.opening import (
    PARENT_RUN_VARIABLE,
    STAGE_VARIABLE,
    has_children,
    project_run,
    reopen_run,
    start_parent_run,
    start_run,
)
from wellfit.tracking.publisher import Publisher
from wellfit.tracking.registry import (
    CHALLENGER,
    CHAMPION,
    TRAINED_BY,
    add_version,
    champion_of,
    download_version,
    logged_model,
)
from wellfit.tracking.run import Run
from wellfit.tracking.runs import is_held
from wellfit.tracking.store import open_store, write_ahead
from wellfit.tracking.views import CURVES_OF_TRIALS, runs_view, trials_view

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "CURVES_OF_TRIALS",
    "PARENT_RUN_VARIABLE",
    "STAGE_VARIABLE",
    "TRAINED_BY",
    "EndedRun",
    "Publisher",
    "Run",
    "TrackingError",
    "add_version",
    "champion_of",
    "children_by_tag",
    "create_ended_run",
    "download_version",
    "fill_ended_run",
    "has_children",
    "is_held",
    "logged_model",
    "open_store",
    "project_run",
    "reopen_run",
    "runs_view",
    "shown_store_uri",
    "start_parent_run",
    "start_run",
    "store_uri",
    "trials_view",
    "write_ahead",
]
