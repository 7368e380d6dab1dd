from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from wellfit.data.readers.feature_checks import check_features
from wellfit.data.settings import DataConfig
from wellfit.errors import WellfitError

CLASSES = np.arange(100) % 3
NUMBERS = np.random.default_rng(0).normal(size=100).astype(np.float32)
Check = Callable[..., tuple[pd.DataFrame, tuple[str, ...]]]


@pytest.fixture
def check(data_config: Callable[..., DataConfig]) -> Check:
    """Checks a good column and others beside it."""

    def run(y: np.ndarray, max_categories: int = 100, **columns: Any) -> tuple[pd.DataFrame, tuple[str, ...]]:
        good = np.random.default_rng(1).normal(size=len(y))
        data = data_config("csv", target="price", max_categories=max_categories)
        return check_features(pd.DataFrame({"good": good} | columns), y, data, Path("t.csv"))

    return run


def test_good_columns_are_left_alone(check: Check) -> None:
    colours = pd.Categorical(np.array(["red", "blue", "green", None], object)[np.arange(100) % 4])
    features, warnings = check(CLASSES, colour=colours, flag=np.where(np.arange(100) % 2, 1.0, np.nan))
    assert list(features) == ["good", "colour", "flag"]
    assert warnings == ()


@pytest.mark.parametrize(
    ("column", "what"),
    [
        (np.full(100, 7.0), "column 'other' is 7 in every row and is left out"),
        (np.full(100, np.nan), "column 'other' is missing in every row and is left out"),
        (pd.Categorical(["EUR"] * 100), "column 'other' is EUR in every row and is left out"),
        (pd.Categorical([None] * 100), "column 'other' is missing in every row and is left out"),
    ],
)
def test_a_column_that_says_nothing_is_left_out_with_a_warning(column: Any, what: str, check: Check) -> None:
    features, warnings = check(CLASSES, other=column)
    assert list(features) == ["good"]
    assert warnings == (what,)


def test_nothing_left_to_learn_from(data_config: Callable[..., DataConfig]) -> None:
    data = data_config("csv", target="price")
    for frame in (pd.DataFrame({"a": np.ones(100)}), pd.DataFrame(index=range(100))):
        with pytest.raises(WellfitError, match=r"t\.csv has no column to learn from besides the target 'price'"):
            check_features(frame, CLASSES, data, Path("t.csv"))


@pytest.mark.parametrize(
    ("y", "column"),
    [
        (CLASSES, CLASSES.astype(float)),
        (CLASSES, 10.0 - CLASSES),
        (CLASSES, pd.Categorical(np.array(["lo", "hi", "mid"])[CLASSES])),
        (NUMBERS, NUMBERS.astype(float)),
        (NUMBERS, 3 - 2.54 * NUMBERS.astype(float)),
    ],
)
def test_a_column_that_copies_the_target_is_refused(y: np.ndarray, column: Any, check: Check) -> None:
    with pytest.raises(WellfitError, match=r"t\.csv column 'other': tells the target 'price' exactly.*data\.drop"):
        check(y, other=column)


@pytest.mark.parametrize(
    ("y", "column"),
    [
        (CLASSES, np.where(np.arange(100) == 5, 9.0, CLASSES)),
        (CLASSES, CLASSES * 2.0 + (np.arange(100) > 50)),
        (CLASSES, (CLASSES == 2).astype(float)),
        (NUMBERS, NUMBERS + np.random.default_rng(2).normal(scale=0.01, size=100)),
        (NUMBERS, pd.Categorical((NUMBERS > 0).astype(str))),
    ],
)
def test_a_good_predictor_is_no_copy(y: np.ndarray, column: Any, check: Check) -> None:
    assert "other" in check(y, other=column)[0]


def test_a_column_that_names_the_row_is_refused(check: Check) -> None:
    names = pd.Categorical([f"customer {i}" for i in range(100)])
    with pytest.raises(WellfitError, match=r"column 'other': has 100 categories in 100 rows, as names .*data\.id"):
        check(CLASSES, max_categories=99, other=names)


def test_rows_are_numbered_by_a_column_only_beside_others(data_config: Callable[..., DataConfig]) -> None:
    data = data_config("csv", target="price")
    frame = pd.DataFrame({"x": np.arange(100.0)})
    assert list(check_features(frame, CLASSES, data, Path("t.csv"))[0]) == ["x"]
    with pytest.raises(WellfitError, match=r"no column to learn from besides the target 'price'; column 'id' cou"):
        check_features(frame.rename(columns={"x": "id"}), CLASSES, data, Path("t.csv"))
    features, warnings = check_features(frame.assign(z=NUMBERS.astype(float)), CLASSES, data, Path("t.csv"))
    assert list(features) == ["z"]
    assert warnings[0].startswith("column 'x' counts the rows, from 0 to 99, and is left out; list it in data.numeric")


def test_all_copies_of_the_target_are_told_at_once(check: Check) -> None:
    with pytest.raises(WellfitError, match=r"t\.csv: 2 columns cannot be used: \(1\) column 'a': .*\(2\) column 'b'"):
        check(CLASSES, a=CLASSES.astype(float), b=10.0 - CLASSES)


def test_more_categories_than_are_told_apart_are_worth_a_warning(check: Check) -> None:
    _, warnings = check(CLASSES, max_categories=20, other=pd.Categorical([f"shop {i % 40}" for i in range(100)]))
    assert warnings == (
        "column 'other' has 40 categories: the 20 most frequent of the training rows are told apart "
        "(data.max_categories), all others count as one",
    )


def test_a_column_whose_digits_float32_does_not_keep_is_worth_a_warning(check: Check) -> None:
    _, warnings = check(CLASSES, stamp=1.7e12 + np.arange(100.0))
    assert warnings == (
        "column 'stamp' has values up to 1.7e+12, of which float32 keeps too few digits to tell them apart; subtract a "
        "constant from them",
    )
    assert check(CLASSES, stamp=np.arange(100.0))[1] == ()


def test_what_a_column_holds_may_show_late(check: Check) -> None:
    """The first 1,000 rows have one value of each column, and one class."""
    y = np.repeat([0, 1, 2], [1500, 300, 200])
    late = np.repeat([5.0, 7.0, 8.0, 9.0], [1500, 100, 200, 200])
    assert check(y, late=late)[1] == ()
    with pytest.raises(WellfitError, match="column 'copy': tells the target"):
        check(y, copy=np.array([2.0, 4.0, 3.0])[y])
