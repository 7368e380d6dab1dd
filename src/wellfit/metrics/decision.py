"""What is decided on validation rows, for rows to come: ``reports/evaluate/decision.json``."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.special import softmax

from wellfit.data.meta import Meta
from wellfit.metrics.calibration import Calibration, calibrate
from wellfit.metrics.conformal import (
    Coverage,
    Spread,
    class_bound,
    class_sets,
    fit_spread,
    interval_bound,
    intervals,
    measure_coverage,
)
from wellfit.metrics.folds import row_weights
from wellfit.metrics.intervals import EvaluateConfig
from wellfit.metrics.predictions import FIFTHS, ClassificationScores, fifths_of
from wellfit.metrics.scores import BoolArray, FloatArray
from wellfit.metrics.smearing import fit_smearing, smeared
from wellfit.metrics.threshold import DEFAULT_THRESHOLD, predicted_classes, threshold_curve

# Scores that the threshold moves.
OF_CLASSES = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "precision", "recall", "f1")


class Outputs(NamedTuple):
    """What a model puts out for the rows of a split, and the truth.

    Attributes:
        outputs: logits of all classes, (n, C), or standardized numbers, (n,).
        y: (n,) true class indices, or values in their own unit.
        weights: (n,) how much each row counts, or None where all count alike.
    """

    outputs: FloatArray
    y: NDArray[Any]
    weights: NDArray[np.float32] | None = None


class Decision(BaseModel):
    """How outputs of the model become predictions. What is not for the task has its default, which changes nothing.

    Attributes:
        temperature: that logits are divided by.
        threshold: probability above which the second of two classes is predicted.
        smearing: errors over which predictions of a transformed target are averaged, standardized.
        coverage: share of rows whose truth sets or intervals are to hold; None for neither of them.
        bound: of sets or intervals; None where the validation rows were too few, so that they hold everything.
        spread: by which the width of intervals follows the prediction.
        notes: what was decided and why, one sentence each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    temperature: float = 1.0
    threshold: float = DEFAULT_THRESHOLD
    smearing: tuple[float, ...] = ()
    coverage: float | None = None
    bound: float | None = None
    spread: Spread = Spread()
    notes: tuple[str, ...] = ()

    def predictions(self, outputs: FloatArray, meta: Meta) -> FloatArray:
        """Probabilities of the classes, (n, C), or numbers in the target's unit, (n,).

        Args:
            outputs: logits (n, C), or standardized numbers (n,).
            meta: of the data.
        """
        if meta.task == "classification":
            probabilities: FloatArray = softmax(outputs / self.temperature, axis=1)
            return probabilities
        return smeared(meta, outputs, np.array(self.smearing))

    def predicted(self, predictions: FloatArray) -> NDArray[Any]:
        """Indices of classes, (n,), or the numbers themselves; predictions as `predictions` gives them."""
        return predictions if predictions.ndim == 1 else predicted_classes(predictions, self.threshold)

    def sets(self, probabilities: FloatArray) -> BoolArray:
        """Which classes the set of each row holds, (n, C); probabilities as `predictions` gives them."""
        return class_sets(probabilities, self.reach)

    def intervals(self, prediction: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Lower and upper ends, (n,) each; predictions as `predictions` gives them."""
        return intervals(prediction, self.reach, self.spread)

    @property
    def reach(self) -> float:
        """The bound; infinity where there is none."""
        return np.inf if self.bound is None else self.bound


def decide(val: Outputs, train: Outputs | None, meta: Meta, config: EvaluateConfig) -> Decision:
    """Fits all that is decided on validation rows.

    Args:
        val: rows that the training did not use.
        train: rows that it used, from which the spread of residuals of numbers is learned; None: all spread alike.
        meta: of the data.
        config: the section ``evaluate``.
    """
    return _of_classes(val, meta, config) if meta.task == "classification" else _of_numbers(val, train, meta, config)


class Held(NamedTuple):
    """What sets or intervals say of test rows, and how often they hold the truth.

    Attributes:
        columns: of ``predictions.csv``, each with a cell for every row: ``set``, a JSON list of classes, or ``low`` and
            ``high``.
        coverage: of all rows, then by class or by fifth of the target; empty where no coverage was asked for.
    """

    columns: dict[str, list[Any]]
    coverage: list[Coverage]

    def metrics(self, asked: float | None) -> dict[str, float | None]:
        """What ``metrics.json`` says of the coverage of all rows, with its Wilson interval."""
        if not self.coverage:
            return {}
        found = self.coverage[0]
        numbers = {"asked": asked, "held": found.coverage, "held_low": found.low, "held_high": found.high}
        return {f"coverage/{name}": value for name, value in (numbers | {"mean_size": _finite(found.size)}).items()}


def hold(decision: Decision, predictions: FloatArray, test: Outputs, meta: Meta) -> Held:
    """Sets or intervals of test rows.

    Args:
        decision: of validation rows.
        predictions: as it makes them of the test rows.
        test: these rows.
        meta: of the data.
    """
    if decision.coverage is None:
        return Held({}, [])
    weights = row_weights(test.weights, len(test.y))
    if meta.task == "classification":
        y, sets = np.asarray(test.y), decision.sets(predictions)
        listed = [json.dumps([meta.class_names[i] for i in np.flatnonzero(row)], ensure_ascii=False) for row in sets]
        covered, size = sets[np.arange(len(y)), y], sets.sum(axis=1).astype(np.float64)
        return Held({"set": listed}, measure_coverage(covered, size, y, meta.class_names, weights))
    values = np.asarray(test.y, np.float64)
    low, high = decision.intervals(predictions)
    covered = (low <= values) & (values <= high)
    coverage = measure_coverage(covered, high - low, fifths_of(values, values), FIFTHS, weights)
    return Held({"low": low.tolist(), "high": high.tolist()}, coverage)


def other_scores(decision: Decision, test: Outputs, meta: Meta, calibration_bins: int) -> dict[str, float]:
    """What decided numbers are, and scores of the test rows without them; empty where nothing was changed.

    Args:
        decision: of validation rows.
        test: test rows.
        meta: of the data.
        calibration_bins: bins of ``ece``.

    Returns:
        ``calibration/temperature``, and ``calibration/none/log_loss`` and ``ece`` of the probabilities without it;
        ``threshold/chosen``, and ``threshold/at_half/NAME`` of the scores of predicted classes at 0.5.
    """
    y, weights = np.asarray(test.y), row_weights(test.weights, len(test.y))

    def scores(other: Decision) -> dict[str, float]:
        return ClassificationScores(y, other.predictions(test.outputs, meta), calibration_bins, other.threshold)(
            weights
        )

    found = {}
    if decision.temperature != 1.0:
        without = scores(decision.model_copy(update={"temperature": 1.0}))
        found["calibration/temperature"] = decision.temperature
        found |= {f"calibration/none/{name}": without[name] for name in ("log_loss", "ece")}
    if decision.threshold != DEFAULT_THRESHOLD:
        at_half = scores(decision.model_copy(update={"threshold": DEFAULT_THRESHOLD}))
        found["threshold/chosen"] = decision.threshold
        found |= {f"threshold/at_half/{name}": at_half[name] for name in OF_CLASSES}
    return found


def _of_classes(val: Outputs, meta: Meta, config: EvaluateConfig) -> Decision:
    y, weights = np.asarray(val.y), row_weights(val.weights, len(val.y))
    found = calibrate(val.outputs, y, weights, config.calibration, config.seed)
    decision = Decision(temperature=found.temperature)
    probabilities = decision.predictions(val.outputs, meta)
    notes, threshold = [_of_calibration(found)], config.threshold
    if not isinstance(threshold, float):
        curve = threshold_curve(y, probabilities[:, 1], weights, threshold)
        threshold = curve.chosen
        at_half = curve.at(DEFAULT_THRESHOLD)
        notes.append(
            f"threshold {threshold:.4g} has the best {curve.words} of validation rows, {curve.at(threshold):.4g} "
            f"({at_half:.4g} at {DEFAULT_THRESHOLD})"
        )
    bound = None
    if config.coverage is not None:
        bound = class_bound(probabilities, y, weights, config.coverage)
        notes.append(_of_few_rows(bound, weights, config.coverage, "sets hold all classes"))
    return Decision(
        temperature=found.temperature,
        threshold=threshold,
        coverage=config.coverage,
        bound=_finite(bound),
        notes=tuple(filter(None, notes)),
    )


def _of_numbers(val: Outputs, train: Outputs | None, meta: Meta, config: EvaluateConfig) -> Decision:
    weights = row_weights(val.weights, len(val.y))
    smearing, note = fit_smearing(meta, val.outputs, val.y, weights, config.seed)
    decision = Decision(smearing=tuple(smearing.tolist()), notes=(note,) if note else ())
    if config.coverage is None:
        return decision
    spread = Spread()
    if train is not None:
        known = decision.predictions(train.outputs, meta)
        spread = fit_spread(known, train.y - known, row_weights(train.weights, len(train.y)))
    prediction = decision.predictions(val.outputs, meta)
    bound, spread = interval_bound(prediction, np.asarray(val.y, np.float64), weights, config.coverage, spread)
    few = _of_few_rows(bound, weights, config.coverage, "intervals are infinite")
    notes = filter(None, [*decision.notes, few])
    return decision.model_copy(
        update={"coverage": config.coverage, "bound": _finite(bound), "spread": spread, "notes": tuple(notes)}
    )


def _of_calibration(found: Calibration) -> str:
    if found.fitted is None or found.gain is None:
        return ""
    mean, low, high = found.gain
    change = f"the log loss of validation rows by {mean:.4g} [{low:.4g}, {high:.4g}]"
    if found.temperature == found.fitted:
        return f"logits are divided by the temperature {found.fitted:.4g}, which changes {change}"
    return f"probabilities are left as they are: the temperature {found.fitted:.4g} would change {change}"


def _of_few_rows(bound: float, weights: FloatArray, coverage: float, consequence: str) -> str:
    if np.isfinite(bound):
        return ""
    return f"{np.count_nonzero(weights)} validation rows are too few for evaluate.coverage {coverage:g}: {consequence}"


def _finite(bound: float | None) -> float | None:
    return bound if bound is not None and np.isfinite(bound) else None
