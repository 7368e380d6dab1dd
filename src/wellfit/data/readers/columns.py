"""The columns of a table, as numbers or categories."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from wellfit.data.meta import Source, Unread
from wellfit.data.raw import FileRows, row_in_file
from wellfit.data.readers.numerals import (
    PLAIN,
    Decimal,
    Spelling,
    as_computers_write,
    find_spelling,
    plain_numbers,
    spelled,
)
from wellfit.errors import WellfitError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from wellfit.data.readers.disk_table import DiskTable


NO, YES = ("no", "n", "false", "f", "0", "0.0"), ("yes", "y", "true", "t", "1", "1.0")
WORDS = dict.fromkeys(NO, False) | dict.fromkeys(YES, True)


class Columns:
    """The columns of a table, as numbers or categories.

    Args:
        table: as `wellfit.data.readers.tables` read it.
        missing: texts that stand for missing values: ``data.missing``.
        path: of the file, for messages.
        first_row: number of the first row, for messages.
        files: where the rows of each file begin, if they are of several.
        roles: the columns that are no inputs, for what messages advise.
        max_categories: ``data.max_categories``, likewise.
    """

    def __init__(
        self,
        table: pa.Table | DiskTable,
        missing: Sequence[str],
        path: Path,
        first_row: int,
        files: Sequence[FileRows] = (),
        roles: Collection[str | None] = (),
        max_categories: int = 0,
    ) -> None:
        self.names: list[str] = table.column_names
        self.path, self.files = path, tuple(files) or (FileRows(path, first_row),)
        self._table, self._missing = table, list(missing)
        self._roles, self._max_categories = roles, max_categories

    def __len__(self) -> int:
        """The number of rows."""
        n_rows: int = self._table.num_rows
        return n_rows

    def row(self, index: int) -> str:
        """Where a row is, for messages."""
        return row_in_file(self.files, index)

    def is_declared(self, name: str) -> bool:
        """Whether the file declares that a column holds categories, whatever their type."""
        from pyarrow import types

        return bool(types.is_dictionary(self._table.column(name).type))

    def place(self, name: str, text: str) -> str:
        """Where a text stands first in a column, for messages."""
        import pyarrow.compute as pc

        return f"{self.row(pc.index(self.cells(name).cast('string'), text).as_py())}, column {name!r}"

    def stands_elsewhere(self, name: str, text: str) -> bool:
        """Whether a text stands in another column, too."""
        import pyarrow.compute as pc
        from pyarrow import types

        others = [self.cells(other) for other in self.names if other != name]
        return any(pc.index(cells, text).as_py() >= 0 for cells in others if types.is_string(cells.type))

    def has_role(self, name: str) -> bool:
        """Whether a column is no input, but what is to be predicted, or a weight or time."""
        return name in self._roles

    def may_be_categories(self, name: str) -> bool:
        """Whether ``data.categorical`` may list a column."""
        return len(self.cells(name).drop_null().unique()) <= most_categories(len(self), self._max_categories)

    def last_resort(self, name: str) -> str:
        """What can be done about a column of which some cells cannot be read, for messages."""
        if self.has_role(name):
            return "take these rows out"
        return f"list the column in {'data.categorical or ' if self.may_be_categories(name) else ''}data.drop"

    def way_out(self, name: str, text: str) -> str:
        """What can be done about a text that does not belong into a column, for messages.

        ``data.missing`` is not offered where another column would lose the text, nor where gaps are refused.
        """
        is_lost = self.has_role(name) or self.stands_elsewhere(name, text)
        return f"mend it, {'' if is_lost else 'add it to data.missing, '}or {self.last_resort(name)}"

    def _edge(self, index: int, n_wrong: int) -> str:
        """What the only odd cell of a column may be where it stands in the first or the last row."""
        if n_wrong > 1 or index not in (0, len(self) - 1):
            return ""
        return f"; if the {'last row is a total' if index else 'first row says units'}, take it out"

    def cells(self, name: str, gaps: Sequence[str] = ()) -> pa.ChunkedArray:
        """A column with null for NaN and for the texts of ``data.missing``, and every kind of text as plain strings.

        Args:
            name: of the column.
            gaps: further texts that stand for missing values.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self._table.column(name)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
            column = column.cast(pa.string())
        if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
            with suppress(pa.ArrowInvalid):  # bytes that are no text stay as they are
                column = column.cast(pa.string())
        if pa.types.is_floating(column.type):
            missing = pc.is_nan(column)
        elif pa.types.is_string(column.type):
            missing = pc.is_in(column, value_set=pa.array([*self._missing, *gaps], pa.string()))
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

    def read(self, source: Source, unread: list[Unread] | None = None) -> pd.Series[Any]:
        """A column as float64 numbers, NaN where missing, or else as a categorical of texts.

        Args:
            source: how its cells are read.
            unread: gets what is no number among numbers, which then is missing; None: it is refused.

        Raises:
            WellfitError: infinity, or a cell that is no number among numbers.
        """
        import pandas as pd

        if source.kind == "numbers":
            return pd.Series(self.numbers(source.name, spelling_of(source), unread, source.gaps))
        return pd.Series(self.categories(source.name, source.words, source.gaps))

    def numbers(
        self,
        name: str,
        spelling: Spelling | Decimal = PLAIN,
        unread: list[Unread] | None = None,
        gaps: Sequence[str] = (),
    ) -> NDArray[np.float64]:
        """A column as float64 numbers, NaN where missing.

        Args:
            name: of the column.
            spelling: of numbers in text; of a decimal mark, the spelling that fits most cells.
            unread: as of `read`.
            gaps: as of `cells`.

        Raises:
            WellfitError: a cell is not a number, or none that float32 can hold.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self.cells(name, gaps)
        if pa.types.is_string(column.type) and spelling == PLAIN and (plain := plain_numbers(column)) is not None:
            column = plain
        elif pa.types.is_string(column.type):
            if isinstance(spelling, str):
                spelling = find_spelling(column.drop_null(), spelling)[0]
            fits = spelled(column, spelling)
            if (wrong := pc.index(fits, False).as_py()) >= 0:
                example = column[wrong].as_py()
                if unread is None:
                    unit = f" of {kind}" if (kind := spelling.unit or spelling.currency) else ""
                    raise WellfitError(
                        f"{self.row(wrong)}, column {name!r}: {example!r} is not a number{unit}; "
                        + self.way_out(name, example)
                        + self._edge(wrong, pc.sum(pc.invert(fits)).as_py())
                    )
                unread.append(Unread(name, pc.sum(pc.invert(fits)).as_py(), example))
                column = pc.if_else(fits, column, pa.scalar(None, column.type))
            column = as_computers_write(column, spelling)
        try:
            values = column.cast(pa.float64(), safe=False).to_numpy()
        except pa.ArrowNotImplementedError:
            raise WellfitError(f"{self.path} column {name!r}: {column.type} cannot be read as numbers") from None
        too_large = np.flatnonzero(np.abs(values) > np.finfo(np.float32).max)
        if too_large.size:
            value = values[too_large[0]]
            if unread is None:
                fault = "is infinite" if np.isinf(value) else "float32 cannot hold this number"
                raise WellfitError(
                    f"{self.row(too_large[0])}, column {name!r}: {fault} ({value:g}); mend it, or add its text to "
                    "data.missing"
                )
            unread.append(Unread(name, too_large.size, f"{value:g}"))
            values = np.where(np.abs(values) > np.finfo(np.float32).max, np.nan, values)
        numbers: NDArray[np.float64] = values + 0.0  # makes -0.0 the 0.0 that it equals
        return numbers

    def categories(self, name: str, words: Sequence[str] = (), gaps: Sequence[str] = ()) -> pd.Categorical:
        """A column as categories, each a text, in the order of their first appearance; missing cells have none.

        Args:
            name: of the column.
            words: 'no' and 'yes' as they stand for all their spellings; empty: every spelling is its own category.
            gaps: as of `cells`.
        """
        import pandas as pd

        encoded = self.cells(name, gaps).cast("string").combine_chunks().dictionary_encode()
        codes, texts = encoded.indices.fill_null(-1).to_numpy(), encoded.dictionary.to_pylist()
        labels = pd.Categorical.from_codes(codes, categories=texts)
        names = [normalize("NFC", text) for text in texts]  # an accent may be a character of its own, or not
        if words:
            names = [text if (is_yes := truth(text)) is None else words[is_yes] for text in names]
        return labels if names == texts else relabel(labels, names)


def most_categories(n_cells: int, most: int) -> float:
    """How many categories a column may have: more than half of the cells have one to themselves in names and text.

    Args:
        n_cells: of the column.
        most: as many are always allowed.
    """
    return max(most, n_cells / 2)


def spelling_of(source: Source) -> Spelling:
    """How the numbers of a column are written."""
    return Spelling(source.decimal, source.unit, source.currency, source.multiples)


def refuse_together(path: Path, faults: Sequence[str]) -> None:
    """Refuses all columns of a file that cannot be used in one line.

    Args:
        path: of the file.
        faults: a sentence for each, which begins with the file.

    Raises:
        WellfitError: there is one.
    """
    if len(faults) == 1:
        raise WellfitError(faults[0])
    if faults:
        told = "; ".join(f"({i}) {fault.removeprefix(str(path)).strip()}" for i, fault in enumerate(faults, start=1))
        raise WellfitError(f"{path}: {len(faults)} columns cannot be used: {told}")


def relabel(labels: pd.Categorical, names: Sequence[str]) -> pd.Categorical:
    """Gives each category a name; those of one name become one."""
    import pandas as pd

    distinct = list(dict.fromkeys(names))
    new_codes = np.array([*map(distinct.index, names), -1])  # missing cells have code -1, which is the last
    codes: NDArray[np.int64] = new_codes[labels.codes]
    return pd.Categorical.from_codes(codes, categories=pd.Index(distinct, dtype="str"))


def truth(word: str) -> bool | None:
    """What a word for yes or no says, in whatever case; None: it is no such word."""
    return WORDS.get(word.casefold())
