from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from wellfit.data.readers.columns import Columns
from wellfit.data.readers.target import Target, read_target
from wellfit.data.settings import DataConfig
from wellfit.errors import WellfitError

Read = Callable[..., Target]


@pytest.fixture
def read(data_config: Callable[..., DataConfig]) -> Read:
    """Reads a target of these cells."""

    def run(cells: list[Any], **changes: Any) -> Target:
        table = pa.table({"y": pa.chunked_array([cells])})
        data = data_config("csv", target="y", **changes)
        return read_target(Columns(table, data.missing, Path("t.csv"), 2), "y", data)

    return run


@pytest.mark.parametrize(
    ("cells", "names", "y"),
    [
        (["0", "0.0", "1.0", "1"], ("0", "1"), [0, 0, 1, 1]),
        (["10", "2.0", "02", "1"], ("1", "02", "10"), [2, 1, 1, 0]),
        (["Yes", "NO", "yes", "No", "no", "Yes"], ("NO", "Yes"), [1, 0, 1, 0, 0, 1]),
        (["True", "false", "TRUE"], ("false", "True"), [1, 0, 1]),
        (["1A", "2A", "3A"], ("1A", "2A", "3A"), [0, 1, 2]),
        ([0.0, 1.0, 1.0], ("0", "1"), [0, 1, 1]),
        (["1", "x", "1.0"], ("1", "1.0", "x"), [0, 2, 1]),
        (["1", "true", "1", "0", "false"], ("false", "true"), [1, 1, 1, 0, 0]),
        (["Caf\u00e9", "Cafe\u0301", "b"], ("Caf\u00e9", "b"), [0, 0, 1]),
    ],
)
def test_labels_that_mean_the_same_are_one_class(cells: list[Any], names: tuple[str, ...], y: Any, read: Read) -> None:
    target = read(cells)
    assert target.class_names == names
    assert target.y.tolist() == y


def test_classes_that_differ_by_case_only_are_warned_of(read: Read) -> None:
    target = read(["spam", "Spam", "ham", "SPAM"])
    assert target.class_names == ("SPAM", "Spam", "ham", "spam")
    assert target.warnings == (
        "target 'y' has classes that differ in upper and lower case only: 'SPAM', 'Spam', 'spam'",
    )
    assert len(read(["spam", "Spam", "ham"]).warnings) == 1
    assert read(["spam", "ham"]).warnings == ()


def test_amounts_may_be_written_as_people_write_them(read: Read) -> None:
    target = read(["$1,200.50", "$13", "$7.25"])
    assert (target.y.tolist(), target.class_names) == ([1200.5, 13.0, 7.25], ())
    assert target.warnings == ("target 'y': '$1,200.50' is 1200.5",)


def test_dates_are_no_target(read: Read) -> None:
    for changes in ({}, {"task": "regression"}):
        with pytest.raises(WellfitError, match=r"t\.csv column 'y': holds dates, which cannot be predicted"):
            read(["2024-05-31", "2024-06-01"], **changes)
    assert read(["2024-05-31", "2024-06-01"], task="classification").class_names == ("2024-05-31", "2024-06-01")


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["Iris-setosa", "iris setosa", "b"], "case, blanks or punctuation only: 'Iris-setosa', 'iris setosa'"),
        ([">50K", ">50K.", "<=50K"], "case, blanks or punctuation only: '>50K', '>50K.'"),
        (["-1", "1"], ""),
        (["A", "A-", "A+"], ""),
        ([">50K", "<50K"], ""),
    ],
)
def test_classes_that_differ_in_typing_only_are_warned_of(labels: list[str], told: str, read: Read) -> None:
    warnings = read(labels).warnings
    assert [warning.endswith(told) for warning in warnings] == [True] * bool(told)


@pytest.mark.parametrize("numbers", [["0", "1"], ["1.5", "2.5"], ["$3", "$4"]])
def test_a_mark_for_missing_targets_is_named(numbers: list[str], read: Read) -> None:
    cells = [*numbers, "-", "-"]
    with pytest.raises(
        WellfitError, match=r"t\.csv row 4, column 'y': the other targets are numbers, and '-' .* in 2 rows"
    ):
        read(cells)
    target = read(cells, task="classification")
    assert set(target.class_names) == {*numbers, "-"}
    assert target.warnings[-1] == "target 'y': '-' may stand for missing values, but is a class"
