"""The columns that a user knows, and where each of them is in a stored row."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.data.meta import Column, Meta
from wellfit.data.sources import input_names

OTHER = "(other)"  # a category that is not told apart


class Place(NamedTuple):
    """A column of a table, and where it is in a stored row.

    Attributes:
        column: what is known of it.
        value: index of its number or of the code of its category.
        flag: index of what says that the number is missing; None where there is nothing of the kind.
    """

    column: Column
    value: int
    flag: int | None = None

    @property
    def stored(self) -> list[int]:
        """All indices that belong to the column."""
        return [self.value] if self.flag is None else [self.value, self.flag]

    def cell(self, row: NDArray[np.float32]) -> float | str | None:
        """What the raw data had: a number, a category, or None where a number was missing."""
        if self.column.fill is None:
            code = int(row[self.value])
            return self.column.categories[code] if code >= 0 else OTHER
        return None if self.flag is not None and row[self.flag] == 1 else float(row[self.value])


class Feature(NamedTuple):
    """What is explained as one: a column, or all columns that were made of one raw column.

    Attributes:
        name: of the raw column.
        places: of its columns.
    """

    name: str
    places: tuple[Place, ...]

    @property
    def stored(self) -> list[int]:
        """All indices of a stored row that belong to it."""
        return [index for place in self.places for index in place.stored]

    def cell(self, row: NDArray[np.float32]) -> Any:
        """What the raw data had; None where it was missing or is made of several columns."""
        return self.places[0].cell(row) if len(self.places) == 1 else None


def places_of(meta: Meta) -> list[Place]:
    """Each of ``Meta.columns`` with its place: numbers stand first, then their flags, then the codes of categories."""
    numbers = [column for column in meta.columns if column.fill is not None]
    flagged = [column.name for column in numbers if column.flags_missing]
    places = []
    for i, column in enumerate(meta.columns):
        if column.fill is None:
            places.append(Place(column, i + len(flagged)))
        else:
            flag = len(numbers) + flagged.index(column.name) if column.flags_missing else None
            places.append(Place(column, i, flag))
    return places


def features_of(meta: Meta) -> list[Feature]:
    """The columns that are explained: what was made of one column of the file, such as parts of a date, is one."""
    made_of = {name: source.name for source in meta.sources for name in input_names(source)}
    places: dict[str, list[Place]] = {}
    for place in places_of(meta):
        places.setdefault(made_of.get(place.column.name, place.column.name), []).append(place)
    return [Feature(name, tuple(them)) for name, them in places.items()]
