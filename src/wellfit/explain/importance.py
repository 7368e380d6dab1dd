"""Permutation importance: how much worse the scores become when a column is shuffled over the rows."""

from collections.abc import Callable, Iterator, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.data.meta import Task
from wellfit.data.store import Split
from wellfit.explain.columns import Feature
from wellfit.explain.copies import Predict, predictions_of
from wellfit.metrics.intervals import COVERAGE
from wellfit.metrics.scores import FloatArray, IntArray, ratio


class RowScore(NamedTuple):
    """A score that comes from the mean loss of the rows.

    Attributes:
        losses: from targets (n,) and predictions to the loss of each row, (n,).
        is_root: whether the score is the root of the mean loss; or else, up to its sign and a constant, the mean.
    """

    losses: Callable[[FloatArray | IntArray, FloatArray], FloatArray]
    is_root: bool = False


def _log_losses(y: FloatArray | IntArray, probabilities: FloatArray) -> FloatArray:
    eps = np.finfo(np.float64).eps
    own = probabilities[np.arange(len(y)), y.astype(np.int64)]
    losses: FloatArray = -np.log(own.clip(eps, 1 - eps))
    return losses


# By task; columns are ranked by the first score.
SCORES: dict[Task, dict[str, RowScore]] = {
    "classification": {
        "log_loss": RowScore(_log_losses),
        "accuracy": RowScore(lambda y, probabilities: (probabilities.argmax(axis=1) != y).astype(np.float64)),
    },
    "regression": {"rmse": RowScore(lambda y, prediction: (prediction - y) ** 2, is_root=True)},
}


class Worsening(NamedTuple):
    """By how much a score becomes worse without each column, (columns,) each.

    Attributes:
        mean: over the shufflings; positive where the column helps.
        low: lower end of its 95 % interval.
        high: the upper end.
        spread: standard deviation between the shufflings; 0 where there is one only.
    """

    mean: FloatArray
    low: FloatArray
    high: FloatArray
    spread: FloatArray


class Importance(NamedTuple):
    """The importance of all columns of a table.

    Attributes:
        names: of the columns.
        rows: that were shuffled.
        repeats: shufflings of each column.
        scores: name of each score to its worsening, the score that columns are ranked by first.
    """

    names: tuple[str, ...]
    rows: int
    repeats: int
    scores: dict[str, Worsening]

    @property
    def order(self) -> NDArray[np.int64]:
        """The columns, the most important one first."""
        return np.argsort(-next(iter(self.scores.values())).mean, kind="stable")


def permutation_importance(
    predict: Predict, test: Split, task: Task, features: Sequence[Feature], repeats: int, seed: int
) -> Importance:
    """Shuffles each column over the rows, and scores what the model makes of it (Breiman 2001; Fisher et al. 2019).

    What belongs to one column, such as a number and its flag, is shuffled together. The intervals are those of the
    normal approximation over the rows: a row may be another one both where it is predicted and where its cell is given
    to another row, so both of its influences on a score are added up. That takes in the chance of the shuffling.

    Args:
        predict: the model.
        test: n rows with their targets and weights, which are positive.
        task: decides the scores.
        features: the columns.
        repeats: shufflings of each column.
        seed: of the shufflings.
    """
    x, y = np.asarray(test.x), np.asarray(test.y)
    n, random = len(y), np.random.default_rng(seed)
    weights = np.ones(n) if test.weights is None else np.asarray(test.weights, np.float64)
    orders = np.stack([random.permutation(n) for _ in range(len(features) * repeats)])

    def shuffled() -> Iterator[NDArray[np.float32]]:
        for i, order in enumerate(orders):
            stored = features[i // repeats].stored
            copy = x.copy()
            copy[:, stored] = x[order][:, stored]
            yield copy

    scores = SCORES[task]
    own = predict(x)
    before = {name: _scored(score, y, own, weights) for name, score in scores.items()}
    worse = {name: np.empty((len(features), repeats)) for name in scores}
    influence = {name: np.tile(-before[name][1], (len(features), 1)) for name in scores}  # (columns, n)
    for i, prediction in enumerate(predictions_of(predict, shuffled())):
        column, repeat = divmod(i, repeats)
        for name, score in scores.items():
            after, of_row = _scored(score, y, prediction, weights)
            worse[name][column, repeat] = after - before[name][0]
            influence[name][column] += of_row / repeats
            influence[name][column, orders[i]] += of_row / repeats
    found = {name: _worsening(worse[name], influence[name]) for name in scores}
    return Importance(tuple(feature.name for feature in features), n, repeats, found)


def _scored(
    score: RowScore, y: FloatArray | IntArray, prediction: FloatArray, weights: FloatArray
) -> tuple[float, FloatArray]:
    """The score, and the influence of each row on it, (n,): n times what it moves the score by."""
    losses = score.losses(y, prediction)
    mean = float((weights * losses).sum() / weights.sum())
    influence = weights / weights.mean() * (losses - mean)
    if not score.is_root:
        return mean, influence
    root = float(np.sqrt(mean))
    return root, ratio(influence, np.full(len(y), 2 * root))


def _worsening(worse: FloatArray, influence: FloatArray) -> Worsening:
    """Of differences (columns, repeats), and the influence of each row on their means, (columns, n)."""
    mean = worse.mean(axis=1)
    half = NormalDist().inv_cdf((1 + COVERAGE) / 2) * np.sqrt((influence**2).sum(axis=1)) / influence.shape[1]
    spread = worse.std(axis=1, ddof=1) if worse.shape[1] > 1 else np.zeros(len(mean))
    return Worsening(mean, mean - half, mean + half, spread)
