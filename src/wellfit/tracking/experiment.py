"""The experiment of new runs."""

from __future__ import annotations

import os
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from wellfit.files import project_root
from wellfit.tracking.address import store_uri
from wellfit.tracking.moved import ARTIFACTS
from wellfit.tracking.runs import ACTIVE, store_lock
from wellfit.tracking.views import runs_view

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

EXPERIMENT = "wellfit"
EXPERIMENT_DESCRIPTION = (
    "Trainings (`train ...`), studies (`tune ...`) with their trials below them, and comparisons (`compare ...`) with "
    "a run for each variant and seed. The reports, with their pictures, are among the artifacts. The list *Views* has "
    "tables and charts of what matters: the scores of all runs, and the trials of the latest study."
)


class Wanted(NamedTuple):
    """The experiment that a user wants.

    Attributes:
        experiment_id: counts before the name; None: the name counts.
        experiment: its name; it is made if there is none.
    """

    experiment_id: str | None
    experiment: str


def wanted_experiment() -> Wanted:
    """``MLFLOW_EXPERIMENT_ID`` and ``MLFLOW_EXPERIMENT_NAME``, or the default name."""
    return Wanted(os.environ.get("MLFLOW_EXPERIMENT_ID"), os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT))


def find_or_create_experiment(client: MlflowClient, wanted: Wanted) -> str:
    """The id of an experiment. In the place of a deleted one another is used, as MLflow keeps the name of that one."""
    given, name = wanted
    if given:
        if client.get_experiment(given).lifecycle_stage == ACTIVE:
            return given
        print(f"experiment {given} (MLFLOW_EXPERIMENT_ID) was deleted in MLflow: the one by name is used", flush=True)
    with store_lock():
        views = runs_view()
        for number in count(1):
            free = name if number == 1 else f"{name}-{number}"
            found = client.get_experiment_by_name(free)
            if found is None:
                break
            if found.lifecycle_stage == ACTIVE:
                for key in views.keys() - found.tags.keys():  # made by an earlier version, or by hand
                    client.set_experiment_tag(found.experiment_id, key, views[key])
                return str(found.experiment_id)
        if free != name:
            print(f"the experiment {name} was deleted in MLflow: {free} is made", flush=True)
        local = store_uri().startswith("sqlite")
        artifacts = (project_root() / ARTIFACTS).as_uri() if local else None
        tags = {"mlflow.note.content": EXPERIMENT_DESCRIPTION, **views}
        return str(client.create_experiment(free, artifact_location=artifacts, tags=tags))
