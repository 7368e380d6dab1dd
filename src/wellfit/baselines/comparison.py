"""How the network compares with the baselines on the test rows."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from wellfit.baselines.fit import BASELINES, CONSTANT, Fitted
from wellfit.data.meta import Meta
from wellfit.data.store import Split
from wellfit.metrics.intervals import Estimate, EvaluateConfig, bootstrap_intervals, paired_difference
from wellfit.metrics.names import is_higher_better, is_share, score_name
from wellfit.metrics.predictions import main_scores_of, scores_of
from wellfit.metrics.scores import FloatArray
from wellfit.metrics.threshold import DEFAULT_THRESHOLD

NO_ORDER = 0.55  # ROC AUC below which rows are hardly in order; 0.5 is chance


class Compared(NamedTuple):
    """A baseline on the test rows.

    Attributes:
        fitted: what it is.
        scores: all scores; the two main ones, which models are compared by, with ``_low`` and ``_high``.
        gains: how much better the network is, for each of the main scores.
    """

    fitted: Fitted
    scores: Mapping[str, float | None]
    gains: Mapping[str, Estimate]

    @property
    def title(self) -> str:
        """Its name in print."""
        return BASELINES[self.fitted.name].title

    def metrics(self) -> dict[str, float | None]:
        """Scores and gains as ``metrics.json`` has them, such as ``baseline/linear/accuracy_gain_low``."""
        found = flat(self.scores, self.gains)
        return {f"baseline/{self.fitted.name}/{name}": value for name, value in found.items()}


def compare(
    predictions: FloatArray, baselines: Sequence[Fitted], test: Split, meta: Meta, config: EvaluateConfig
) -> list[Compared]:
    """Scores baselines on the test rows, beside the network, at a threshold of 0.5 whatever ``evaluate.threshold`` is.

    Args:
        predictions: of the network: (n, C) probabilities, or (n,) numbers.
        baselines: with their predictions of the same rows.
        test: the rows.
        meta: of the data.
        config: of the bootstrap; its resamples are those of the network's own scores.

    Raises:
        WellfitError: a prediction is NaN or infinite.
    """
    return [Compared(one, *beside(predictions, one.predictions, test, meta, config)) for one in baselines]


def beside(
    predictions: FloatArray, others: FloatArray, test: Split, meta: Meta, config: EvaluateConfig
) -> tuple[dict[str, float | None], dict[str, Estimate]]:
    """The scores of another model on the test rows, and how much better the first one is, as `Compared` has them.

    Args:
        predictions: of the first model: (n, C) probabilities, or (n,) numbers.
        others: of the other one.
        test: the rows.
        meta: of the data.
        config: of the bootstrap.
    """
    weights = np.ones(len(test.y)) if test.weights is None else test.weights.astype(np.float64)
    bootstrap = (len(test.y), config.resamples, config.seed, test.weights)
    first, main = (main_scores_of(meta.task, test.y, each) for each in (predictions, others))
    scores = scores_of(meta.task, test.y, others, config.calibration_bins)(weights)
    defined = {name: None if math.isnan(value) else value for name, value in scores.items()}
    differences = paired_difference(first, main, *bootstrap)
    gains = {name: value if is_higher_better(name) else _negative(value) for name, value in differences.items()}
    return defined | bootstrap_intervals(main, *bootstrap), gains


def flat(scores: Mapping[str, float | None], gains: Mapping[str, Estimate]) -> dict[str, float | None]:
    """Scores and gains as ``metrics.json`` has them, such as ``accuracy_gain_low``."""
    found = dict(scores)
    for name, gain in gains.items():
        found |= {f"{name}_gain": gain.mean, f"{name}_gain_low": gain.low, f"{name}_gain_high": gain.high}
    return found


def _negative(value: Estimate) -> Estimate:
    return Estimate(-value.mean, -value.high, -value.low)


def base_rate(compared: Sequence[Compared]) -> Mapping[str, float | None]:
    """The scores of the constant, which has learned nothing from the columns; empty where it was not fitted."""
    return next((one.scores for one in compared if one.fitted.name == CONSTANT), {})


def conclusion(compared: Sequence[Compared], threshold: float = DEFAULT_THRESHOLD) -> str:
    """Whether the network is worth having, in a sentence.

    It is compared with the baseline that was the best on the validation rows, so that the choice owes nothing to the
    test rows, by the main score, and where that leaves it open by the other one. Empty where there is no baseline.

    Args:
        compared: the baselines.
        threshold: of the network; where it is another than that of the comparison, this is said.
    """
    if not compared:
        return ""
    rival = _best_on_validation(compared)
    said = gain_in_words(rival.gains, "the network", rival.title, advice=" here; use it")
    return said if threshold == DEFAULT_THRESHOLD else f"{said} (both at a threshold of {DEFAULT_THRESHOLD})"


def worse_than_a_constant(metrics: Mapping[str, float | None], constant: Mapping[str, float | None]) -> str:
    """That the network has learned nothing, in a sentence; empty where it has, or where that cannot be told.

    Of numbers R² says so. Of classes the probabilities of a good network may be worse than the shares of the classes,
    as with weights of classes; so its order of the rows has to be as bad.

    Args:
        metrics: of the network on the test rows.
        constant: of the constant, as `base_rate` has them.
    """
    r2, auc, loss, rate = (metrics.get("r2"), metrics.get("roc_auc"), metrics.get("log_loss"), constant.get("log_loss"))
    if r2 is not None and r2 < 0:
        return f"the network is worse than a constant: R² is {r2:.2g}, below 0"
    if auc is not None and auc < NO_ORDER and loss is not None and rate is not None and loss > rate:
        return f"the network is worse than a constant: log loss {loss:.3g} instead of {rate:.3g}, and ROC AUC {auc:.3g}"
    return ""


def gain_in_words(gains: Mapping[str, Estimate], one: str, other: str, advice: str = "") -> str:
    """Which of two models is better, by the first of the gains, and by the other one where that disagrees or decides.

    Args:
        gains: of the one over the other, for each of the main scores.
        one: its name.
        other: likewise.
        advice: what to add where the other one is better by the first score.
    """
    main, second = gains

    def better(name: str, advice: str = "") -> str:
        gain, score = gains[name], score_name(name)
        if gain.mean > 0:
            return f"{one} is {difference_in_words(name, gain)} better than {other} in {score}"
        return f"{other} is {difference_in_words(name, _negative(gain))} better than {one} in {score}{advice}"

    if gains[main].excludes_zero:
        disagree = gains[second].excludes_zero and gains[main].mean * gains[second].mean < 0
        return better(main, advice) + (f"; {better(second)}" if disagree else "")
    unclear = f"no clear difference between {one} and {other} in {score_name(main)}: "
    unclear += difference_in_words(main, gains[main])
    return f"{unclear}; {better(second)}" if gains[second].excludes_zero else unclear


def _best_on_validation(compared: Sequence[Compared]) -> Compared:
    loss = next(name for name in ("log_loss", "rmse") if name in compared[0].gains)
    return min(compared, key=lambda one: one.fitted.validation[loss])


def difference_in_words(name: str, difference: Estimate) -> str:
    """A difference of a score and its interval, such as ``0.42 points [0.11, 0.71]``.

    A point is a hundredth of a share. There are two digits of the interval's width.
    """
    factor, unit = (100, " points") if is_share(name) else (1, "")
    width = factor * (difference.high - difference.low)
    decimals = max(0, 1 - math.floor(math.log10(width))) if width > 0 else 2
    mean, low, high = (f"{round(factor * value, decimals) + 0.0:.{decimals}f}" for value in difference)
    return f"{mean}{unit} [{low}, {high}]"
