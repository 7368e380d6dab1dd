import math
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from wellfit.errors import WellfitError
from wellfit.metrics.intervals import bootstrap_intervals
from wellfit.metrics.predictions import (
    FIFTHS,
    ClassificationScores,
    confidence_bins,
    confusion_counts,
    fifths_of,
    main_scores_of,
    per_class_report,
    regression_scores,
)

BINS = 15


def classification_scores(y, probabilities, weights, bins):
    return ClassificationScores(y, probabilities, bins)(np.ones(len(y)) if weights is None else weights)


def predictions(seed, n=400, classes=4, decimals=None):
    """Labels and fallible probabilities; few decimals make ties."""
    random = np.random.default_rng(seed)
    y = random.choice(classes, size=n, p=np.arange(1, classes + 1) / np.arange(1, classes + 1).sum())
    logits = random.normal(size=(n, classes))
    logits[np.arange(n), y] += 1.5
    if decimals is not None:
        logits = logits.round(decimals)
    odds = np.exp(logits)
    return y, odds / odds.sum(axis=1, keepdims=True)


NAMES = ["accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "log_loss", "roc_auc", "ece"]
NAMES += ["precision", "recall", "f1", "average_precision"]


def sklearn_scores(y, probabilities, weights):
    predicted = probabilities.argmax(axis=1)
    labels = np.arange(probabilities.shape[1])
    ranked = probabilities[:, 1] if len(labels) == 2 else probabilities
    w = {"sample_weight": weights}
    p = {"average": "binary" if len(labels) == 2 else "macro", "zero_division": 0} | w
    return {
        "accuracy": metrics.accuracy_score(y, predicted, **w),
        "balanced_accuracy": metrics.balanced_accuracy_score(y, predicted, **w),
        "macro_f1": metrics.f1_score(y, predicted, average="macro", zero_division=0, **w),
        "weighted_f1": metrics.f1_score(y, predicted, average="weighted", zero_division=0, **w),
        "log_loss": metrics.log_loss(y, probabilities, labels=labels, **w),
        "roc_auc": metrics.roc_auc_score(y, ranked, multi_class="ovr", average="macro", **w),
        "ece": slow_ece(y, probabilities, np.ones(len(y)) if weights is None else weights, BINS),
        "precision": metrics.precision_score(y, predicted, **p),
        "recall": metrics.recall_score(y, predicted, **p),
        "f1": metrics.f1_score(y, predicted, **p),
        "average_precision": metrics.average_precision_score(y, ranked, **w),
    }


def slow_ece(y, probabilities, weights, bins):
    ece = 0.0
    for b in range(bins):
        weight = correct = confident = 0.0
        for row, label, w in zip(probabilities, y, weights, strict=True):
            if b / bins < row.max() <= (b + 1) / bins:
                weight += w
                correct += w * (row.argmax() == label)
                confident += w * row.max()
        if weight > 0:
            ece += weight / weights.sum() * abs(correct / weight - confident / weight)
    return ece


@pytest.mark.parametrize("weighting", ["none", "fractions", "powers"])
@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("decimals", [None, 0])
def test_classification_scores_equal_scikit_learn(classes, decimals, weighting):
    y, probabilities = predictions(seed=classes, classes=classes, decimals=decimals)
    random = np.random.default_rng(1)
    weights = {"none": None, "fractions": random.random(len(y)), "powers": 10.0 ** random.integers(-3, 4, len(y))}
    scores = classification_scores(y, probabilities, weights[weighting], BINS)
    assert scores == pytest.approx(sklearn_scores(y, probabilities, weights[weighting]), rel=1e-12)
    assert list(scores) == NAMES
    assert {type(value) for value in scores.values()} == {float}


@pytest.mark.parametrize("classes", [2, 5])
def test_whole_weights_are_repeated_rows(classes):
    y, probabilities = predictions(seed=0, classes=classes, decimals=1)
    counts = np.random.default_rng(2).integers(0, 4, len(y))
    repeated = np.repeat(y, counts), np.repeat(probabilities, counts, axis=0)
    scores = classification_scores(y, probabilities, counts.astype(float), BINS)
    assert scores == pytest.approx(sklearn_scores(*repeated, None), rel=1e-12)


def test_a_class_whose_rows_all_weigh_nothing_does_not_occur():
    y, probabilities = predictions(seed=3, classes=4)
    probabilities[:, 3] = 0.0  # never predicted either
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    kept = y < 3
    scores = classification_scores(y, probabilities, kept.astype(float), BINS)
    without = sklearn_scores(y[kept], probabilities[kept, :3], None)
    assert scores == pytest.approx(without, rel=1e-12)


def test_log_loss_clips_a_certain_mistake():
    y, probabilities = np.array([0, 1]), np.array([[0.0, 1.0], [0.0, 1.0]])
    scores = classification_scores(y, probabilities, None, BINS)
    assert scores["log_loss"] == pytest.approx(metrics.log_loss(y, probabilities), rel=1e-12)
    assert scores["log_loss"] > 10


@pytest.mark.parametrize("classes", [1, 2, 3])
def test_roc_auc_of_a_single_class_is_nan(classes):
    y = np.zeros(5, int)
    probabilities = np.full((5, classes), 1 / classes)
    scores = classification_scores(y, probabilities, None, BINS)
    assert math.isnan(scores.pop("roc_auc"))
    average_precision = scores.pop("average_precision")
    assert math.isnan(average_precision) if classes == 2 else average_precision == 1.0  # of class 1, or of those there
    assert all(math.isfinite(value) for value in scores.values())


def test_roc_auc_of_ties_is_a_half():
    scores = classification_scores(np.array([0, 1, 0, 1, 1]), np.full((5, 2), 0.5), None, BINS)
    assert scores["roc_auc"] == 0.5
    assert scores["average_precision"] == 0.6


def test_a_class_that_is_never_predicted_has_precision_zero():
    scores = classification_scores(np.array([0, 1, 0, 1]), np.array([[0.9, 0.1]] * 4), None, BINS)
    assert (scores["precision"], scores["recall"], scores["f1"]) == (0.0, 0.0, 0.0)
    three = classification_scores(np.array([0, 1, 0, 1]), np.array([[0.8, 0.1, 0.1]] * 4), None, BINS)
    assert (three["precision"], three["recall"], three["f1"]) == pytest.approx((0.25, 0.5, 1 / 3))


def test_average_precision_is_over_the_classes_that_occur():
    y, probabilities = predictions(seed=4, classes=4)
    kept = y != 2
    scores = classification_scores(y, probabilities, kept.astype(float), BINS)
    each = [metrics.average_precision_score(y[kept] == c, probabilities[kept, c]) for c in (0, 1, 3)]
    assert scores["average_precision"] == pytest.approx(np.mean(each), rel=1e-12)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below():
    confidence, index = confidence_bins(np.array([[0.5, 0.5], [0.25, 0.75], [0.2, 0.8], [0.0, 1.0]]), bins=4)
    assert confidence.tolist() == [0.5, 0.75, 0.8, 1.0]
    assert index.tolist() == [1, 2, 3, 3]


def test_ece_of_known_bins():
    # Three rows at 0.9 of which two are right, one at 0.6 that is wrong.
    probabilities = np.array([[0.9, 0.1]] * 3 + [[0.6, 0.4]])
    scores = classification_scores(np.array([0, 0, 1, 1]), probabilities, None, 10)
    assert scores["ece"] == pytest.approx(3 / 4 * (0.9 - 2 / 3) + 1 / 4 * 0.6)


@pytest.mark.parametrize("weighted", [False, True])
def test_regression_scores_equal_scikit_learn(weighted):
    random = np.random.default_rng(0)
    y = random.normal(1e4, 50, size=300)
    prediction = y + random.normal(5, 20, size=300)
    weights = random.random(300) if weighted else None
    assert regression_scores(y, prediction, weights) == pytest.approx(
        {
            "rmse": metrics.root_mean_squared_error(y, prediction, sample_weight=weights),
            "mae": metrics.mean_absolute_error(y, prediction, sample_weight=weights),
            "r2": metrics.r2_score(y, prediction, sample_weight=weights),
            "msle": metrics.mean_squared_log_error(y, prediction, sample_weight=weights),
        },
        rel=1e-10,
    )


def test_msle_takes_a_negative_prediction_for_zero_and_is_not_of_negative_values():
    y = np.array([0.0, 3.0])
    assert regression_scores(y, np.array([-5.0, 3.0]), None)["msle"] == 0.0
    assert regression_scores(y, np.array([0.0, -1.0]), None)["msle"] == pytest.approx(math.log(4) ** 2 / 2)
    scores = regression_scores(np.array([-1.0, 3.0]), np.array([-1.0, 3.0]), None)
    assert math.isnan(scores["msle"])
    assert scores["rmse"] == 0.0


@pytest.mark.parametrize("y", [[0.1, 0.1, 0.1], [7.0]])
def test_r2_of_a_constant_target_is_nan(y):
    scores = regression_scores(np.array(y), np.zeros(len(y)), None)
    assert math.isnan(scores["r2"])
    assert scores["mae"] == pytest.approx(y[0])


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    random = np.random.default_rng(0)
    truth = {"rmse": 2.0, "mae": 2 * math.sqrt(2 / math.pi)}
    accuracy_truth = {"accuracy": 0.8, "log_loss": -0.8 * math.log(0.8) - 0.2 * math.log(0.2)}
    held = dict.fromkeys([*truth, *accuracy_truth], 0)
    repetitions = 100
    for seed in range(repetitions):
        error = random.normal(0, 2, size=150)
        y = random.integers(2, size=150)
        predicted = np.where(random.random(150) < 0.8, y, 1 - y)
        probabilities = np.where(np.arange(2) == predicted[:, None], 0.8, 0.2)
        intervals = bootstrap_intervals(partial(regression_scores, error, np.zeros(150)), 150, 120, seed)
        intervals |= bootstrap_intervals(ClassificationScores(y, probabilities, BINS), 150, 120, seed)
        for name, value in (truth | accuracy_truth).items():
            held[name] += intervals[f"{name}_low"] <= value <= intervals[f"{name}_high"]
    for name, count in held.items():
        assert 0.89 <= count / repetitions <= 0.985, name


def test_intervals_hold_their_estimates_even_where_nearly_all_resamples_lie_above():
    random = np.random.default_rng(3)
    confidence = random.uniform(0.5, 1, size=60)
    y = (random.random(60) > confidence).astype(int)  # calibrated: ece is chance alone
    scores = ClassificationScores(y, np.column_stack([confidence, 1 - confidence]), BINS)
    intervals = bootstrap_intervals(scores, 60, 200, seed=0)
    for name, estimate in scores(np.ones(60)).items():
        assert intervals[name] == estimate
        assert intervals[f"{name}_low"] <= estimate <= intervals[f"{name}_high"]
    assert intervals["ece_low"] == intervals["ece"]
    assert list(intervals)[:4] == ["accuracy", "accuracy_low", "accuracy_high", "balanced_accuracy"]


def test_intervals_are_quantiles_of_repeated_rows():
    random = np.random.default_rng(5)
    x = random.normal(size=50)
    drawn = np.random.default_rng(9)
    means = [x[drawn.integers(50, size=50)].mean() for _ in range(300)]
    intervals = bootstrap_intervals(lambda weights: {"mean": (x * weights).sum(-1) / weights.sum(-1)}, 50, 300, 9)
    assert intervals["mean_low"] == pytest.approx(np.quantile(means, 0.025))
    assert intervals["mean_high"] == pytest.approx(np.quantile(means, 0.975))


def test_the_seed_alone_decides():
    y, probabilities = predictions(seed=0)
    draw = partial(bootstrap_intervals, ClassificationScores(y, probabilities, BINS), len(y), 100)
    assert repr(draw(seed=1)) == repr(draw(seed=1))
    assert draw(seed=1) != draw(seed=2)


@pytest.mark.parametrize("classes", [2, 3])
def test_intervals_of_a_perfect_classifier_have_no_width_but_that_of_accuracy(classes):
    y = np.arange(60) % classes
    intervals = bootstrap_intervals(ClassificationScores(y, np.eye(classes)[y], BINS), 60, 200, seed=0)
    wilson = stats.binomtest(60, 60).proportion_ci(0.95, "wilson")
    assert intervals["accuracy_low"] == pytest.approx(wilson.low, abs=1e-7)
    assert (intervals["accuracy"], intervals["accuracy_high"]) == (1.0, 1.0)
    for name in set(NAMES) - {"accuracy", "log_loss", "ece"}:
        assert (intervals[name], intervals[f"{name}_low"], intervals[f"{name}_high"]) == (1.0, 1.0, 1.0)
    assert intervals["ece_high"] == 0.0


def test_undefined_scores_are_none_and_rare_undefined_resamples_do_not_count():
    single = bootstrap_intervals(ClassificationScores(np.zeros(9, int), np.full((9, 2), 0.5), BINS), 9, 100, seed=0)
    assert (single["roc_auc"], single["roc_auc_low"], single["roc_auc_high"]) == (None, None, None)
    assert single["accuracy"] == 1.0

    rare = np.array([1] + [0] * 9)  # a third of the resamples miss class 1
    probabilities = np.column_stack([1 - rare * 0.9, rare * 0.9])
    intervals = bootstrap_intervals(ClassificationScores(rare, probabilities, BINS), 10, 100, seed=0)
    assert (intervals["roc_auc_low"], intervals["roc_auc_high"]) == (1.0, 1.0)


@pytest.mark.parametrize("weighted", [False, True])
def test_main_scores_are_those_of_scikit_learn(weighted: bool) -> None:
    y, probabilities = predictions(seed=2, n=80)
    weights = np.random.default_rng(0).uniform(0, 3, 80) if weighted else np.ones(80)
    w = {"sample_weight": weights}
    assert main_scores_of("classification", y, probabilities)(weights) == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(y, probabilities.argmax(1), **w),
            "log_loss": metrics.log_loss(y, probabilities, labels=range(4), **w),
        }
    )
    prediction = probabilities[:, 0]
    assert main_scores_of("regression", y, prediction)(weights) == pytest.approx(
        {
            "rmse": metrics.root_mean_squared_error(y, prediction, **w),
            "mae": metrics.mean_absolute_error(y, prediction, **w),
        }
    )


def test_confusion_counts_and_per_class_report_equal_scikit_learn():
    y, probabilities = predictions(seed=7, n=200, classes=5)
    probabilities[:, 1] = 0.0  # never predicted
    y[y == 4] = 0  # does not occur
    names = ["a", "b", "c", "d", "e"]
    predicted = probabilities.argmax(axis=1)
    np.testing.assert_array_equal(
        confusion_counts(y, predicted, 5), metrics.confusion_matrix(y, predicted, labels=range(5))
    )
    expected = metrics.classification_report(
        y, predicted, labels=range(5), target_names=names, output_dict=True, zero_division=0
    )
    rows = per_class_report(y, probabilities, names)
    assert [row.class_name for row in rows] == names
    for row in rows:
        columns = expected[row.class_name]
        assert row[1:] == pytest.approx([columns[k] for k in ("precision", "recall", "f1-score", "support")])


def test_outputs_that_are_not_finite_are_refused():
    y, probabilities = predictions(seed=0, n=10)
    probabilities[3, 1] = np.nan
    with pytest.raises(WellfitError, match=r"NaN or infinity in 1 of 10 rows \(first: 3\)"):
        classification_scores(y, probabilities, None, BINS)
    with pytest.raises(WellfitError, match=r"predictions must be finite.* 1 of 2 rows \(first: 1\)"):
        regression_scores(np.zeros(2), np.array([0.0, np.inf]), None)
    with pytest.raises(WellfitError, match="at least one test row"):
        classification_scores(y[:0], probabilities[:0], None, BINS)


def test_a_thousand_resamples_of_ten_thousand_rows_take_seconds():
    y, probabilities = predictions(seed=0, n=10_000, classes=10)
    started = time.process_time()
    bootstrap_intervals(ClassificationScores(y, probabilities, BINS), len(y), 1000, seed=0)
    assert time.process_time() - started < 15


def test_the_module_loads_numpy_alone():
    heavy = "torch", "sklearn", "matplotlib", "pandas", "mlflow", "scipy"
    imports = "import sys, wellfit.metrics.intervals, wellfit.metrics.predictions"
    code = f"{imports}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_resamples_of_rows_that_weigh_nothing_do_not_count() -> None:
    y, prediction = np.arange(6.0), np.arange(6.0) + 1
    weights = np.array([0, 0, 1, 0, 0, 1], np.float32)
    intervals = bootstrap_intervals(partial(regression_scores, y, prediction), 6, 200, 0, weights)
    assert (intervals["mae"], intervals["mae_low"], intervals["mae_high"]) == (1.0, 1.0, 1.0)


def test_the_per_class_report_weighs_rows_and_counts_them() -> None:
    y, probabilities = np.array([0, 0, 1, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]])
    weights = np.array([1, 3, 1, 9], np.float32)
    report = per_class_report(y, probabilities, ["a", "b"], weights)
    expected = metrics.precision_recall_fscore_support(y, probabilities.argmax(1), sample_weight=weights)
    for i, row in enumerate(report):
        assert (row.precision, row.recall, row.f1) == pytest.approx([column[i] for column in expected[:3]])
        assert row.support == 2


@pytest.mark.parametrize("threshold", [0.2, 0.7])
def test_a_threshold_moves_the_scores_of_predicted_classes_alone(threshold: float) -> None:
    y, probabilities = predictions(0, classes=2)
    predicted = probabilities[:, 1] > threshold
    ones = np.ones(len(y))
    found = ClassificationScores(y, probabilities, BINS, threshold)(ones)
    before = ClassificationScores(y, probabilities, BINS)(ones)
    expected = {
        "accuracy": metrics.accuracy_score(y, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(y, predicted),
        "macro_f1": metrics.f1_score(y, predicted, average="macro"),
        "weighted_f1": metrics.f1_score(y, predicted, average="weighted"),
        "precision": metrics.precision_score(y, predicted),
        "recall": metrics.recall_score(y, predicted),
        "f1": metrics.f1_score(y, predicted),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    for name in ("log_loss", "roc_auc", "ece", "average_precision"):
        assert found[name] == before[name]
    assert found["recall"] != before["recall"]
    report = per_class_report(y, probabilities, ["a", "b"], threshold=threshold)
    assert report[1].recall == pytest.approx(expected["recall"])


def test_fifths_of_numbers() -> None:
    y = np.arange(10.0)
    assert fifths_of(y, y).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert fifths_of(y, np.array([-9.0, 99.0])).tolist() == [0, len(FIFTHS) - 1]
