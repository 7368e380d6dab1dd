"""What MLflow runs to load a model that `wellfit.tracking.model.log_model` has logged; it is no module to import."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

import wellfit
from wellfit.errors import WellfitError


class ServedModel(PythonModel):
    """Rows as their owner has them to predictions; images are files, bytes, base64 or pixels in a column ``image``."""

    def load_context(self, context: Any) -> None:
        self._model = wellfit.load(context.artifacts["model"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """A line for each row: ``predicted``, ``p_<class>``, and ``low`` and ``high``, or ``set``, as JSON."""
        model = self._model
        try:
            rows = _images(model_input) if model.meta.kind == "images" else model_input
            return model.as_lines(model.predictions(model.encode(rows)))
        except WellfitError as error:  # of the caller: the server answers 400, and not 500
            raise MlflowException.invalid_parameter_value(str(error)) from None


def _images(rows: pd.DataFrame) -> Any:
    if "image" not in rows:
        raise WellfitError(f"images must stand in the column 'image', got {', '.join(map(str, rows.columns))}")
    cells = [_image(cell) for cell in rows["image"]]
    return cells if cells and isinstance(cells[0], bytes | Path) else np.array(cells)


def _image(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    try:
        return base64.b64decode(cell, validate=True)
    except binascii.Error:
        return Path(cell)


set_model(ServedModel())
