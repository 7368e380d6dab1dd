from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from wellfit.compare.finding import Finding, has_learned
from wellfit.compare.measures import Measure
from wellfit.compare.outcome import Outcome
from wellfit.compare.statistics import results_of
from wellfit.data.meta import Meta

from .conftest import REGRESSION, describe, outcomes_of

BY_CHANCE = [-0.004, 0.0, 0.004, 0.002, -0.002]
ACCURACY, GAP = "test/accuracy", "gap/accuracy"


def around(mean: float, spread: float = 1.0) -> list[float]:
    return [mean + spread * by for by in BY_CHANCE]


def found(
    scores: Mapping[str, Mapping[str, list[float]]], *measures: str, also: Sequence[Outcome] = (), **meta: Any
) -> Finding:
    outcomes = [*outcomes_of(**scores), *also]
    variants = list(dict.fromkeys(outcome.variant for outcome in outcomes))
    results = results_of(variants, measures, outcomes)
    return Finding(results, [Measure(measure) for measure in measures], describe(**meta))


def failed(variant: str, seeds: Sequence[int]) -> list[Outcome]:
    return [Outcome(variant, seed, [], {}, 0, 1.0, "train/loss became NaN in epoch 3") for seed in seeds]


def test_two_variants_of_which_one_is_less_over_fitted() -> None:
    finding = found(
        {
            "none": {ACCURACY: around(0.91), GAP: around(0.05, -1)},
            "dropout 0.4": {ACCURACY: around(0.911, -0.5), GAP: around(0.029)},
        },
        ACCURACY,
        GAP,
    )
    assert finding.sentence == (
        "Compared with none, dropout 0.4 narrows the accuracy gap by 2.1 points [1.3, 2.9]; test accuracy "
        "unchanged (+0.1 points [-0.5, 0.7]) (5 seeds, 95 % intervals)."
    )
    assert finding.lines == [
        ("none", "test accuracy 91.0 % [90.6, 91.4]; accuracy gap 5.0 points [4.6, 5.4]"),
        (
            "dropout 0.4",
            "narrows the accuracy gap by 2.1 points [1.3, 2.9]; test accuracy unchanged (+0.1 points [-0.5, 0.7])",
        ),
    ]


def test_two_variants_that_do_not_differ() -> None:
    finding = found({"a": {ACCURACY: around(0.9)}, "b": {ACCURACY: around(0.901, -1)}}, ACCURACY)
    assert finding.sentence == (
        "Compared with a, b leaves test accuracy unchanged (+0.1 points [-0.7, 0.9]) (5 seeds, 95 % intervals)."
    )


def test_errors_are_told_as_they_are_and_in_per_cent() -> None:
    scores = {
        "mse": {"test/mae": around(0.5), "test/rmse": around(0.7)},
        "mae": {"test/mae": around(0.45), "test/rmse": around(0.72)},
    }
    assert found(scores, "test/mae", "test/rmse", **REGRESSION).sentence == (
        "Compared with mse, mae lowers test MAE by 0.0500 [0.0500, 0.0500] (10 %) and raises test RMSE by 0.0200 "
        "[0.0200, 0.0200] (2.9 %) (5 seeds, 95 % intervals)."
    )


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (0.05, 0.08, "widens the accuracy gap by 3.0 points"),
        (0.05, 0.02, "narrows the accuracy gap by 3.0 points"),
        (0.01, -0.02, "lowers the accuracy gap by 3.0 points"),  # training rows, noised, fare worse: no narrower gap
        (-0.04, -0.01, "raises the accuracy gap by 3.0 points"),
    ],
)
def test_a_gap_is_narrow_where_it_is_near_zero(first: float, second: float, told: str) -> None:
    assert told in found({"a": {GAP: around(first, 0.1)}, "b": {GAP: around(second, 0.1)}}, GAP).sentence


def test_the_sentence_of_three_variants() -> None:
    finding = found(
        {
            "dropout 0": {ACCURACY: around(0.91), GAP: around(0.05)},
            "dropout 0.2": {ACCURACY: around(0.92), GAP: around(0.03)},
            "dropout 0.5": {ACCURACY: around(0.912, -1), GAP: around(0.01)},
        },
        ACCURACY,
        GAP,
    )
    assert finding.sentence == (
        "dropout 0.2 has the highest test accuracy of 3 variants, 92.0 % [91.6, 92.4]; compared with dropout 0 "
        "(91.0 % [90.6, 91.4]), dropout 0.2 is 1.0 points [1.0, 1.0] higher; the other one does not differ "
        "clearly; the accuracy gap is narrower with dropout 0.5 (-4.0 points) and dropout 0.2 (-2.0 points) (5 seeds, "
        "95 % intervals)."
    )


def test_the_sentence_of_eight_variants() -> None:
    means = {
        "sgd": 0.9,
        "momentum": 0.93,
        "adam": 0.95,
        "adamw": 0.951,
        "rmsprop": 0.94,
        "lion": 0.901,
        "muon": 0.92,
        "lamb": 0.88,
    }
    scores = {
        name: {ACCURACY: around(mean, -1 if name == "lion" else 1), GAP: around(mean / 20)}
        for name, mean in means.items()
    }
    assert found(scores, ACCURACY, GAP).sentence == (
        "adamw has the highest test accuracy of 8 variants, 95.1 % [94.7, 95.5]; compared with sgd (90.0 % [89.6, "
        "90.4]), it is higher with adamw (+5.1 points), adam (+5.0 points), rmsprop (+4.0 points), momentum (+3.0 "
        "points) and muon (+2.0 points), lower with lamb (-2.0 points); the other one does not differ clearly; the "
        "accuracy gap is smallest with lamb, 4.4 points [4.0, 4.8] (5 seeds, 95 % intervals)."
    )


def test_the_first_variant_may_be_the_best_and_no_variant_clearly_better() -> None:
    best_first = {"a": {ACCURACY: around(0.95)}, "b": {ACCURACY: around(0.9)}, "c": {ACCURACY: around(0.94)}}
    assert found(best_first, ACCURACY).sentence == (
        "a has the highest test accuracy of 3 variants, 95.0 % [94.6, 95.4]; compared with it, c is 1.0 points "
        "[1.0, 1.0] lower and b is 5.0 points [5.0, 5.0] lower (5 seeds, 95 % intervals)."
    )
    alike = {"a": {ACCURACY: around(0.95)}, "b": {ACCURACY: around(0.951, -1)}, "c": {ACCURACY: around(0.949, -1)}}
    assert found(alike, ACCURACY).sentence == (
        "None of the other 2 variants differs clearly from a in test accuracy: highest with b, 95.1 % [94.7, 95.5] "
        "(5 seeds, 95 % intervals)."
    )


def test_a_best_variant_that_does_not_differ_clearly_is_not_praised() -> None:
    scores = {"a": {ACCURACY: around(0.95)}, "b": {ACCURACY: around(0.951, -1)}, "c": {ACCURACY: around(0.8)}}
    assert found(scores, ACCURACY).sentence == (
        "b has the highest test accuracy of 3 variants, 95.1 % [94.7, 95.5], no clear difference to a; compared with a "
        "(95.0 % [94.6, 95.4]), c is 15.0 points [15.0, 15.0] lower; the other one does not differ clearly (5 seeds, "
        "95 % intervals)."
    )


def test_what_failed_is_said() -> None:
    scores = {"lr 0.01": {ACCURACY: around(0.9)}}
    all_failed = found(scores, ACCURACY, also=failed("lr 10", range(5)))
    assert all_failed.sentence == (
        "lr 0.01 and lr 10 cannot be compared: no seed has a score of both; lr 10 failed with all 5 seeds (train/loss "
        "became NaN in epoch 3) (5 seeds, 95 % intervals)."
    )
    one_left = found(scores, ACCURACY, also=[*outcomes_of(lr={ACCURACY: [0.95]}), *failed("lr", [1, 2, 3, 4])])
    assert one_left.sentence == (
        "Compared with lr 0.01, lr raises test accuracy by 5.4 points (of one pair of seeds, so without an interval); "
        "lr failed with 4 of 5 seeds (train/loss became NaN in epoch 3) (5 seeds, 95 % intervals)."
    )
    nothing = found({}, ACCURACY, also=[*failed("a", [0, 1]), *failed("b", [0, 1]), *failed("c", [0, 1])])
    assert nothing.sentence.startswith("None of 3 variants has a test accuracy; a failed with both seeds")


def test_a_variant_that_does_not_learn_is_said() -> None:
    own = {"train/balanced_accuracy": around(0.99), ACCURACY: around(0.9)}
    zeros = {"train/balanced_accuracy": [0.5] * 5, ACCURACY: around(0.5)}
    sentence = found({"default": own, "zeros": zeros}, ACCURACY).sentence
    assert "lowers test accuracy by 40.0 points" in sentence
    assert "; zeros did not learn: always the same answer would score as well (5 seeds" in sentence
    zeros["train/balanced_accuracy"][0] = 0.9
    assert "; zeros did not learn with 4 of 5 seeds:" in found({"default": own, "zeros": zeros}, ACCURACY).sentence


@pytest.mark.parametrize(
    ("scores", "meta", "learned"),
    [
        ({"train/balanced_accuracy": 0.5, "train/accuracy": 0.9}, {"class_counts": (900, 100)}, False),
        ({"train/balanced_accuracy": 0.8, "train/accuracy": 0.85}, {"class_counts": (900, 100)}, True),
        ({"train/accuracy": 0.9}, {"class_counts": (900, 100)}, False),
        ({"test/accuracy": 0.95}, {"class_counts": (900, 100)}, True),
        ({"train/balanced_accuracy": 0.334}, {"class_counts": (9, 9, 9), "class_names": ("a", "b", "c")}, False),
        ({"train/balanced_accuracy": 0.4}, {"class_counts": (9, 9, 9), "class_names": ("a", "b", "c")}, True),
        ({"train/r2": 0.0}, REGRESSION, False),
        ({"train/r2": 0.1}, REGRESSION, True),
        ({"train/r2": 0.5, "test/r2": -0.1}, REGRESSION, True),  # learned, if by heart
        ({"train/loss": 0.1}, {}, True),  # nothing to tell it by
    ],
)
def test_what_counts_as_learned(scores: dict[str, float], meta: dict[str, Any], learned: bool) -> None:
    assert has_learned(Outcome("a", 0, [], scores, 1, 1.0), describe(**meta)) == learned


def test_a_single_variant_is_described() -> None:
    assert found({"a": {ACCURACY: around(0.95)}}, ACCURACY).sentence == (
        "a has test accuracy 95.0 % [94.6, 95.4] (5 seeds, 95 % intervals)."
    )


def test_names_and_failures_are_quoted() -> None:
    outcomes = [*outcomes_of(**{"<a>": {ACCURACY: around(0.9)}}), *failed("<b>", range(5))]
    meta: Meta = describe()
    results = results_of(["<a>", "<b>"], [ACCURACY], outcomes)
    finding = Finding(results, [Measure(ACCURACY)], meta, lambda text: text.replace("<", "&lt;").replace("NaN", "nan"))
    assert "<" not in finding.sentence + str(finding.lines)
    assert "NaN" not in finding.sentence + str(finding.lines)
