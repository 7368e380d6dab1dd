"""A model in MLflow: a pyfunc that takes rows as their owner has them."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from wellfit.tracking.address import store_uri
from wellfit.tracking.runs import find_run

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient
    from mlflow.types import ParamSchema, Schema

    from wellfit.data.meta import Meta

NAME = "model"
PACKAGE = Path(__file__).parents[1]  # the code that loads the model, which goes with it
SERVED = Path(__file__).with_name("served.py")
# Of test rows and of validation rows, without the ends of intervals, which are in the card, and without baselines.
SCORE = re.compile(r"(test|best/val)/(?!.*_(low|high)$)[^/]+")
NOISY = ("mlflow.models.model", "mlflow.pyfunc", "mlflow.utils.environment", "mlflow.utils.requirements_utils")


def log_model(
    client: MlflowClient,
    run_id: str,
    folder: Path,
    meta: Meta,
    example: pd.DataFrame,
    searched: Sequence[str],
    *,
    has_coverage: bool,
) -> None:
    """Logs a model folder as the model of a run, in the place of one of before.

    Args:
        client: of the store.
        run_id: of the run that trained it, in MLflow.
        folder: as `wellfit.serving.folder.save_model` wrote it.
        meta: of the data that it was trained on.
        example: a few rows as their owner has them, without what is no input.
        searched: keys whose values a study chose. The model is an output of that study, too, and of its trial with
            these values: to log another model for that trial would take as long, and predict no better.
        has_coverage: whether it gives intervals or sets.
    """
    with _quiet(), _at(store_uri()):
        import mlflow.pyfunc
        from mlflow.entities import LoggedModelOutput
        from mlflow.models import Model, ModelSignature

        run = client.get_run(run_id)
        earlier = models_of(client, run)
        # Made here, as MLflow would put it into the experiment that is called Default.
        made = client.create_logged_model(
            run.info.experiment_id, NAME, run_id, params=run.data.params, model_type=meta.task
        )
        requirements = (folder / "requirements.txt").read_text(encoding="utf-8").split()
        Model.log(
            None,
            flavor=mlflow.pyfunc,
            model_id=made.model_id,  # without the run, all metrics of which MLflow would copy
            python_model=str(SERVED),
            artifacts={"model": str(folder)},
            code_paths=[str(PACKAGE)],
            pip_requirements=[f"mlflow=={mlflow.__version__}", *requirements],
            signature=ModelSignature(_inputs(meta), _outputs(meta, has_coverage=has_coverage), _params()),
            input_example=example,
        )
        for each in (run_id, *_behind(client, run, searched, meta)):
            client.log_outputs(each, [LoggedModelOutput(made.model_id, step=0)])
        _log_scores(client, run, made.model_id, meta)
        card = (folder / "card.md").read_text(encoding="utf-8")
        client.set_logged_model_tags(made.model_id, {"mlflow.note.content": card})
        for model_id in earlier:  # of an evaluation before
            client.delete_logged_model(model_id)


def _behind(client: MlflowClient, run: Run, searched: Sequence[str], meta: Meta) -> list[str]:
    """The ids of the trial whose values the run has, the latest one, and of its study; none where there is none."""
    if not searched:
        return []
    params = run.data.params
    query = ["tags.`wellfit.stage` = 'trial'", f"tags.`wellfit.data_sha256` = '{meta.sha256}'"]
    query += [f"params.`{key}` = '{params[key]}'" for key in searched if key in params]
    latest = ["attributes.start_time DESC"]
    found = client.search_runs([run.info.experiment_id], " and ".join(query), order_by=latest, max_results=1)
    behind = [run_id for trial in found for run_id in (trial.info.run_id, trial.data.tags["mlflow.parentRunId"])]
    return [run_id for run_id in behind if find_run(client, run_id)]


def _log_scores(client: MlflowClient, run: Run, model_id: str, meta: Meta) -> None:
    """Tells the model the scores that its run has, and of which data they are."""
    from mlflow.entities import Metric

    names = [name for name in run.data.metrics if SCORE.fullmatch(name)]
    known = [client.get_metric_history(run.info.run_id, name)[-1] for name in names]
    data = {"dataset_name": meta.title, "dataset_digest": meta.sha256[:8]}
    scores = [Metric(each.key, each.value, each.timestamp, each.step, model_id, **data) for each in known]
    client.log_batch(run.info.run_id, metrics=scores)


@contextmanager
def _at(uri: str) -> Iterator[None]:
    """Tells the parts of MLflow that take no client which store is meant, and no longer than needed."""
    name = "MLFLOW_TRACKING_URI"
    before = os.environ.get(name)
    os.environ[name] = uri
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what MLflow says of type hints and environments that are not the user's."""
    levels = {name: logging.getLogger(name).level for name in NOISY}
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def models_of(client: MlflowClient, run: Run) -> list[str]:
    """The ids of the models that a run has logged."""
    query = f"source_run_id = '{run.info.run_id}'"
    found = client.search_logged_models([run.info.experiment_id], filter_string=query)
    return [str(model.model_id) for model in found]


def _inputs(meta: Meta) -> Schema:
    """Columns of any type: MLflow would refuse 3 where 3.0 is expected, and the model reads both, and text as well."""
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType

    names = ["image"] if meta.kind == "images" else [source.name for source in meta.inputs]
    anything = AnyType()  # type: ignore[no-untyped-call]
    return Schema([ColSpec(anything, name, required=meta.kind == "images") for name in names])


def _params() -> ParamSchema:
    """What a request may ask for besides predictions."""
    from mlflow.types import DataType, ParamSchema, ParamSpec

    return ParamSchema([ParamSpec("check", DataType.boolean, default=False)])


def _outputs(meta: Meta, *, has_coverage: bool) -> Schema:
    from mlflow.types import ColSpec, DataType, Schema

    if meta.task == "regression":
        names, more = ["predicted", *(["low", "high"] if has_coverage else [])], []
    else:
        names = [f"p_{name}" for name in meta.class_names]
        more = [ColSpec(DataType.string, name) for name in ("predicted", *(["set"] if has_coverage else []))]
    return Schema([*more, *(ColSpec(DataType.double, name) for name in names)])
