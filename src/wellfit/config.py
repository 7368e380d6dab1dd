"""The base of every section of ``params.yaml``."""

from collections.abc import Collection
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PositiveInt
from pydantic_core import PydanticCustomError


class Config(BaseModel):
    """A frozen, strict section: unknown keys, wrong types, NaN and infinity are errors, and no key has a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def as_tuple(value: Any) -> Any:
    """A list as a tuple, for fields of frozen objects."""
    return tuple(value) if isinstance(value, list) else value


# YAML has lists only; a frozen object wants tuples.
Widths = Annotated[tuple[PositiveInt, ...], BeforeValidator(as_tuple)]


def one_of(names: Collection[str]) -> BeforeValidator:
    """Checks that a value is one of a table's names.

    Args:
        names: that ``params.yaml`` may hold.
    """

    def check(value: Any) -> Any:
        if value not in names:
            # The words of pydantic's Literal, so that both read the same.
            *first, last = map(repr, names)
            expected = f"{', '.join(first)} or {last}"
            raise PydanticCustomError("literal_error", "Input should be {expected}", {"expected": expected})
        return value

    return BeforeValidator(check)
