"""What sections of ``params.yaml`` are made of: their base class, names that stand in a table, rules."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler, PlainValidator
from pydantic_core import CoreSchema, PydanticCustomError, PydanticKnownError, core_schema

if TYPE_CHECKING:
    from wellfit.data.meta import Kind, Task


class Config(BaseModel):
    """A frozen, strict section: unknown keys, wrong types, NaN and infinity are errors, and no key has a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class OneOf:
    """Restricts a text to the names of a table: ``Annotated[str, OneOf(OPTIMIZERS)]``.

    Args:
        names: two or more.
    """

    names: Collection[str]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._check, handler(source))

    def _check(self, value: Any) -> str:
        if isinstance(value, str) and value in self.names:
            return value
        *names, last = self.names
        raise PydanticKnownError("literal_error", {"expected": f"{', '.join(names)} or {last}"})


class DataKind(NamedTuple):
    """What the data are, and what is to be predicted: None as long as they have not told it.

    Attributes:
        kind: images or table.
        task: classification or regression.
        classes: how many; 0 for a regression, and as long as the data have not told it.
    """

    kind: Kind
    task: Task | None
    classes: int = 0


class Rule(NamedTuple):
    """A rule about one key of ``params.yaml`` or several.

    Attributes:
        keys: dotted, all on which the rule depends.
        is_broken: whether a configuration, `wellfit.settings.params.Params`, breaks it where the data are of this kind.
        text: what to say then: the rule, the values, the keys. ``{optim.lr:g}`` stands for a value or a property of a
            section, ``{task}`` and ``{classes}`` for those of the data.
    """

    keys: tuple[str, ...]
    is_broken: Callable[[Any, DataKind], bool]
    text: str

    def message(self, params: Config, kind: DataKind) -> str:
        """The text with the values of a configuration."""
        sections = {name: _Shown(getattr(params, name)) for name in type(params).model_fields}
        return self.text.format(task=kind.task, classes=kind.classes, **sections)


class _Shown:
    """A section whose tuples read as the lists of the file."""

    def __init__(self, section: Config) -> None:
        self._section = section

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._section, name)
        return list(value) if type(value) is tuple else value


def auto_or_between(low: float, high: float, *, or_null: bool = False, whole: bool = True) -> PlainValidator:
    """Takes ``auto`` or a number from low to high, or null where that has a meaning."""
    text = f"must be {'null, ' * or_null}auto or a {'whole ' * whole}number from {low} to {high}"

    def check(value: Any) -> Any:
        if value == "auto" or (value is None and or_null):
            return value
        if type(value) in ((int,) if whole else (int, float)) and low <= value <= high:
            return value
        raise PydanticCustomError("auto_or_number", text)

    return PlainValidator(check)


def as_tuple(value: Any) -> Any:
    """A list as a tuple, for fields of frozen objects."""
    return tuple(value) if isinstance(value, list) else value


MOST = 100_000  # far above what makes sense, and below what never ends
LARGEST = 1e38  # that float32 holds

Count = Annotated[int, Field(ge=1, le=MOST)]
CountOrZero = Annotated[int, Field(ge=0, le=MOST)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Positive = Annotated[float, Field(gt=0, le=LARGEST)]
PositiveOrZero = Annotated[float, Field(ge=0, le=LARGEST)]
# YAML has lists only; a frozen object wants tuples.
Counts = Annotated[tuple[Count, ...], BeforeValidator(as_tuple)]
