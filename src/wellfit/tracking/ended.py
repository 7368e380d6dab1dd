"""Runs that have ended before MLflow hears of them: a copy in the fewest calls, with the times they really had."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wellfit.interruptions import raise_waiting, uninterrupted
from wellfit.tracking.run import BATCH, Run, run_tags
from wellfit.tracking.store import open_client, unreachable_in_one_line

if TYPE_CHECKING:
    from wellfit.data.store import Meta

PARAMS = 100  # a request, MLflow's limit
CURVE_EPOCHS, CURVE_POINTS = 25, 240  # at most: MLflow takes 0.1 ms for a point; history.jsonl has all of them


class EndedRun(NamedTuple):
    """All that MLflow is told of a run.

    Attributes:
        stage: the tag ``wellfit.stage``.
        name: what the MLflow UI shows.
        status: FINISHED, FAILED or KILLED.
        started: in seconds since 1970.
        ended: likewise.
        tags: by name.
        params: dotted keys of ``params.yaml`` and their values.
        metrics: of the run as a whole.
        curves: metrics by epoch, in any selection of epochs.
        epochs: of the run, so that the points of a curve get times between its start and its end.
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
    curves: Mapping[int, Mapping[str, float]]
    epochs: int
    files: Sequence[tuple[Path, str]]


@uninterrupted
def log_ended_run(run: EndedRun, meta: Meta, parent: Run, again: str | None = None) -> str:
    """Makes a run below another and fills it, or completes one that was left half filled.

    All of it may be told twice: MLflow knows what it has by name, time and value.

    Args:
        run: what to tell.
        meta: the data, for the tags.
        parent: the run it is nested in.
        again: the run that was left half filled.

    Returns:
        The id of the run.

    Raises:
        WellfitError: MLflow did not take it.
    """
    from mlflow.entities import Metric, Param

    client = open_client()
    start, end = int(run.started * 1000), int(run.ended * 1000)
    tags = {**run_tags(run.stage, meta), "mlflow.parentRunId": parent.id, **run.tags}
    with unreachable_in_one_line():
        run_id = (
            again or client.create_run(parent.experiment_id, start_time=start, tags=tags, run_name=run.name).info.run_id
        )
        for path, folder in run.files:  # first: MLflow asks for the whole run where its files are
            client.log_artifact(run_id, str(path), folder or None)
        params = [Param(key, json.dumps(value).strip('"')) for key, value in run.params.items()]
        metrics = [Metric(name, float(value), end, 0) for name, value in run.metrics.items() if math.isfinite(value)]
        for epoch, values in run.curves.items():
            time = start + (end - start) * epoch // max(1, run.epochs)
            metrics += [
                Metric(name, float(value), time, epoch) for name, value in values.items() if math.isfinite(value)
            ]
        while params or metrics:
            now, params = params[:PARAMS], params[PARAMS:]
            room = BATCH - len(now)
            client.log_batch(run_id, metrics=metrics[:room], params=now)
            metrics = metrics[room:]
        client.set_terminated(run_id, run.status, end)
    raise_waiting()
    return str(run_id)


def thinned(history: Sequence[Mapping[str, float]], best_epoch: int) -> dict[int, dict[str, float]]:
    """The epochs of a history that MLflow is told of: spread evenly, the first, the last and the best among them.

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
    """The runs nested in another, by the value of a tag that each has."""
    client = open_client()
    found: dict[str, str] = {}
    with unreachable_in_one_line():
        query, page = f"tags.`mlflow.parentRunId` = '{parent.id}'", None
        while True:
            runs = client.search_runs([parent.experiment_id], query, page_token=page)
            found |= {run.data.tags[tag]: run.info.run_id for run in runs if tag in run.data.tags}
            page = runs.token
            if not page:
                return found
