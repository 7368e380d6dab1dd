"""Params and metrics as MLflow's entities, in requests of the size that MLflow takes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wellfit.tracking.limits import ENTITIES, PARAMS

if TYPE_CHECKING:
    from mlflow.entities import Metric, Param
    from mlflow.tracking import MlflowClient


def as_params(values: Mapping[str, Any]) -> list[Param]:
    """Dotted keys of ``params.yaml`` with their values as JSON, strings without their quotes."""
    from mlflow.entities import Param

    return [Param(key, json.dumps(value).strip('"')) for key, value in values.items()]


def as_metrics(values: Mapping[str, float | None], milliseconds: int, step: int) -> list[Metric]:
    """Metrics of one time and step. NaN, infinity and None are left out: the store cannot hold them."""
    from mlflow.entities import Metric

    return [
        Metric(name, float(value), milliseconds, step)
        for name, value in values.items()
        if value is not None and math.isfinite(value)
    ]


def last_steps(client: MlflowClient, run_id: str) -> dict[str, int]:
    """The last step of each metric that the store has of a run."""
    return {
        name: max(metric.step for metric in client.get_metric_history(run_id, name))
        for name in client.get_run(run_id).data.metrics
    }


def send(client: MlflowClient, run_id: str, params: list[Param], metrics: list[Metric]) -> None:
    """Logs params and metrics in the fewest requests.

    Args:
        client: of the store.
        run_id: of the run that gets them.
        params: emptied as they are sent; after an error it holds those that were not.
        metrics: likewise.
    """
    while params or metrics:
        room = ENTITIES - len(params[:PARAMS])
        client.log_batch(run_id, metrics=metrics[:room], params=params[:PARAMS])
        del params[:PARAMS], metrics[:room]
