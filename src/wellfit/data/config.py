"""The sections ``data`` and ``fetch`` of ``params.yaml``."""

from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from wellfit.config import Config, Rule, Widths, as_tuple
from wellfit.data.augmentation import Augmentation
from wellfit.data.catalog import CATALOG

DatasetName = Literal[
    "digits",
    "wine",
    "breast_cancer",
    "diabetes",
    "moons",
    "regression",
    "imbalanced",
    "adult",
    "california_housing",
    "fashion_mnist",
    "mnist",
    "cifar10",
    "csv",
    "parquet",
    "images",
]
OWN_TABLES = ("csv", "parquet")
OWN_DATA = (*OWN_TABLES, "images")


Name = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[Name, ...], BeforeValidator(as_tuple)]
Texts = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]


class DataConfig(Config):
    name: DatasetName
    path: Name
    target: Name | None
    task: Literal["auto", "classification", "regression", "binary"]
    separator: Literal["comma", "semicolon", "tab", "pipe"]
    decimal: Literal["point", "comma"]
    missing: Texts
    numeric: Names
    categorical: Names
    drop: Names
    id: Name | None
    weight: Name | None
    group: Name | None
    time: Name | None
    image_size: Annotated[Widths, Field(min_length=2, max_length=2)] | None
    channels: Literal["auto", "grey", "rgb"]
    max_categories: int = Field(ge=2, le=10_000)
    n_samples: int = Field(ge=20, le=10_000_000)
    noise: float = Field(ge=0)
    minority_share: float = Field(gt=0, le=0.5)
    outliers: float = Field(ge=0, lt=0.5)
    split: Literal["published", "random"]
    val_fraction: float = Field(gt=0, lt=1)
    test_fraction: float = Field(gt=0, lt=1)
    seed: int = Field(ge=0, lt=2**32)
    augment: Augmentation


def own_settings(data: DataConfig) -> dict[str, Any]:
    """What decides how the user's own data are prepared; nothing for data with a name, which each have a folder."""
    return data.model_dump(mode="json", exclude={"augment"}) if data.name in OWN_DATA else {}


class FetchConfig(Config):
    timeout: float = Field(gt=0)
    retries: int = Field(ge=0, le=100)


COLUMNS = ("id", "weight", "group", "time")
ROLES = ("target", *COLUMNS)


def _named_twice(data: DataConfig) -> str:
    """A column that is to be two things at once, or an empty text."""
    roles = [*(getattr(data, role) for role in ROLES), *data.drop, *data.numeric, *data.categorical]
    return next((name for name, count in Counter(roles).items() if name and count > 1), "")


def _own_table_only(key: str) -> Rule:
    return Rule(
        ("data.name", f"data.{key}"),
        lambda p, _: p.data.name not in OWN_TABLES and getattr(p.data, key) is not None,
        lambda p, _: (
            f"data.{key} names a column of a csv or parquet file, but data.name is {p.data.name}; set it to null"
        ),
    )


RULES = [
    Rule(
        ("data.name", "data.target"),
        lambda p, _: p.data.name in OWN_TABLES and p.data.target is None,
        lambda p, _: f"data.target must name the column to predict, as data.name is {p.data.name}, got null",
    ),
    *map(_own_table_only, COLUMNS),
    Rule(
        ("data.name", "data.task"),
        lambda p, _: p.data.task == "binary" and p.data.name not in ("mnist", "fashion_mnist"),
        lambda p, _: f"data.task binary is for mnist and fashion_mnist, not for data.name {p.data.name}; use auto",
    ),
    Rule(
        ("data.name", "data.task"),
        lambda p, _: (
            CATALOG[p.data.name].task is not None and p.data.task not in ("auto", "binary", CATALOG[p.data.name].task)
        ),
        lambda p, _: (
            f"data.task {p.data.task} does not fit data.name {p.data.name}, which is a {CATALOG[p.data.name].task}; "
            "use auto"
        ),
    ),
    Rule(
        tuple(f"data.{key}" for key in (*ROLES, "drop", "numeric", "categorical")),
        lambda p, _: bool(_named_twice(p.data)),
        lambda p, _: (
            f"a column has one part, but {_named_twice(p.data)} has two among data.target, id, weight, group, time, "
            "drop, numeric and categorical"
        ),
    ),
    Rule(
        ("data.group", "data.time"),
        lambda p, _: p.data.group is not None and p.data.time is not None,
        lambda p, _: (
            f"data.group and data.time exclude each other, got {p.data.group} and {p.data.time}; set one to null"
        ),
    ),
    Rule(
        ("data.val_fraction", "data.test_fraction"),
        lambda p, _: p.data.val_fraction + p.data.test_fraction >= 1,
        lambda p, _: (
            f"data.val_fraction + data.test_fraction must be < 1, got {p.data.val_fraction + p.data.test_fraction:g}"
        ),
    ),
    Rule(
        ("data.name", "data.augment"),
        lambda p, data: p.data.augment != "none" and data.kind != "images",
        lambda p, _: f"data.augment needs images, but data.name {p.data.name} is a table; use none",
    ),
]
