"""Runs that are copied to MLflow after they have ended, in few requests and with the times they really had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wellfit.interruptions import check
from wellfit.tracking.batches import as_metrics, as_params, send
from wellfit.tracking.failures import unreachable_in_one_line
from wellfit.tracking.tags import PARENT, run_tags

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from wellfit.data.meta import Meta
    from wellfit.tracking.run import Run

CURVE_EPOCHS, CURVE_POINTS = 25, 240  # at most: a point costs MLflow 0.1 ms, and history.jsonl has all of them


class EndedRun(NamedTuple):
    """What is copied of a run.

    Attributes:
        stage: the tag ``wellfit.stage``.
        name: what the MLflow UI shows.
        status: FINISHED, FAILED or KILLED.
        started: in seconds since 1970.
        ended: likewise.
        tags: by name.
        params: dotted keys of ``params.yaml`` and their values.
        metrics: of the run as a whole.
        history: metrics of each epoch; of many epochs some are copied.
        best_epoch: from 1, which is copied; 0 where there is none.
        files: with the folder among the artifacts that each goes to; empty for their root.
    """

    stage: str
    name: str
    status: str
    started: float
    ended: float
    tags: Mapping[str, str]
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    history: Sequence[Mapping[str, float]]
    best_epoch: int
    files: Sequence[tuple[Path, str]]


def create_ended_run(run: EndedRun, meta: Meta, parent: Run) -> str:
    """Makes the copy of a run in MLflow, a child of another one; :func:`fill_ended_run` goes on.

    Args:
        run: what to copy.
        meta: the data, for the tags.
        parent: the run to nest it in, which must be open.

    Returns:
        The id of the copy.

    Raises:
        WellfitError: MLflow did not take it.
    """
    with unreachable_in_one_line():
        return make_child(parent.client, parent.mlflow_id, parent.experiment_id, with_all_tags(run, meta))


def with_all_tags(run: EndedRun, meta: Meta) -> EndedRun:
    """A run with its own tags, and those that every run has."""
    return run._replace(tags={**run_tags(run.stage, meta.title, meta), **run.tags})


def make_child(client: MlflowClient, parent_id: str, experiment_id: str, run: EndedRun) -> str:
    """Makes a run with all its tags below another one, and returns its id."""
    tags = {**run.tags, PARENT: parent_id}
    return str(client.create_run(experiment_id, int(run.started * 1000), tags, run.name).info.run_id)


def fill_ended_run(client: MlflowClient, run_id: str, run: EndedRun) -> None:
    """Copies what a run has and ends the copy.

    What MLflow has of it already may be sent again: MLflow tells it by name, time and value.

    Args:
        client: of the store.
        run_id: of the copy, which may be half filled.
        run: what to copy.

    Raises:
        WellfitError: MLflow did not take it.
    """
    start, end = int(run.started * 1000), int(run.ended * 1000)
    metrics = as_metrics(run.metrics, end, step=0)
    for epoch, values in thinned(run.history, run.best_epoch).items():
        metrics += as_metrics(values, start + (end - start) * epoch // len(run.history), epoch)
    with unreachable_in_one_line():
        for path, folder in run.files:  # before the metrics: MLflow reads the whole run to find where its files are
            client.log_artifact(run_id, str(path), folder or None)
        send(client, run_id, as_params(run.params), metrics)
        client.set_terminated(run_id, run.status, end)
    check()


def thinned(history: Sequence[Mapping[str, float]], best_epoch: int) -> dict[int, dict[str, float]]:
    """Chooses the epochs that are copied to MLflow: spread evenly, the first, the last and the best among them.

    Args:
        history: metrics of each epoch.
        best_epoch: from 1; 0 where there is none.

    Returns:
        Epoch, from 1, to its metrics; at most 25 epochs, fewer where there are many metrics.
    """
    curves = {epoch: dict(metrics) for epoch, metrics in enumerate(history, start=1)}
    metrics = max(map(len, curves.values()), default=1)
    most = min(CURVE_EPOCHS, max(5, CURVE_POINTS // max(1, metrics)))
    if len(curves) <= most:
        return curves
    last, steps = len(curves), most - 2  # one is kept for the best
    kept = {1 + round(step * (last - 1) / steps) for step in range(steps + 1)} | {best_epoch}
    return {epoch: metrics for epoch, metrics in curves.items() if epoch in kept}


def children_by_tag(parent: Run, tag: str) -> dict[str, str]:
    """The ids of the runs nested in another, by the value of a tag."""
    with unreachable_in_one_line():
        return find_children(parent.client, parent.mlflow_id, parent.experiment_id, tag)


def find_children(client: MlflowClient, parent_id: str, experiment_id: str, tag: str) -> dict[str, str]:
    """As `children_by_tag`, of a run by its id in MLflow."""
    found: dict[str, str] = {}
    query, page = f"tags.`{PARENT}` = '{parent_id}'", None
    while True:
        runs = client.search_runs([experiment_id], query, page_token=page)
        found |= {run.data.tags[tag]: run.info.run_id for run in runs if tag in run.data.tags}
        page = runs.token
        if not page:
            return found
