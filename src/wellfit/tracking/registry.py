"""MLflow's registry of models: versions of `wellfit-<data set>`, one of which is the champion."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from wellfit.tracking.address import store_uri
from wellfit.tracking.creation import mlflow_id
from wellfit.tracking.failures import unreachable_in_one_line
from wellfit.tracking.model import models_of
from wellfit.tracking.runs import find_run
from wellfit.tracking.store import open_client

TRAINED_BY = "wellfit.trained_by"  # tag of a run with a model that another run has trained
CHAMPION, CHALLENGER = "champion", "challenger"


class Version(NamedTuple):
    """A version of a registered model.

    Attributes:
        number: from 1.
        run_id: of the run that trained it.
        data_sha256: of the data it was trained on.
    """

    number: str
    run_id: str
    data_sha256: str


class Logged(NamedTuple):
    """A model that a run has logged.

    Attributes:
        id: of the model.
        run_id: of the run.
    """

    id: str
    run_id: str


def logged_model(run_id: str) -> Logged | None:
    """The model of a run, or the latest that was logged in its place, as it was deleted; None where there is none."""
    client = open_client()
    with unreachable_in_one_line():
        experiments = [each.experiment_id for each in client.search_experiments()]
        query, latest = f"tags.`{TRAINED_BY}` = '{run_id}'", ["attributes.start_time DESC"]
        instead = [run.info.run_id for run in client.search_runs(experiments, query, order_by=latest)]
        for each in (run_id, *instead):
            found = mlflow_id(client, each)
            run = find_run(client, found) if found else None
            if run and (models := models_of(client, run)):
                return Logged(models[0], run.info.run_id)
    return None


def champion_of(name: str) -> Version | None:
    """The version with the alias champion; None where there is none."""
    from mlflow.exceptions import MlflowException

    client = open_client()
    with unreachable_in_one_line():
        try:
            found = client.get_model_version_by_alias(name, CHAMPION)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
    return Version(str(found.version), str(found.run_id), found.tags.get("wellfit.data_sha256", ""))


def download_version(name: str, version: Version, folder: Path) -> Path:
    """Gets the model folder of a version, below an empty one."""
    from mlflow.artifacts import download_artifacts

    with unreachable_in_one_line():
        path = download_artifacts(
            f"models:/{name}/{version.number}", dst_path=str(folder), tracking_uri=store_uri(), registry_uri=store_uri()
        )
    return next(Path(path).glob("artifacts/*/model.json")).parent


def add_version(name: str, model_id: str, run_id: str, alias: str, tags: Mapping[str, str], description: str) -> str:
    """Registers a logged model and returns the number of its version.

    Args:
        name: of the registered model, which is made where it is not there.
        model_id: of the logged model.
        run_id: that trained it.
        alias: that the version gets; another version loses it.
        tags: of the version.
        description: of the version, Markdown.
    """
    from mlflow.exceptions import MlflowException

    client = open_client()
    with unreachable_in_one_line():
        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = client.get_logged_model(model_id).artifact_location
        made = client.create_model_version(
            name, source, run_id, tags=dict(tags), description=description, model_id=model_id
        )
        client.set_registered_model_alias(name, alias, made.version)
        # By which the page of the model knows its versions. A server has done so itself.
        version = {"name": name, "version": str(made.version)}
        known = json.loads(client.get_logged_model(model_id).tags.get("mlflow.modelVersions", "[]"))
        others = [each for each in known if str(each["version"]) != version["version"] or each["name"] != name]
        client.set_logged_model_tags(model_id, {"mlflow.modelVersions": json.dumps([*others, version])})
    return str(made.version)
