"""What MLflow runs to load a model that `wellfit.tracking.model.log_model` has logged; it is no module to import."""

from __future__ import annotations

import base64
import binascii
import logging
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

import wellfit
from wellfit.errors import WellfitError

if TYPE_CHECKING:
    from wellfit.serving.drift import Counted

MOST_SHOWN = 40  # characters of a wrong cell
COMPARED_ROWS = 10_000  # after so many, what moved is logged
LOG = logging.getLogger("wellfit")


class ServedModel(PythonModel):
    """Rows as their owner has them to predictions; images are paths, bytes, base64 or pixels in a column ``image``."""

    def load_context(self, context: Any) -> None:
        self._model = wellfit.load(context.artifacts["model"])
        self._counted: Counted | None = None
        self._lock = Lock()  # a server answers in several threads

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """A line for each row: ``predicted``, ``p_<class>``, and ``low`` and ``high``, or ``set``, as JSON.

        With ``check`` in ``params``, a line for each column instead, and one for the predictions: how far these rows
        are from the training rows.
        """
        model = self._model
        try:
            rows = _images(model_input) if model.meta.kind == "images" else model_input
            found, counted = model.predict_and_count(rows)
        except WellfitError as error:  # of the caller: the server answers 400, and not 500
            raise MlflowException.invalid_parameter_value(str(error)) from None
        if params and params.get("check"):
            return counted.compare().as_lines()
        self._watch(counted)
        return model.as_lines(found)

    def _watch(self, counted: Counted) -> None:
        """Adds up the rows of all requests, and logs what moved in the last 10,000."""
        with self._lock:
            if self._counted is not None:
                counted.add(self._counted)
            is_enough = counted.rows >= COMPARED_ROWS
            self._counted = None if is_enough else counted
        if is_enough:
            for sentence in counted.compare().sentences():
                LOG.warning("of the last %s rows, %s", f"{counted.rows:,}", sentence)


def _images(rows: pd.DataFrame) -> Any:
    if "image" not in rows:
        raise WellfitError(f"images must stand in the column 'image', got {', '.join(map(str, rows.columns))}")
    cells = [_image(cell) for cell in rows["image"]]
    return cells if cells and isinstance(cells[0], bytes | Path) else np.array(cells)


def _image(cell: Any) -> Any:
    # Text is never a path: whoever may ask a server for predictions may not have it open files.
    if not isinstance(cell, str):
        return cell
    try:
        return base64.b64decode(cell, validate=True)
    except binascii.Error:
        shown = cell if len(cell) <= MOST_SHOWN else f"{cell[:MOST_SHOWN]}..."
        raise WellfitError(f"text in the column 'image' must be the base64 of an image file, got {shown!r}") from None


set_model(ServedModel())
