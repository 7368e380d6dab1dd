from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from wellfit.data.meta import SplitName
from wellfit.data.store import load_meta, load_split
from wellfit.data.target import fit_transform
from wellfit.models.inputs import Inputs
from wellfit.training.tensors import to_tensors

from ..conftest import resident

CPU = torch.device("cpu")
SPLITS: list[SplitName] = ["train", "val"]


@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.parametrize("kind", ["table", "images"])
def test_rows_stay_as_they_are_stored(processed: Callable[..., Path], kind: str, name: SplitName) -> None:
    folder = processed(kind)
    meta = load_meta(folder)
    split = load_split(folder, meta, name)
    tensors = to_tensors(split, meta, CPU)
    assert tensors.x.dtype == (torch.uint8 if kind == "images" else torch.float32)
    np.testing.assert_array_equal(tensors.x.numpy(), split.x)
    assert tensors.weights is None


def test_weights_come_along(processed: Callable[..., Path]) -> None:
    folder = processed("table")
    meta = load_meta(folder)
    split = load_split(folder, meta, "val")._replace(weights=np.arange(20, dtype=np.float32))
    weights = to_tensors(split, meta, CPU).weights
    assert weights is not None
    assert weights.tolist() == list(range(20))


def test_a_transformed_target_is_standardized(processed: Callable[..., Path]) -> None:
    folder = processed("regression")
    meta, split = load_meta(folder), load_split(folder, load_meta(folder), "train")
    transform, _ = fit_transform("quantile", split.y, 0.0)
    assert transform is not None
    meta = meta.model_copy(update={"target_transform": transform, "target_mean": 0.5, "target_std": 2.0})
    y = to_tensors(split, meta, CPU).y
    assert y.dtype == torch.float32
    np.testing.assert_allclose(y, (transform.forward(split.y) - 0.5) / 2.0, rtol=1e-6)


def test_training_rows_get_mean_0_and_deviation_1_where_they_vary(processed: Callable[..., Path]) -> None:
    folder = processed("regression")
    meta = load_meta(folder)
    x, y, *_ = to_tensors(load_split(folder, meta, "train"), meta, CPU)
    for values in (*Inputs(meta, "standard", CPU)(x).T, y):
        assert values.mean().item() == pytest.approx(0, abs=1e-5)
        assert values.std(correction=0).item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("name", SPLITS)
def test_a_numeric_target_is_standardized_by_the_training_rows(processed: Callable[..., Path], name: SplitName) -> None:
    folder = processed("regression")
    meta = load_meta(folder)
    train = np.array(load_split(folder, meta, "train").y, float)
    split = load_split(folder, meta, name)
    y = to_tensors(split, meta, CPU).y
    assert y.dtype == torch.float32
    np.testing.assert_allclose(y.numpy(), (split.y - train.mean()) / train.std(), atol=1e-5)


@pytest.mark.parametrize("kind", ["table", "images"])
def test_classes_stay_as_they_are(processed: Callable[..., Path], kind: str) -> None:
    folder = processed(kind)
    meta = load_meta(folder)
    split = load_split(folder, meta, "val")
    y = to_tensors(split, meta, CPU).y
    assert y.dtype == torch.int64
    assert y.tolist() == split.y.tolist()


def test_rows_in_memory_are_not_held_as_a_file_too(processed: Callable[..., Path]) -> None:
    folder = processed("images")
    meta = load_meta(folder)
    split = load_split(folder, meta, "train")
    to_tensors(split, meta, CPU)
    assert resident(folder / "x_train.npy") == 0


@pytest.mark.parametrize("kind", ["table", "regression", "images"])
def test_tensors_are_a_copy_of_what_is_on_disk(processed: Callable[..., Path], kind: str) -> None:
    folder = processed(kind)
    meta = load_meta(folder)
    x, y, *_ = to_tensors(load_split(folder, meta, "train"), meta, CPU)
    assert x.is_contiguous()
    x.zero_()
    y.zero_()
    load_split(folder, meta, "train")  # its sha256 is still right
