"""A trained model as its users meet it: from rows as they have them to predictions, by scikit-learn's conventions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.data.meta import Meta
from wellfit.data.readers.image_decoding import read_images
from wellfit.errors import WellfitError
from wellfit.metrics.decision import Decision
from wellfit.serving.drift import Comparison, Counted
from wellfit.serving.model import TrainedModel
from wellfit.serving.profile import Profile, observe
from wellfit.serving.rows import Reading, Summary, as_arrow, encode_table

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]
GIVEN = Path("the rows")  # what messages call rows that come from no file


class Predictions(NamedTuple):
    """Predictions of n rows.

    Attributes:
        predicted: (n,) names of classes, or numbers in the target's unit.
        probabilities: (n, C) of the classes; None for numbers.
        low: (n,) ends of the intervals of numbers; None for classes, or where no coverage was asked for.
        high: likewise.
        sets: (n, C) whether the set of a row holds a class; None for numbers, or where no coverage was asked for.
    """

    predicted: NDArray[Any]
    probabilities: FloatArray | None
    low: FloatArray | None
    high: FloatArray | None
    sets: NDArray[np.bool_] | None


class Predictor:
    """Predicts new rows.

    Rows are a DataFrame with the columns of the training file, in any order, or an array (n, inputs) in their order; or
    images: files, what stands in files as bytes, or arrays (n, channels, height, width), (n, height, width, channels),
    (n, height, width) or (n, pixels), of 0 to 255 or as the training had them.

    Args:
        model: from encoded rows to outputs.
        meta: of the data that the model was trained on.
        decision: how outputs become predictions.
        reading: how rows of a table are read; None for images.
        profile: what the training rows were.

    Attributes:
        task: classification or regression.
        classes_: (C,) names of the classes, in the order of probabilities; of a classification.
        feature_names_in_: (inputs,) names of the columns of a table.
        n_features_in_: how many; of images pixels in all channels.
    """

    def __init__(
        self, model: TrainedModel, meta: Meta, decision: Decision, reading: Reading | None, profile: Profile
    ) -> None:
        self.model, self.meta, self.decision = model, meta, decision
        self.reading, self.profile = reading, profile
        self.task = meta.task
        if meta.class_names:
            self.classes_ = np.array(meta.class_names, dtype=object)
        if meta.kind == "table":
            self.feature_names_in_ = np.array([source.name for source in meta.inputs], dtype=object)
            self.n_features_in_ = len(self.feature_names_in_)
        else:
            self.n_features_in_ = int(np.prod(meta.input_shape))

    def __sklearn_tags__(self) -> Any:
        """By which scikit-learn's scorers tell classifiers from regressors; they alone call it."""
        from sklearn.utils import ClassifierTags, RegressorTags, Tags, TargetTags

        if self.task == "classification":
            return Tags("classifier", TargetTags(required=False), classifier_tags=ClassifierTags())
        return Tags("regressor", TargetTags(required=False), regressor_tags=RegressorTags())

    def predict(self, rows: Any) -> NDArray[Any]:
        """Names of classes, (n,), or numbers in the target's unit, (n,).

        Raises:
            WellfitError: rows that cannot be read.
        """
        return self.predictions(self.encode(rows)).predicted

    def predict_proba(self, rows: Any) -> FloatArray:
        """Probabilities, (n, C), in the order of ``classes_``.

        Raises:
            WellfitError: rows that cannot be read.
            AttributeError: numbers are predicted.
        """
        if self.task == "regression":
            raise AttributeError("predict_proba is for classes, and this model predicts numbers")
        probabilities = self.predictions(self.encode(rows)).probabilities
        assert probabilities is not None
        return probabilities

    def predict_interval(self, rows: Any) -> FloatArray:
        """Lower and upper ends, (n, 2), that hold the truth as often as ``evaluate.coverage`` asked for.

        Raises:
            WellfitError: rows that cannot be read, or a model without intervals.
            AttributeError: classes are predicted; see `predict_set`.
        """
        if self.task == "classification":
            raise AttributeError("predict_interval is for numbers, and this model predicts classes: use predict_set")
        found = self.predictions(self.encode(rows))
        if found.low is None or found.high is None:
            raise WellfitError("the model has no intervals, as evaluate.coverage was null")
        return np.column_stack([found.low, found.high])

    def predict_set(self, rows: Any) -> NDArray[np.bool_]:
        """Which classes, (n, C), the set of each row holds, which holds the truth as often as asked for.

        Raises:
            WellfitError: rows that cannot be read, or a model without sets.
            AttributeError: numbers are predicted; see `predict_interval`.
        """
        if self.task == "regression":
            raise AttributeError("predict_set is for classes, and this model predicts numbers: use predict_interval")
        sets = self.predictions(self.encode(rows)).sets
        if sets is None:
            raise WellfitError("the model has no sets, as evaluate.coverage was null")
        return sets

    def compare(self, rows: Any) -> Comparison:
        """Compares rows, and what is predicted of them, with the training rows: have they changed?

        Raises:
            WellfitError: rows that cannot be read.
        """
        return self.predict_and_count(rows)[1].compare()

    def predict_and_count(self, rows: Any) -> tuple[Predictions, Counted]:
        """Everything that is predicted of rows, and their counts, to compare them with the training rows.

        Raises:
            WellfitError: rows that cannot be read.
        """
        counted = Counted(self.profile)
        summary = Summary(counted)
        return self.predictions(self.encode(rows, summary), summary), counted

    def encode(self, rows: Any, summary: Summary | None = None) -> NDArray[Any]:
        """Rows as the training rows are stored: see `wellfit.data.store.Split.x`.

        Args:
            rows: a DataFrame or an array of a table; files, bytes or an array of images.
            summary: gets what is odd about rows of a table, and the counts of rows that are compared with the training.

        Raises:
            WellfitError: rows that cannot be read.
        """
        if self.meta.kind == "images":
            pixels = self._encode_images(rows)
            if summary is not None and summary.counted is not None:
                summary.counted.add_rows(observe(self.meta, pixels, None))
            return pixels
        assert self.reading is not None
        table = as_arrow(self._as_frame(rows))
        return encode_table(self.meta, self.reading, table, GIVEN, 0, summary or Summary())

    def predictions(self, encoded: NDArray[Any], summary: Summary | None = None) -> Predictions:
        """Everything that is predicted of rows that have been encoded.

        Args:
            encoded: as `encode` returned them.
            summary: gets the counts of predictions that are compared with those of the validation rows.
        """
        found = self.decision.predictions(self.model.outputs(encoded), self.meta)
        if summary is not None and summary.counted is not None:
            summary.counted.add_predictions(self.decision.predicted(found))
        has_coverage = self.decision.coverage is not None
        if self.task == "regression":
            low, high = self.decision.intervals(found) if has_coverage else (None, None)
            return Predictions(found, None, low, high, None)
        predicted = self.classes_[self.decision.predicted(found)]
        return Predictions(predicted, found, None, None, self.decision.sets(found) if has_coverage else None)

    def as_lines(self, found: Predictions, *, proba: bool = True, interval: bool = True) -> pd.DataFrame:
        """Predictions as a table: ``predicted``, then ``p_<class>``, and ``low`` and ``high``, or ``set`` as JSON.

        Args:
            found: what `predictions` returned.
            proba: whether the probabilities are wanted.
            interval: whether intervals or sets are wanted, where there are any.
        """
        import pandas as pd

        columns: dict[str, Any] = {"predicted": found.predicted}
        if proba and found.probabilities is not None:
            columns |= {f"p_{name}": each for name, each in zip(self.classes_, found.probabilities.T, strict=True)}
        if interval and found.low is not None:
            columns |= {"low": found.low, "high": found.high}
        if interval and found.sets is not None:
            columns["set"] = [json.dumps(self.classes_[row].tolist(), ensure_ascii=False) for row in found.sets]
        return pd.DataFrame(columns)

    def _as_frame(self, rows: Any) -> pd.DataFrame:
        import pandas as pd

        if isinstance(rows, pd.DataFrame):
            if (twice := rows.columns[rows.columns.duplicated()]).size:
                raise WellfitError(f"the rows have two columns named {str(twice[0])!r}")
            return rows
        try:
            values = np.asarray(rows)
        except ValueError as error:
            raise WellfitError(f"rows must be a DataFrame or an array (n, {self.n_features_in_}): {error}") from None
        if values.ndim != 2 or values.shape[1] != self.n_features_in_:
            raise WellfitError(
                f"rows must be a DataFrame, or an array (n, {self.n_features_in_}), got the shape {values.shape}"
            )
        return pd.DataFrame(values, columns=self.feature_names_in_)

    def _encode_images(self, rows: Any) -> NDArray[Any]:
        if isinstance(rows, str | Path | bytes):
            raise WellfitError("images must be a list of files or bytes, or an array, got a single one")
        if isinstance(rows, Sequence) and rows and all(isinstance(row, str | Path | bytes) for row in rows):
            pictures = [row if isinstance(row, bytes) else Path(row) for row in rows]
            names = [f"image {i}" if isinstance(row, bytes) else str(row) for i, row in enumerate(rows)]
            return read_images(pictures, names, self.meta.input_shape)
        try:
            pixels = np.asarray(rows)
        except ValueError as error:
            raise WellfitError(f"images must be files, bytes or an array: {error}") from None
        if pixels.dtype.kind not in "uif":
            raise WellfitError(f"images must be files, bytes or numbers, got {pixels.dtype}")
        channels, height, width = shape = self.meta.input_shape
        last = (height, width, channels)
        if pixels.shape[1:] == last and last != shape:
            pixels = pixels.transpose(0, 3, 1, 2)
        fits = pixels.shape[1:] in (shape, (self.n_features_in_,)) or (pixels.shape[1:], channels) == (shape[1:], 1)
        if not pixels.ndim or not fits:
            raise WellfitError(
                f"images must be files, bytes, or an array (n, {channels}, {height}, {width}), got the shape "
                f"{pixels.shape}"
            )
        if not np.isfinite(pixels).all():
            raise WellfitError("images must have finite pixels")
        if pixels.dtype.kind == "f" and 0 < pixels.max(initial=0) <= 1:
            raise WellfitError("pixels must be from 0 to 255, got none above 1: multiply them by 255")
        # As float32, for pixels between whole numbers.
        return np.ascontiguousarray(pixels.reshape(-1, *shape), np.uint8 if pixels.dtype == np.uint8 else np.float32)
