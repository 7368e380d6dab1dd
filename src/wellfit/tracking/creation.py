"""Runs that MLflow makes: at once, or, where it is away, once it is back.

Until then a run has an id of its own. ``models/run.json`` and other files keep that id: a file in the folder of the run
says which id MLflow has given it.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wellfit.errors import WellfitError
from wellfit.files import write_text
from wellfit.manifest import sealed, unsealed
from wellfit.tracking.address import shown_store_uri
from wellfit.tracking.experiment import Wanted, find_or_create_experiment, wanted_experiment
from wellfit.tracking.failures import unreachable_in_one_line
from wellfit.tracking.outbox import Outbox
from wellfit.tracking.runs import find_run, runs_folder, store_lock
from wellfit.tracking.tags import PARENT

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

CREATE = "create"  # kind of the first entry in the outbox of a run that MLflow has not made yet
OWN_ID = "-local"  # ends the id of such a run; MLflow's are 32 digits
LOCAL_ID = "wellfit.local_id"  # its tag in MLflow
MADE = "mlflow.json"


class Creation(NamedTuple):
    """What a new run is.

    Attributes:
        name: what the MLflow UI shows.
        tags: by name.
        started: in milliseconds since 1970; None: now.
        parent: the id of the run to nest it in.
    """

    name: str
    tags: Mapping[str, str]
    started: int | None = None
    parent: str | None = None


def create_run(client: MlflowClient, creation: Creation, wanted: Wanted | None = None) -> str:
    """Makes a run in MLflow and returns its id.

    Args:
        client: of the store.
        creation: what the run is. Without its parent it is done where the store does not have that one.
        wanted: the experiment of a run without a parent; None: what the environment says.
    """
    parent = active_run(client, creation.parent)
    found = find_run(client, parent) if parent else None
    tags = dict(creation.tags)
    if found:
        tags[PARENT] = found.info.run_id
        experiment = found.info.experiment_id
    else:
        experiment = find_or_create_experiment(client, wanted or wanted_experiment())
    return str(client.create_run(experiment, creation.started, tags, creation.name).info.run_id)


def postpone(creation: Creation, milliseconds: int) -> str:
    """Puts the creation of a run into its outbox, and returns the id that the run has until then.

    Raises:
        OSError: the disk is full, for one.
    """
    run_id = f"{uuid.uuid4().hex}{OWN_ID}"
    content = creation._asdict() | {"started": creation.started or milliseconds, "tags": dict(creation.tags)}
    content["tags"][LOCAL_ID] = run_id
    Outbox(run_id).append(CREATE, content | wanted_experiment()._asdict() | {"store": shown_store_uri()})
    return run_id


def has_own_id(run_id: str) -> bool:
    """Whether MLflow was away when a run began."""
    return run_id.endswith(OWN_ID)


def known_id(run_id: str) -> str | None:
    """The id of a run in MLflow, as far as this machine knows; None where it has yet to be made."""
    if not has_own_id(run_id):
        return run_id
    try:
        return str(unsealed(_made_file(run_id).read_text(encoding="utf-8"))["run_id"])
    except (OSError, ValueError, KeyError):  # lost or damaged: MLflow knows it by its tag
        return None


def mlflow_id(client: MlflowClient, run_id: str) -> str | None:
    """The id of a run in MLflow, which is made if that is still to be done.

    Args:
        client: of the store.
        run_id: of MLflow, or of our own.

    Returns:
        None, where the run is to be made in another store, or nothing is left of it.
    """
    if found := known_id(run_id):
        return found
    with store_lock(), unreachable_in_one_line():
        if found := known_id(run_id):
            return found
        outbox = Outbox(run_id)
        entry = next(iter(outbox.entries()), None)
        if entry is None or entry.kind != CREATE:
            return _written_down(run_id, _made_before(client, run_id))
        try:
            content = entry.read()
            creation = Creation(*(content[key] for key in Creation._fields))
            wanted, store = Wanted(*(content[key] for key in Wanted._fields)), content["store"]
        except (WellfitError, KeyError):
            aside = outbox.set_aside(entry)
            print(f"warning: {entry.path} is not as it was written; it is set aside as {aside}", file=sys.stderr)
            return None
        if store != shown_store_uri():
            return None
        made = _written_down(run_id, _made_before(client, run_id) or create_run(client, creation, wanted))
        outbox.remove(entry)
        return made


def active_run(client: MlflowClient, run_id: str | None, otherwise: str = "it is done without") -> str | None:
    """The id in MLflow of a run that is to be used; None, and a line, where the store does not have it any more.

    Args:
        client: of the store.
        run_id: of MLflow, or of our own; None: none is.
        otherwise: what becomes of it then.
    """
    if not run_id:
        return None
    found = mlflow_id(client, run_id)
    if found is None or not find_run(client, found):
        print(f"run {run_id} is not in {shown_store_uri()}, or was deleted there: {otherwise}", flush=True)
        return None
    return found


def _written_down(run_id: str, made: str | None) -> str | None:
    if made:
        write_text(_made_file(run_id), sealed({"run_id": made}))
    return made


def _made_before(client: MlflowClient, run_id: str) -> str | None:
    """The run in MLflow, as by a process that died before it could write that down."""
    experiments = [each.experiment_id for each in client.search_experiments()]
    found = client.search_runs(experiments, f"tags.`{LOCAL_ID}` = '{run_id}'", max_results=1)
    return str(found[0].info.run_id) if found else None


def _made_file(run_id: str) -> Path:
    return runs_folder() / run_id / MADE
