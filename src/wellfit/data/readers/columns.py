"""Decides from all cells of a column whether it holds numbers or categories."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from wellfit.errors import WellfitError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from wellfit.data.settings import DataConfig

COMMA = r"^[+-]?(\d+|\d{1,3}(\.\d{3})+)?,\d+$"  # a decimal comma
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
THOUSANDS = r"^[+-]?\d{1,3}(\.\d{3})+$"  # read as whole numbers where the comma is the decimal mark
DATE = r"^(\d{4}-\d{1,2}-\d{1,2}|\d{1,2}[./]\d{1,2}[./]\d{2,4}|\d{4}/\d{1,2}/\d{1,2})([T ]\d{1,2}:\d{2}.*)?$"
# Above this share of numbers, the other cells of a column are mistakes, and the column is not categorical.
MOSTLY = 0.95


class Columns:
    """The columns of a table, as numbers or categories.

    Args:
        table: as `wellfit.data.readers.tables` read it.
        data: the section ``data``: which texts are missing values, and what is to be read as numbers or categories.
        path: of the file, for messages.
        first_row: number of the first row, for messages.
    """

    def __init__(self, table: pa.Table, data: DataConfig, path: Path, first_row: int) -> None:
        self.names: list[str] = table.column_names
        self._table, self._data, self._path, self._first_row = table, data, path, first_row

    def __len__(self) -> int:
        """The number of rows."""
        n_rows: int = self._table.num_rows
        return n_rows

    def row(self, index: int) -> str:
        """Where a row is, for messages."""
        return f"{self._path} row {self._first_row + int(index)}"

    def cells(self, name: str) -> pa.ChunkedArray:
        """A column with null for NaN and for the texts of ``data.missing``, and every kind of text as plain strings."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self._table.column(name)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
            column = column.cast(pa.string())
        if pa.types.is_floating(column.type):
            missing = pc.is_nan(column)
        elif pa.types.is_string(column.type):
            missing = pc.is_in(column, value_set=pa.array(self._data.missing, pa.string()))
        else:
            return column
        return pc.if_else(missing, pa.scalar(None, column.type), column)

    def complete(self, name: str, what: str) -> pa.ChunkedArray:
        """The `cells` of a column, none of which may be missing.

        Raises:
            WellfitError: one is; the message calls the column ``what``.
        """
        import pyarrow.compute as pc

        column = self.cells(name)
        if column.null_count:
            first = pc.index(column.is_null(), True).as_py()
            raise WellfitError(
                f"{self.row(first)}: {what} is missing, as in {column.null_count} rows in all; fill it in, or take "
                "these rows out"
            )
        return column

    def feature(self, name: str) -> pd.Series[Any]:
        """A column as float64 numbers, NaN where missing, or as a categorical of texts.

        Text is read as numbers if all of its cells are; booleans are categories. ``data.numeric`` and
        ``data.categorical`` override that.

        Raises:
            WellfitError: dates, lists or other types; infinity; or a cell that is no number among numbers.
        """
        import pandas as pd

        is_number = name in self._data.numeric or (name not in self._data.categorical and self._is_number(name))
        return pd.Series(self.numbers(name) if is_number else self.categories(name))

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A column as float64 numbers, NaN where missing.

        Raises:
            WellfitError: a cell is not a number, or none that float32 can hold.
        """
        import pyarrow as pa

        column = self._with_points(self.cells(name))
        try:
            values = column.cast(pa.float64(), safe=False).to_numpy()
        except pa.ArrowInvalid:
            self._refuse_text(self._with_points(column), name)
        except pa.ArrowNotImplementedError:
            raise WellfitError(f"{self._path} column {name!r}: {column.type} cannot be read as numbers") from None
        too_large = np.flatnonzero(np.abs(values) > np.finfo(np.float32).max)
        if too_large.size:
            raise WellfitError(
                f"{self.row(too_large[0])}, column {name!r}: must be a finite float32 number, got "
                f"{values[too_large[0]]:g}; a text of data.missing stands for a missing one"
            )
        numbers: NDArray[np.float64] = values + 0.0  # makes -0.0 the 0.0 that it equals
        return numbers

    def categories(self, name: str) -> pd.Categorical:
        """A column as categories, each a text, in the order of their first appearance; missing cells have none."""
        import pandas as pd

        encoded = self.cells(name).cast("string").combine_chunks().dictionary_encode()
        codes = encoded.indices.fill_null(-1).to_numpy()
        return pd.Categorical.from_codes(codes, categories=encoded.dictionary.to_pylist())

    def _is_number(self, name: str) -> bool:
        """Whether a column holds numbers; else it holds categories."""
        import pyarrow.compute as pc
        from pyarrow import types

        column = self.cells(name)
        kind = column.type
        if types.is_temporal(kind):
            self._refuse_dates(column, name)
        if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
            return True
        if types.is_boolean(kind) or types.is_null(kind):
            return False
        if not types.is_string(kind):
            raise WellfitError(
                f"{self._path} column {name!r}: {kind} is neither numbers nor text; list it in data.drop"
            )
        known = self._with_points(column.drop_null())
        if not len(known):
            return False
        share = _share(known, NUMBER)
        if share == 1:
            return True
        if share > MOSTLY:
            self._refuse_text(self._with_points(column), name)
        if _share(known, f"{NUMBER}|{COMMA}") == 1:
            raise WellfitError(
                f"{self._path} column {name!r}: {known[0].as_py()!r} looks like a number with a decimal comma; set "
                "data.decimal to comma, or list the column in data.categorical"
            )
        if pc.all(pc.match_substring_regex(known, DATE)).as_py():
            self._refuse_dates(column, name)
        return False

    def _with_points(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Text with decimal points in place of decimal commas, and without the points between thousands."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self._data.decimal == "point" or not pa.types.is_string(column.type):
            return column
        pointed = pc.replace_substring(pc.replace_substring(column, ".", ""), ",", ".")
        is_comma = pc.or_(pc.match_substring_regex(column, COMMA), pc.match_substring_regex(column, THOUSANDS))
        return pc.if_else(is_comma, pointed, column)

    def _refuse_text(self, column: pa.ChunkedArray, name: str) -> NoReturn:
        import pyarrow.compute as pc

        text = column.cast("string")
        index = pc.index(pc.fill_null(pc.match_substring_regex(text, NUMBER), True), False).as_py()
        raise WellfitError(
            f"{self.row(index)}, column {name!r}: {text[index].as_py()!r} is not a number; mend it, add it to "
            "data.missing, or, if it is an input, list the column in data.categorical"
        )

    def _refuse_dates(self, column: pa.ChunkedArray, name: str) -> NoReturn:
        example = column.drop_null()[0] if column.null_count < len(column) else "none"
        raise WellfitError(
            f"{self._path} column {name!r}: holds dates ({example}), which are not inputs; make numbers of them (the "
            "year, the days since a day), split by it with data.time, or list it in data.drop"
        )


def _share(column: pa.ChunkedArray, pattern: str) -> float:
    """Share of the cells of text that fit a pattern."""
    import pyarrow.compute as pc

    share: float = pc.mean(pc.match_substring_regex(column, pattern).cast("float64")).as_py()
    return share
