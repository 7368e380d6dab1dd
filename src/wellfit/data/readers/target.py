"""What is to be predicted: a class or a number."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.data.readers.columns import Columns, relabel, spelling_of
from wellfit.data.readers.gaps import listed
from wellfit.data.readers.kinds import infer_source
from wellfit.data.target import check_targets
from wellfit.errors import WellfitError

if TYPE_CHECKING:
    import pandas as pd

    from wellfit.data.meta import Source
    from wellfit.data.settings import DataConfig

MAX_CLASSES = 20  # a target of whole numbers with more values than that is a regression
BETWEEN_WORDS = re.compile(r"(?<=\w)[\s_.,-]+(?=\w)")


class Target(NamedTuple):
    """The target of each row.

    Attributes:
        y: int64 (n,) class indices, or float64 (n,) numbers.
        class_names: by class index; empty for a regression.
        source: how the column is read.
        warnings: what the user should know, one sentence each.
    """

    y: NDArray[Any]
    class_names: tuple[str, ...]
    source: Source
    warnings: tuple[str, ...]


def read_target(columns: Columns, name: str, data: DataConfig) -> Target:
    """Reads the column ``data.target``.

    Labels that are the same number, or the same word for yes or no, are one class.

    Raises:
        WellfitError: a row has no target, all have the same, or it is not as ``data.task`` wants it.
    """
    path = columns.path
    columns.complete(name, f"data.target {name!r}")
    source = infer_source(columns, name, data)
    if source.kind == "dates" and data.task != "classification":
        raise WellfitError(
            f"{path} column {name!r}: holds dates, which cannot be predicted; make numbers of them (days since a day)"
        )
    warnings = (f"target {name!r}: {source.note}",) if source.note else ()
    if source.gaps and data.task != "classification":
        _refuse_gaps(columns, source)
    if _is_classification(columns, source, data):
        return _read_classes(columns, source, warnings)
    y = columns.numbers(name, spelling_of(source) if source.kind == "numbers" else data.decimal)
    if np.isnan(y).any():
        raise WellfitError(
            f"{columns.row(np.flatnonzero(np.isnan(y))[0])}, column {name!r}: the target must be a number"
        )
    if np.ptp(y) == 0:
        raise WellfitError(f"{path} column {name!r}: the target is {y[0]:g} in every row")
    check_targets(data.target_transform, y, columns.row, name)
    return Target(y, (), source, warnings)


def _is_classification(columns: Columns, source: Source, data: DataConfig) -> bool:
    if data.task != "auto":
        return data.task == "classification"
    if source.kind != "numbers":
        return True
    values = np.unique(columns.read(source).to_numpy())
    return len(values) <= MAX_CLASSES and bool((values == np.round(values)).all())


def _refuse_gaps(columns: Columns, source: Source) -> None:
    mark = source.gaps[0]
    n_rows = columns.cells(source.name, source.gaps).null_count
    raise WellfitError(
        f"{columns.place(source.name, mark)}: the other targets are numbers, and {mark!r} seems to stand for a missing "
        f"one, as in {n_rows} row{'s' * (n_rows > 1)} in all; fill it in, or take these rows out (data.task "
        "classification makes it a class)"
    )


def _read_classes(columns: Columns, source: Source, warnings: tuple[str, ...]) -> Target:
    name, path = source.name, columns.path
    labels = _unite_equal_numbers(columns.categories(name, source.words), source.gaps)
    names = list(source.words) or sorted(map(str, labels.categories), key=_as_number_or_text)
    if len(names) < 2:
        raise WellfitError(f"{path} column {name!r}: the target has one class only, {names[0]!r} in every row")
    if len(names) > max(MAX_CLASSES, len(labels) / 2):
        raise WellfitError(
            f"{path} column {name!r}: the target has {len(names):,} classes in {len(labels):,} rows; name another "
            "column in data.target, or set data.task regression (params.yaml)"
        )
    if source.gaps:
        warnings = (f"target {name!r}: {listed(list(source.gaps))} may stand for missing values, but is a class",)
    alike = defaultdict(list)
    for class_name in names:
        alike[_without_typing(class_name)].append(class_name)
    warnings += tuple(
        f"target {name!r} has classes that differ in {_what_differs(same)} only: {', '.join(map(repr, same))}"
        for same in alike.values()
        if len(same) > 1
    )
    return Target(labels.set_categories(names).codes.astype(np.int64), tuple(names), source, warnings)


def _without_typing(label: str) -> str:
    """A label without what people write in one way or another: case, and marks between words and at the end."""
    return BETWEEN_WORDS.sub(" ", label.casefold()).rstrip(" .")


def _what_differs(labels: list[str]) -> str:
    is_case = len({label.casefold() for label in labels}) == 1
    return "upper and lower case" if is_case else "case, blanks or punctuation"


def _unite_equal_numbers(labels: pd.Categorical, gaps: Collection[str]) -> pd.Categorical:
    """Labels such as 0, 0.0 and 00 become the shortest of them, if all labels but for gaps are numbers."""
    texts = list(map(str, labels.categories))
    keys = [_as_number_or_text(text) for text in texts]
    if any(is_text and text not in gaps for is_text, _, text in keys):
        return labels
    shortest: dict[float, str] = {}
    for is_text, value, text in sorted(keys, key=lambda key: len(key[2])):
        if not is_text:
            shortest.setdefault(value, text)
    return relabel(labels, [text if is_text else shortest[value] for is_text, value, text in keys])


def _as_number_or_text(text: str) -> tuple[bool, float, str]:
    """A sort key: numbers by value, then texts."""
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text
