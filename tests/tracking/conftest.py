"""MLflow runs: how they end, where they nest, what they hold. All against a real sqlite store."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from wellfit.data.meta import Meta
from wellfit.tracking.store import open_client


@pytest.fixture
def meta() -> Meta:
    return Meta(
        name="moons",
        kind="table",
        task="classification",
        columns=(),
        class_names=("0", "1"),
        target_name="moon",
        input_shape=(2,),
        split_sizes={"train": 6, "val": 2, "test": 2},
        mean=(0.0, 0.0),
        std=(1.0, 1.0),
        target_mean=None,
        target_std=None,
        class_counts=(3, 3),
        warnings=(),
        manifest={},
    )


@pytest.fixture
def client(project: Path) -> MlflowClient:
    return open_client()
