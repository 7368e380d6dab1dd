"""The sections ``data`` and ``fetch`` of ``params.yaml``."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from wellfit.config import Config, Widths, as_tuple
from wellfit.data.augmentation import Augmentation

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
