"""The section ``data`` of ``params.yaml``, and its rules."""

import codecs
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from wellfit.config import Config, OneOf, PositiveOrZero, Rule, Seed, as_tuple, auto_or_between
from wellfit.data.augment.settings import Augmentation
from wellfit.data.catalog import CATALOG
from wellfit.data.meta import Meta, data_title
from wellfit.data.raw import Entry
from wellfit.data.readers.csv_shape import SEPARATORS
from wellfit.data.readers.images import Channels
from wellfit.data.readers.own_table import ROLES
from wellfit.data.target import TRANSFORMS
from wellfit.errors import WellfitError

BINARY = [name for name, entry in CATALOG.items() if entry.binary_class_names]


def _as_text(value: Any) -> Any:
    """A column that a number names, such as 21, which YAML does not read as text."""
    return str(value) if type(value) is int else value


def _as_square(value: Any) -> Any:
    """32 is 32 x 32."""
    return (value, value) if type(value) is int else value


def _as_codec(name: str) -> str:
    try:
        codecs.lookup(name)
    except LookupError:
        raise PydanticCustomError("codec", "must be an encoding such as cp1251 or shift_jis") from None
    return name


Sides = Annotated[tuple[Annotated[int, Field(ge=1, le=4096)], ...], BeforeValidator(as_tuple)]  # pixels
Name = Annotated[str, Field(min_length=1), BeforeValidator(_as_text)]
Names = Annotated[tuple[Name, ...], BeforeValidator(as_tuple)]
Texts = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]


class DataConfig(Config):
    """The section ``data``."""

    name: Annotated[str, OneOf(CATALOG)]
    path: Name
    target: Name | None
    target_transform: Annotated[str, OneOf(("none", *TRANSFORMS, "auto"))]
    task: Literal["auto", "classification", "regression", "binary"]
    separator: Annotated[str, OneOf(SEPARATORS)]
    encoding: Annotated[Name, AfterValidator(_as_codec)] | None
    decimal: Literal["point", "comma"]
    missing: Texts
    numeric: Names
    categorical: Names
    drop: Names
    id: Name | None
    weight: Name | None
    group: Name | None
    time: Name | None
    day_first: bool | None
    text: Literal["drop", "hash"]
    labels: Name | None
    bad_files: Literal["refuse", "skip"]
    image_size: Annotated[Sides, Field(min_length=2, max_length=2), BeforeValidator(_as_square)] | None
    channels: Channels
    max_categories: int = Field(ge=2, le=10_000)
    n_samples: int = Field(ge=20, le=10_000_000)
    noise: PositiveOrZero
    minority_share: float = Field(gt=0, le=0.5)
    outliers: float = Field(ge=0, lt=0.5)
    split: Literal["published", "random"]
    val_fraction: float = Field(gt=0, lt=1)
    folds: int | None = Field(ge=2, le=100)
    test_fraction: float = Field(gt=0, lt=1)
    seed: Seed
    augment: Augmentation
    memory: Annotated[Literal["auto"] | float, auto_or_between(0.001, 1_000_000, whole=False)]

    @property
    def entry(self) -> Entry:
        """What is known of the data set by its name."""
        return CATALOG[self.name]

    @property
    def title(self) -> str:
        """What people call the data: the name of the data set, or of their own file or folder."""
        return data_title(self.path) if self.entry.is_own else self.name

    @property
    def held_out(self) -> float:
        """The share of rows that are not trained on."""
        return self.val_fraction + self.test_fraction

    @property
    def named_twice(self) -> str | None:
        """A column that is to be two things at once."""
        roles = [*(getattr(self, role) for role in ROLES), *self.drop, *self.numeric, *self.categorical]
        return next((name for name, count in Counter(roles).items() if name and count > 1), None)


def own_settings(data: DataConfig) -> dict[str, Any]:
    """The settings that the user's own data are prepared with; empty for data known by name."""
    return data.model_dump(mode="json", exclude={"augment", "memory"}) if data.entry.is_own else {}


def _own_table_only(key: str) -> Rule:
    return Rule(
        ("data.name", f"data.{key}"),
        lambda p, _: not p.data.entry.is_own_table and getattr(p.data, key) is not None,
        f"data.{key} names a column of a csv or parquet file, but data.name is {{data.name}}; set it to null",
    )


def check_prepared(data: DataConfig, meta: Meta, folder: Path) -> None:
    """Checks that the user's own data were prepared with the present settings, for a stage that is called by itself.

    Raises:
        WellfitError: one is another now.
    """
    for key, value in own_settings(data).items():
        if meta.settings.get(key, value) != value:
            raise WellfitError(
                f"{folder} was prepared with data.{key} {meta.settings[key]}, which is {value} now: run `dvc repro "
                "preprocess`"
            )


RULES = [
    Rule(
        ("data.name", "data.target"),
        lambda p, _: p.data.entry.is_own_table and p.data.target is None,
        "data.target must name the column to predict, as data.name is {data.name}, got null",
    ),
    *(_own_table_only(role) for role in ROLES if role not in ("target", "id")),
    Rule(
        ("data.name", "data.id", "data.labels"),
        lambda p, _: not p.data.entry.is_own_table and p.data.labels is None and p.data.id is not None,
        "data.id names a column of a csv or parquet file, but data.name is {data.name}; set it to null",
    ),
    Rule(
        ("data.name", "data.labels"),
        lambda p, _: p.data.labels is not None and p.data.name != "images",
        "data.labels names a file of the classes of images, but data.name is {data.name}; set it to null",
    ),
    Rule(
        ("data.name", "data.task"),
        lambda p, _: p.data.task == "binary" and not p.data.entry.binary_class_names,
        f"data.task binary is for {' and '.join(BINARY)}, not for data.name {{data.name}}; use auto",
    ),
    Rule(
        ("data.name", "data.task"),
        lambda p, _: p.data.entry.task is not None and p.data.task not in ("auto", "binary", p.data.entry.task),
        "data.task {data.task} does not fit data.name {data.name}, which is a {data.entry.task}; use auto",
    ),
    Rule(
        tuple(f"data.{key}" for key in (*ROLES, "drop", "numeric", "categorical")),
        lambda p, _: p.data.named_twice is not None,
        "a column must be named once among data.target, id, weight, group, time, drop, numeric and categorical, but "
        "{data.named_twice} is named twice",
    ),
    Rule(
        ("data.group", "data.time"),
        lambda p, _: p.data.group is not None and p.data.time is not None,
        "data.group and data.time exclude each other, got {data.group} and {data.time}; set one to null",
    ),
    Rule(
        ("data.target_transform", "data.name", "data.task"),
        lambda p, data: p.data.target_transform in TRANSFORMS and data.task == "classification",
        "data.target_transform {data.target_transform} is for numbers, but data.name {data.name} has classes; use none",
    ),
    Rule(
        ("data.val_fraction", "data.test_fraction"),
        lambda p, _: p.data.held_out >= 1,
        "data.val_fraction + data.test_fraction must be < 1, got {data.held_out:g}",
    ),
    Rule(
        ("data.name", "data.augment"),
        lambda p, data: p.data.augment != "none" and data.kind == "table",
        "data.augment needs images, but data.name {data.name} is a table; use none",
    ),
]
