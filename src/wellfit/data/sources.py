"""Makes numbers of dates and text: what is learned of the training rows stands in ``meta.json``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wellfit.data.dates import ISO, PARTS, parse
from wellfit.data.frame import DiskFrame
from wellfit.data.meta import Source, Unread
from wellfit.errors import WellfitError

if TYPE_CHECKING:
    import pandas as pd

    from wellfit.data.frame import Frame, SomeRows

N_HASHED = 16  # columns of numbers for a column of text


def fit_sources(
    sources: Sequence[Source], train: SomeRows, row: Callable[[int], str]
) -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """Finds which parts of dates differ from row to row, and leaves out what is the same in all training rows.

    Args:
        sources: of a `wellfit.data.raw.RawData`.
        train: its training rows; the index counts all rows from 0.
        row: says where a row is, for messages.

    Returns:
        The sources, without columns and parts of dates that are the same in all training rows; and warnings, one
        sentence each.

    Raises:
        WellfitError: nothing is left, or the name of a part is taken.
    """
    fitted, warnings = [], []
    for source in sources:
        cells = train[source.name]
        if source.kind == "dates" and not cells.isna().all():
            source = _fit_dates(source, cells)
        if same := _what_is_the_same(source, cells):
            warnings.append(f"column {source.name!r} {same} in all training rows and is left out")
        else:
            fitted.append(source)
    if not fitted:
        raise WellfitError(f"{row(0)} and further: {warnings[0]}, and there is no other column to learn from")
    made = [name for source in fitted for name in input_names(source)]
    if twice := next((name for name in made if made.count(name) > 1), None):
        raise WellfitError(f"{row(0)}: column {twice!r} has the name of an input made of another one; rename it")
    return tuple(fitted), tuple(warnings)


def expand(sources: Sequence[Source], table: pd.DataFrame) -> tuple[pd.DataFrame, list[Unread]]:
    """Puts numbers in place of dates and text.

    Args:
        sources: what `fit_sources` returned.
        table: (n, ...) these rows or new ones, as `wellfit.data.readers.columns.Columns.read` reads them.

    Returns:
        A table as `wellfit.data.encode.encode` takes it; and what is no date as in the training rows, which is missing.
    """
    import pandas as pd

    inputs: dict[str, Any] = {}
    unread: list[Unread] = []
    for source in sources:
        inputs |= _inputs_of(source, table[source.name], unread)
    return pd.DataFrame(inputs, index=table.index, copy=False), unread


def expand_all(sources: Sequence[Source], table: Frame) -> Frame:
    """What `expand` makes of rows that are those of `fit_sources`, on disk where these are.

    Args:
        sources: what `fit_sources` returned.
        table: (n, ...) the rows.
    """
    if not isinstance(table, DiskFrame):
        return expand(sources, table)[0]
    expanded = table.only(source.name for source in sources if source.kind not in ("dates", "text"))
    for source in sources:
        if source.kind in ("dates", "text"):
            for name, values in _inputs_of(source, table[source.name], []).items():
                expanded.add(name, values)
    return expanded.only(name for source in sources for name in input_names(source))


def _inputs_of(source: Source, cells: pd.Series[Any], unread: list[Unread]) -> dict[str, Any]:
    """The inputs that are made of a column, by name; what is no date is added to ``unread``."""
    if source.kind == "dates":
        values = _date_parts(source, cells)
        wrong = np.isnan(values[:, 0]) & cells.notna().to_numpy()
        if wrong.any():
            unread.append(Unread(source.name, int(wrong.sum()), str(cells[wrong].iloc[0])))
    elif source.kind == "text":
        values = _word_counts(cells)
    else:
        return {source.name: cells}
    return dict(zip(input_names(source), values.T, strict=True))


def input_names(source: Source) -> list[str]:
    """The names of the inputs that are made of a column."""
    if source.kind == "dates":
        return [f"{source.name}.{part}" for part in source.parts]
    if source.kind == "text":
        return [f"{source.name}.words{i}" for i in range(N_HASHED)]
    return [source.name]


def _what_is_the_same(source: Source, cells: pd.Series[Any]) -> str:
    """What all cells of a column are, in words; empty where they differ, and for text."""
    if source.kind == "dates":
        return "" if source.parts else "has the same date, or none,"
    if cells.isna().all():
        return "is missing"
    values, first = cells.to_numpy() if source.kind == "numbers" else cells.cat.codes.to_numpy(), cells.iloc[0]
    if source.kind == "text" or (values != values[0]).any():
        return ""
    return f"is {first:.6g}" if source.kind == "numbers" else f"is {first!r}"


def _fit_dates(source: Source, cells: pd.Series[Any]) -> Source:
    dates = parse(cells.cat.remove_unused_categories().cat.categories, source.formats)
    whole = source.model_copy(update={"origin": str(dates.min().date()), "parts": tuple(PARTS)})
    values = _date_parts(whole, cells)
    differs = [bool((np.ptp(part[~np.isnan(part)]) > 0).all()) for part in values.T]
    return whole.model_copy(update={"parts": tuple(name for name, keep in zip(PARTS, differs, strict=True) if keep)})


def _date_parts(source: Source, cells: pd.Series[Any]) -> NDArray[np.float64]:
    """(n, parts) numbers, NaN where a date is missing."""
    import pandas as pd

    # New rows may come from a database, with dates of their own type.
    dates = parse(cells.cat.categories, tuple(dict.fromkeys((*source.formats, ISO))))
    origin = pd.Timestamp(source.origin)
    values = np.column_stack([PARTS[part](dates, origin) for part in source.parts]).astype(np.float64)
    rows: NDArray[np.float64] = _with_missing(values, np.nan)[cells.cat.codes]
    return rows


def _word_counts(cells: pd.Series[Any]) -> NDArray[np.float64]:
    """(n, N_HASHED) how often words occur, several words to a column; zeros where text is missing."""
    from sklearn.feature_extraction.text import HashingVectorizer

    words = HashingVectorizer(n_features=N_HASHED, alternate_sign=False, norm=None)
    texts = ["", *cells.cat.categories]  # never none, which it cannot count
    counts = words.transform(texts).toarray()[1:]
    rows: NDArray[np.float64] = _with_missing(counts, 0.0)[cells.cat.codes]
    return rows


def _with_missing(values: NDArray[np.float64], missing: float) -> NDArray[np.float64]:
    """The values of each category, then those of missing cells, whose code is -1."""
    return np.vstack([values, np.full((1, values.shape[1]), missing)])
