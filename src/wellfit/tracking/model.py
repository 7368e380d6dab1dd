"""A model in MLflow: a pyfunc that takes rows as their owner has them."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from wellfit.tracking.run import Run
from wellfit.tracking.store import open_client, store_uri, unreachable_in_one_line

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.types import Schema

    from wellfit.data.store import Meta

NAME = "model"
PACKAGE = Path(__file__).parents[1]  # the code that loads the model, which goes with it
SERVED = Path(__file__).with_name("served.py")
QUIET = ("mlflow.models.model", "mlflow.pyfunc", "mlflow.utils.environment", "mlflow.utils.requirements_utils")


def log_model(run: Run, folder: Path, meta: Meta, example: pd.DataFrame, *, has_coverage: bool) -> str:
    """Logs a model folder as the run's model, and returns its id in MLflow.

    Args:
        run: that trained it.
        folder: as `wellfit.serving.folder.save_model` wrote it.
        meta: of the data that it was trained on.
        example: a few rows as their owner has them, without what is no input.
        has_coverage: whether it gives intervals or sets.
    """
    import mlflow
    from mlflow.models import Model, ModelSignature

    uri = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(store_uri())
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    levels = {name: logging.getLogger(name).level for name in QUIET}
    for name in QUIET:  # they talk of environments and type hints that are not ours
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with unreachable_in_one_line(), warnings.catch_warnings(action="ignore"):
            client, earlier = open_client(), _models_of(run)
            params = client.get_run(run.id).data.params
            # Made here, as MLflow would put it into the experiment that is called Default.
            made = client.create_logged_model(run.experiment_id, NAME, run.id, params=params, model_type=meta.task)
            Model.log(
                None,
                flavor=mlflow.pyfunc,
                model_id=made.model_id,
                run_id=run.id,
                python_model=str(SERVED),
                artifacts={"model": str(folder)},
                code_paths=[str(PACKAGE)],
                pip_requirements=["mlflow==" + mlflow.__version__, *(folder / "requirements.txt").read_text().split()],
                signature=ModelSignature(_inputs(meta), _outputs(meta, has_coverage=has_coverage)),
                input_example=example,
                metadata={"wellfit": "card.md in artifacts/ says what it is for"},
            )
            for model_id in earlier:  # of an evaluation before
                client.delete_logged_model(model_id)
    finally:
        mlflow.set_tracking_uri(uri)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
    return str(made.model_id)


def _models_of(run: Run) -> list[str]:
    """The ids of the models that a run has logged."""
    query = f"source_run_id = '{run.id}'"
    found = open_client().search_logged_models([run.experiment_id], filter_string=query)
    return [str(model.model_id) for model in found]


def _inputs(meta: Meta) -> Schema:
    """Columns of any type: MLflow would refuse 3 where 3.0 is expected, and the model reads both, and text as well."""
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType

    names = ["image"] if meta.kind == "images" else [source.name for source in meta.inputs]
    anything = AnyType()  # type: ignore[no-untyped-call]
    return Schema([ColSpec(anything, name, required=meta.kind == "images") for name in names])


def _outputs(meta: Meta, *, has_coverage: bool) -> Schema:
    from mlflow.types import ColSpec, DataType, Schema

    if meta.task == "regression":
        names, more = ["predicted", *(["low", "high"] if has_coverage else [])], []
    else:
        names = [f"p_{name}" for name in meta.class_names]
        more = [ColSpec(DataType.string, name) for name in ("predicted", *(["set"] if has_coverage else []))]
    return Schema([*more, *(ColSpec(DataType.double, name) for name in names)])
