"""MLflow's client, which sends nothing that some store would refuse for its length. It is imported where it is used."""

from collections.abc import Sequence
from typing import Any

from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from wellfit.tracking.limits import KEY, PARAM, short_key, short_tags, shortened


class Client(MlflowClient):
    """The methods that send names and texts of any length."""

    def create_experiment(self, name: str, artifact_location: str | None = None, tags: Any = None) -> str:
        return super().create_experiment(name, artifact_location, short_tags(tags))

    def set_experiment_tag(self, experiment_id: str, key: str, value: Any) -> None:
        ((key, value),) = short_tags({key: value}).items()
        super().set_experiment_tag(experiment_id, key, value)

    def create_run(
        self, experiment_id: str, start_time: int | None = None, tags: Any = None, run_name: str | None = None
    ) -> Run:
        name = None if run_name is None else shortened(run_name, KEY)
        return super().create_run(experiment_id, start_time, short_tags(tags), name)

    def set_tag(self, run_id: str, key: str, value: Any, synchronous: bool | None = None) -> Any:
        ((key, value),) = short_tags({key: value}).items()
        return super().set_tag(run_id, key, value, synchronous)

    def log_batch(
        self,
        run_id: str,
        metrics: Sequence[Metric] = (),
        params: Sequence[Param] = (),
        tags: Sequence[RunTag] = (),
        synchronous: bool | None = None,
    ) -> Any:
        params = [Param(short_key(each.key), shortened(each.value, PARAM)) for each in params]
        for metric in metrics:
            metric._key = short_key(metric.key)
        return super().log_batch(run_id, metrics, params, tags, synchronous)

    def set_logged_model_tags(self, model_id: str, tags: dict[str, Any]) -> None:
        super().set_logged_model_tags(model_id, short_tags(tags))

    def create_model_version(  # type: ignore[override]  # what follows is given by name
        self, name: str, source: str, run_id: str, *, tags: Any = None, description: str = "", **more: Any
    ) -> ModelVersion:
        tags, description = short_tags(tags), shortened(description)
        return super().create_model_version(name, source, run_id, tags, description=description, **more)
