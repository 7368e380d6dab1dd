"""What a run tells MLflow, by kind: at once, or from the outbox once MLflow is back.

Each may be sent again: MLflow knows metrics by name, time and step, files and tags by name.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wellfit.errors import WellfitError, one_line, without_secrets
from wellfit.tracking.address import shown_store_uri
from wellfit.tracking.batches import as_params, last_steps, send
from wellfit.tracking.ended import EndedRun, fill_ended_run, find_children, make_child
from wellfit.tracking.failures import TrackingError, unreachable_in_one_line
from wellfit.tracking.model import log_model
from wellfit.tracking.outbox import Outbox

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


def perform(client: MlflowClient, run_id: str, kind: str, content: Mapping[str, Any]) -> None:
    """Tells MLflow one thing of a run.

    Args:
        client: of the store.
        run_id: of the run.
        kind: one of `KINDS`.
        content: the arguments of its function.

    Raises:
        TrackingError: MLflow did not take it.
    """
    try:
        with unreachable_in_one_line():
            KINDS[kind](client, run_id, **content)
    except (WellfitError, KeyError, TypeError):  # the latter of an entry that is not as it was written
        raise
    except Exception as error:  # where artifacts are stored, it is of as many kinds as there are such stores
        if kind not in FILES:
            raise
        fault = f"MLflow at {shown_store_uri()} cannot store artifacts: {without_secrets(one_line(error))}"
        raise TrackingError(fault, is_refusal=False, is_outage=False) from error


def deliver(client: MlflowClient, outbox: Outbox, run_id: str) -> None:
    """Sends what waits for a run, in order, and forgets it.

    Files that cannot be stored hold back other files alone: a run is closed though its artifacts are read-only.

    Args:
        client: of the store.
        outbox: of the run.
        run_id: of the run in MLflow.

    Raises:
        TrackingError: MLflow did not take all of it; the rest still waits.
    """
    unstored: TrackingError | None = None
    for entry in outbox.entries():
        if unstored and entry.kind in FILES:
            continue
        try:
            try:
                perform(client, run_id, entry.kind, entry.read())
            except (KeyError, TypeError) as error:  # an entry of an unknown kind, or with other arguments
                raise WellfitError(f"{entry.path} is not as it was written ({error})") from None
        except TrackingError as error:
            if error.is_refusal:
                _set_aside(outbox, entry, error)
            elif entry.kind in FILES:
                unstored = error
            else:
                raise
        except WellfitError as error:
            _set_aside(outbox, entry, error)
        else:
            outbox.remove(entry)
    if unstored:
        raise unstored


def _set_aside(outbox: Outbox, entry: Any, error: WellfitError) -> None:
    print(f"warning: {error}; it is set aside as {outbox.set_aside(entry)}", file=sys.stderr, flush=True)


def _params(client: MlflowClient, run_id: str, values: Mapping[str, Any]) -> None:
    # `mlflow run -P optim.lr=1e-2` has logged that text on its run, and MLflow takes no other for the same key.
    given = client.get_run(run_id).data.params
    send(client, run_id, as_params({key: value for key, value in values.items() if key not in given}), [])


def _metrics(
    client: MlflowClient, run_id: str, metrics: Sequence[tuple[str, float, int, int]], *, resumed: bool = False
) -> None:
    from mlflow.entities import Metric

    sent = last_steps(client, run_id) if resumed else {}
    send(client, run_id, [], [Metric(*each) for each in metrics if each[3] > sent.get(each[0], -1)])


def _tag(client: MlflowClient, run_id: str, key: str, value: object) -> None:
    client.set_tag(run_id, key, value)


def _experiment_tags(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    experiment_id = client.get_run(run_id).info.experiment_id
    for key, value in tags.items():
        client.set_experiment_tag(experiment_id, key, value)


def _input(
    client: MlflowClient, run_id: str, name: str, digest: str, source: Mapping[str, str], profile: Mapping[str, int]
) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(name, digest, "wellfit", json.dumps(dict(source)), profile=json.dumps(dict(profile)))
    client.log_inputs(run_id, datasets=[DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def _file(client: MlflowClient, run_id: str, path: str, folder: str | None) -> None:
    client.log_artifact(run_id, path, folder)


def _files(client: MlflowClient, run_id: str, path: str, folder: str | None) -> None:
    client.log_artifacts(run_id, path, folder)


def _model(
    client: MlflowClient,
    run_id: str,
    path: str,
    meta: Mapping[str, Any],
    example: str,
    searched: Sequence[str],
    *,
    has_coverage: bool,
) -> None:
    import pandas as pd

    from wellfit.data.meta import Meta

    rows = json.loads(example)
    frame = pd.DataFrame(rows["data"], columns=rows["columns"])
    log_model(client, run_id, Path(path), Meta.model_validate(meta), frame, searched, has_coverage=has_coverage)


def _ended_run(client: MlflowClient, run_id: str, known_by: str, **content: Any) -> None:
    run, experiment_id = EndedRun(**content), client.get_run(run_id).info.experiment_id
    there = find_children(client, run_id, experiment_id, known_by).get(run.tags[known_by])
    fill_ended_run(client, there or make_child(client, run_id, experiment_id, run), run)


def _status(client: MlflowClient, run_id: str, status: str, ended: int) -> None:
    client.set_terminated(run_id, status, ended)


KINDS: dict[str, Callable[..., None]] = {
    "params": _params,
    "metrics": _metrics,
    "tag": _tag,
    "experiment_tags": _experiment_tags,
    "input": _input,
    "file": _file,
    "files": _files,
    "model": _model,
    "ended_run": _ended_run,
    "status": _status,
}
FILES = ("file", "files", "model")
