"""The base of every section of ``params.yaml``."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PositiveInt


class Config(BaseModel):
    """A frozen, strict section: unknown keys, wrong types, NaN and infinity are errors, nothing has a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


# YAML has lists only; a frozen object wants tuples.
Widths = Annotated[tuple[PositiveInt, ...], BeforeValidator(_as_tuple)]
