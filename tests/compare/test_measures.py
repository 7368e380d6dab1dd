import math

import pytest

from wellfit.compare.measures import Measure, listed
from wellfit.metrics.intervals import Estimate


@pytest.mark.parametrize(
    ("key", "label", "subject", "higher"),
    [
        ("test/accuracy", "test accuracy", "test accuracy", True),
        ("val/roc_auc", "validation ROC AUC", "validation ROC AUC", True),
        ("train/loss", "training loss", "training loss", False),
        ("test/r2", "test R²", "test R²", True),
        ("gap/accuracy", "accuracy gap", "the accuracy gap", False),
        ("gap/loss", "loss gap", "the loss gap", False),
        ("test/new_score", "test new score", "test new score", False),
    ],
)
def test_measures_in_words(key: str, label: str, subject: str, higher: bool) -> None:
    measure = Measure(key)
    assert (measure.label, measure.subject, measure.higher_is_better) == (label, subject, higher)


@pytest.mark.parametrize(
    ("key", "estimate", "told"),
    [
        ("test/accuracy", (0.93123, 0.9249, 0.9375), "93.1 % [92.5, 93.8]"),
        ("gap/accuracy", (0.021, -0.0004, 0.03), "2.1 points [0.0, 3.0]"),
        ("test/loss", (0.23123, 0.2, 0.26), "0.231 [0.200, 0.260]"),
        ("test/rmse", (54321.4, 50000.0, 58642.9), "54,321 [50,000, 58,643]"),
        ("test/loss", (1.5e-9, 1.25e-9, 1.75e-9), "1.5e-09 [1.25e-09, 1.75e-09]"),
        ("test/accuracy", (0.5, math.nan, math.nan), "50.0 %"),
        ("test/accuracy", (math.nan, math.nan, math.nan), ""),
    ],
)
def test_values(key: str, estimate: tuple[float, float, float], told: str) -> None:
    assert Measure(key).value(Estimate(*estimate)) == told


@pytest.mark.parametrize(
    ("key", "estimate", "signed", "told"),
    [
        ("test/accuracy", (0.001, -0.003, 0.005), True, "+0.1 points [-0.3, 0.5]"),
        ("test/accuracy", (0.0, 0.0, 0.0), True, "+0.0 points [0.0, 0.0]"),
        ("test/accuracy", (-0.0001, -0.003, 0.003), True, "+0.0 points [-0.3, 0.3]"),
        ("gap/accuracy", (-0.021, -0.03, -0.012), False, "2.1 points [1.2, 3.0]"),
        ("test/accuracy", (0.0008, 0.0003, 0.0013), True, "+0.08 points [0.03, 0.13]"),  # excludes zero, and is seen to
        ("test/mae", (-0.0312, -0.0415, -0.0209), True, "-0.0312 [-0.0415, -0.0209]"),
        ("test/mae", (-0.0312, -0.0415, -0.0209), False, "0.0312 [0.0209, 0.0415]"),
        ("gap/loss", (-0.086, -0.133, -0.039), False, "0.0860 [0.0390, 0.1330]"),
        ("test/loss", (0.00012, -0.0312, 0.0314), True, "+0.0001 [-0.0312, 0.0314]"),
        ("test/accuracy", (0.012, math.nan, math.nan), True, "+1.2 points"),
    ],
)
def test_differences(key: str, estimate: tuple[float, float, float], signed: bool, told: str) -> None:
    assert Measure(key).difference(Estimate(*estimate), signed=signed) == told


@pytest.mark.parametrize(
    ("key", "difference", "first", "told"),
    [
        ("test/mae", -0.0312, 0.5, "6.2 %"),
        ("test/loss", 3.0, 0.5, "600 %"),
        ("test/accuracy", 0.1, 0.5, ""),
        ("gap/loss", 0.1, 0.5, ""),
        ("test/r2", 0.1, 0.5, ""),
        ("test/mae", 0.1, 0.0, ""),
        ("test/mae", 0.1, math.nan, ""),
    ],
)
def test_relative_sizes(key: str, difference: float, first: float, told: str) -> None:
    assert Measure(key).relative(difference, first) == told


@pytest.mark.parametrize(("parts", "told"), [("a", "a"), ("ab", "a and b"), ("abc", "a, b and c")])
def test_lists(parts: str, told: str) -> None:
    assert listed(parts) == told
