"""Baselines: fitted to the training rows, chosen on the validation rows, in seconds.

A setting is chosen by the loss, log loss or squared error. The work of a fit is counted in rows x columns x outputs,
where an output is a class, or one for two classes or a number. Each baseline may do so much of it: of its settings as
many are tried as fit in, in their order.

scikit-learn takes rows in memory. Of more than fit into a budget a random sample is fitted to; all validation and test
rows are predicted, in parts.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.config import Config
from wellfit.data.meta import Meta
from wellfit.data.scratch import row_blocks, taken
from wellfit.data.store import Split
from wellfit.metrics.predictions import main_scores_of
from wellfit.metrics.scores import FloatArray

Setting = Mapping[str, float]
Predict = Callable[[Any], FloatArray]

CONSTANT = "constant"
MOST_BINS = 255  # categories of a column that gradient boosting can tell apart; the codes of others are numbers to it
TREES = 1000  # of a gradient boosting: with ten classes, an iteration adds ten
WITHOUT_IMPROVEMENT = 10  # iterations after which it stops
LINEAR_STEPS = 100  # of L-BFGS
ROW_COPIES = 4  # in float64, of a row while it is standardized and fitted to
FEWEST_ROWS = 100  # of a sample
SAMPLE = "rows"  # the key of a sample's size among the settings


class BaselineConfig(Config):
    """The section ``baseline``."""

    enabled: bool


class Baseline(NamedTuple):
    """A kind of model.

    Attributes:
        title: in print.
        fit: from training rows, validation rows, what is known of the data, and a setting, to a function that predicts,
            and what more was chosen by the validation rows.
        inputs: from rows as they are stored to what ``fit`` and the function take.
        settings: to choose from, the most promising first.
        most_work: that all settings together may do.
        is_required: whether the first setting is tried however much work it is.
        column_bytes: that each column takes in memory beside the rows.
    """

    title: str
    fit: Callable[[Split, Split, Meta, Setting], tuple[Predict, Setting]]
    inputs: Callable[[NDArray[Any], Meta], Any]
    settings: Sequence[Setting]
    most_work: float
    is_required: bool = True
    column_bytes: int = 0


class Fitted(NamedTuple):
    """A baseline with the setting that was the best on the validation rows.

    Attributes:
        name: in the table of baselines.
        setting: what was chosen.
        validation: its main scores on the validation rows, the loss it was chosen by among them.
        predictions: of the test rows: (n, C) probabilities of the classes, or (n,) numbers in the target's unit.
    """

    name: str
    setting: Setting
    validation: Mapping[str, float]
    predictions: FloatArray


def fit_baselines(
    train: Split, val: Split, test_rows: NDArray[Any], meta: Meta, budget: int | None = None
) -> list[Fitted]:
    """Fits all baselines that the data are not too large for.

    Args:
        train: the training rows; their weights count.
        val: the validation rows; likewise.
        test_rows: x of the test rows, (n, ...).
        meta: of the data.
        budget: bytes that the rows of a fit may take in memory; None: as many as they take.
    """
    width = int(np.prod(meta.input_shape))
    most = sys.maxsize if budget is None else max(FEWEST_ROWS, budget // (ROW_COPIES * 8 * width))
    samples = _sample(train, most), _sample(val, most)
    if most < len(train.y):
        print(
            f"baselines are fitted to {most:,} of {len(train.y):,} training rows at random, as data.memory holds them"
        )
    work = len(samples[0].y) * width * _outputs(meta)
    fitted = []
    for name, baseline in BASELINES.items():
        settings = baseline.settings[: max(int(baseline.most_work // work), baseline.is_required)]
        if not settings:
            size = f"{work:,} rows x columns x outputs"
            print(f"{baseline.title} is left out: {size} are more than {baseline.most_work:,.0f}")
        elif budget is not None and width * baseline.column_bytes > budget:
            print(f"{baseline.title} is left out: what it keeps of {width:,} columns takes more than data.memory")
        elif name == CONSTANT:
            fitted.append(_best(name, settings, (train, val), val, test_rows, meta, most))
        elif not _can_learn(*samples, meta):
            print(f"{baseline.title} is left out: the training rows have a single target, or none that is in val")
        else:
            best = _best(name, settings, samples, val, test_rows, meta, most)
            fitted.append(best._replace(setting={**best.setting, SAMPLE: most}) if most < len(train.y) else best)
    return fitted


def _best(
    name: str,
    settings: Sequence[Setting],
    samples: tuple[Split, Split],
    val: Split,
    test_rows: NDArray[Any],
    meta: Meta,
    most: int,
) -> Fitted:
    """The setting that is best on all validation rows, fitted to training rows and to some of the validation rows.

    Args:
        name: of the baseline.
        settings: to choose from.
        samples: of the training and of the validation rows.
        val: all validation rows.
        test_rows: x of the test rows.
        meta: of the data.
        most: rows that fit into memory.
    """
    baseline = BASELINES[name]
    train, some = (rows._replace(x=baseline.inputs(rows.x, meta)) for rows in samples)

    def predicted(predict: Predict, rows: NDArray[Any]) -> FloatArray:
        if len(rows) <= most:
            return predict(baseline.inputs(rows, meta))
        return np.concatenate([predict(baseline.inputs(np.asarray(block), meta)) for block in row_blocks(rows)])

    val_weights = np.ones(len(val.y)) if val.weights is None else val.weights.astype(np.float64)
    loss = "log_loss" if meta.task == "classification" else "rmse"
    tried = []
    for setting in settings:
        predict, chosen = baseline.fit(train, some, meta, setting)
        of_val = predict(some.x) if len(val.y) <= most else predicted(predict, val.x)
        scores = main_scores_of(meta.task, val.y, of_val)(val_weights)
        tried.append((scores, {**setting, **chosen}, predict))
    scores, setting, predict = min(tried, key=lambda one: one[0][loss])
    return Fitted(name, setting, scores, predicted(predict, test_rows))


def _sample(split: Split, most: int) -> Split:
    """So many rows at random, in their order; all of them where there are no more."""
    if len(split.y) <= most:
        return split
    rows = np.sort(np.random.default_rng(0).permutation(len(split.y))[:most])
    return Split(
        taken(split.x, rows), split.y[rows], split.ids[rows], None if split.weights is None else split.weights[rows]
    )


def _outputs(meta: Meta) -> int:
    return len(meta.class_names) if len(meta.class_names) > 2 else 1


def _fit_constant(train: Split, val: Split, meta: Meta, setting: Setting) -> tuple[Predict, Setting]:
    """The classes' shares as probabilities, so that the most frequent one is predicted; the mean."""
    if meta.task == "classification":
        counts = np.bincount(train.y, train.weights, minlength=len(meta.class_names))
        shares = counts / counts.sum()
        return lambda rows: np.tile(shares, (len(rows), 1)), {}
    mean = np.average(np.asarray(train.y, np.float64), weights=train.weights)
    return lambda rows: np.full(len(rows), mean), {}


def _fit_linear(train: Split, val: Split, meta: Meta, setting: Setting) -> tuple[Predict, Setting]:
    """Logistic or ridge regression; ``l2`` is the strength of its penalty."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, Ridge

    if meta.task == "regression":
        ridge = Ridge(alpha=setting["l2"]).fit(train.x, np.asarray(train.y, np.float64), train.weights)
        return ridge.predict, {}
    logistic = LogisticRegression(C=1 / setting["l2"], max_iter=LINEAR_STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what has not converged is judged on validation rows, too
        logistic.fit(train.x, np.asarray(train.y), train.weights)
    return lambda rows: _of_all_classes(logistic.predict_proba(rows), logistic.classes_, meta), {}


def _fit_boosting(train: Split, val: Split, meta: Meta, setting: Setting) -> tuple[Predict, Setting]:
    """Gradient boosting on histograms; the validation rows tell how many iterations are the best."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    is_class = meta.task == "classification"
    model = (HistGradientBoostingClassifier if is_class else HistGradientBoostingRegressor)(
        learning_rate=setting["learning_rate"],
        max_leaf_nodes=int(setting["leaves"]),
        l2_regularization=setting["l2"],
        max_iter=TREES // _outputs(meta),
        early_stopping=True,
        n_iter_no_change=WITHOUT_IMPROVEMENT,
        categorical_features=_is_categorical(meta),
    )
    known = np.isin(val.y, train.y) if is_class else np.full(len(val.y), fill_value=True)
    model.fit(
        train.x,
        np.asarray(train.y),
        train.weights,
        X_val=val.x[known],
        y_val=np.asarray(val.y)[known],
        sample_weight_val=None if val.weights is None else val.weights[known],
    )
    best = max(1, int(np.argmax(model.validation_score_)))  # the first score is that of no iteration

    def predict(rows: FloatArray) -> FloatArray:
        staged = model.staged_predict_proba(rows) if is_class else model.staged_predict(rows)
        predictions: FloatArray = next(islice(staged, best - 1, None))
        return _of_all_classes(predictions, model.classes_, meta) if is_class else predictions

    return predict, {"iterations": best}


def _of_all_classes(probabilities: FloatArray, known: NDArray[np.int64], meta: Meta) -> FloatArray:
    """Columns of zeros, (n, C), for the classes that no training row has."""
    found = np.zeros((len(probabilities), len(meta.class_names)))
    found[:, known] = probabilities
    return found


def _can_learn(train: Split, val: Split, meta: Meta) -> bool:
    """Whether targets of the training rows differ, and some validation row is of a class that they have."""
    is_known = meta.task == "regression" or bool(np.isin(val.y, train.y).any())
    return is_known and bool(np.ptp(train.y) > 0)


def _as_stored(rows: NDArray[Any], meta: Meta) -> FloatArray:
    """Numbers with their gaps filled, flags and codes, (n, columns), or pixels; an unknown category is missing."""
    x = np.asarray(rows, np.float64).reshape(len(rows), -1)
    categorical = _is_categorical(meta)
    x[:, categorical] = np.where(x[:, categorical] < 0, np.nan, x[:, categorical])
    return x


def _is_categorical(meta: Meta) -> NDArray[np.bool_]:
    """Which columns of x are codes of categories, (columns,)."""
    counts = np.array(meta.category_counts)
    numbers = int(np.prod(meta.input_shape)) - len(counts)
    return np.concatenate([np.zeros(numbers, bool), counts <= MOST_BINS])


def _standardized(rows: NDArray[Any], meta: Meta) -> Any:
    """Numbers or pixels with mean 0 and variance 1, then zeros and a one for each category; sparse where it is so.

    Numbers beyond those of the training rows are bounded, as `wellfit.models.numeric.standard` bounds them.
    """
    from scipy.sparse import csr_array, hstack
    from sklearn.preprocessing import OneHotEncoder

    if meta.kind == "images":
        axes = (-1, 1, 1)
        pixels = np.asarray(rows, np.float32) - np.array(meta.mean, np.float32).reshape(axes)
        return (pixels / np.array(meta.std, np.float32).reshape(axes)).reshape(len(rows), -1)
    numbers = np.asarray(rows[:, : len(meta.mean)], np.float64)
    flags = [(0.0, 1.0)] * (len(meta.mean) - len(meta.quantiles))
    lowest, highest = np.transpose([*((column[0], column[-1]) for column in meta.quantiles), *flags])
    within = numbers.clip(lowest, highest)
    numbers = (within - meta.mean) / meta.std + np.tanh((numbers - within) / meta.std)
    if not meta.category_counts:
        return numbers
    encoder = OneHotEncoder(categories=[np.arange(count) for count in meta.category_counts], handle_unknown="ignore")
    codes = rows[:, len(meta.mean) :].astype(np.int64)
    return hstack([csr_array(numbers), encoder.fit_transform(codes)], format="csr")


def _unchanged(rows: NDArray[Any], meta: Meta) -> NDArray[Any]:
    return rows


BOOSTINGS = ((0.1, 31, 0.0), (0.05, 31, 1.0), (0.1, 15, 1.0), (0.1, 7, 1.0))
BASELINES: dict[str, Baseline] = {
    "gradient_boosting": Baseline(
        "gradient boosting",
        _fit_boosting,
        _as_stored,
        [{"learning_rate": rate, "leaves": leaves, "l2": l2} for rate, leaves, l2 in BOOSTINGS],
        most_work=4e7,  # about a second for each million in 100 iterations of a single core
        is_required=False,
        column_bytes=2**17,  # of histograms: 6 KiB for each of some twenty nodes
    ),
    "linear": Baseline(
        "a linear model",
        _fit_linear,
        _standardized,
        [{"l2": l2} for l2 in (100.0, 10.0, 1000.0, 1.0, 0.1)],
        most_work=1e9,  # about 25 seconds of a single core
    ),
    CONSTANT: Baseline("a constant", _fit_constant, _unchanged, [{}], most_work=0),
}
