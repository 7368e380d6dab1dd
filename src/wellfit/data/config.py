"""The sections ``data`` and ``fetch`` of ``params.yaml``."""

from typing import Literal

from pydantic import Field

from wellfit.config import Config

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
]


class DataConfig(Config):
    name: DatasetName
    n_samples: int = Field(ge=20, le=10_000_000)
    noise: float = Field(ge=0)
    minority_share: float = Field(gt=0, le=0.5)
    val_fraction: float = Field(gt=0, lt=1)
    test_fraction: float = Field(gt=0, lt=1)
    seed: int = Field(ge=0, lt=2**32)


class FetchConfig(Config):
    timeout: float = Field(gt=0)
    retries: int = Field(ge=0, le=100)
