"""The base of every section of ``params.yaml``."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PositiveInt


class Config(BaseModel):
    """A frozen, strict section: unknown keys, wrong types, NaN and infinity are errors, and no key has a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def as_tuple(value: Any) -> Any:
    """A list as a tuple, for fields of frozen objects."""
    return tuple(value) if isinstance(value, list) else value


# YAML has lists only; a frozen object wants tuples.
Widths = Annotated[tuple[PositiveInt, ...], BeforeValidator(as_tuple)]
