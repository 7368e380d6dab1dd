from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from wellfit.data.meta import Column, Meta
from wellfit.models.inputs import Inputs

CPU = torch.device("cpu")


def meta(kind: Any, shape: tuple[int, ...], mean: Any, std: Any, counts: tuple[int, ...] = ()) -> Meta:
    columns = [Column(name=f"n{i}", fill=0.0, flags_missing=False, categories=()) for i in range(len(mean))]
    columns += [
        Column(name=f"c{i}", fill=None, flags_missing=False, categories=tuple(map(str, range(count))))
        for i, count in enumerate(counts)
    ]
    return Meta(
        name="wine",
        kind=kind,
        task="regression",
        columns=() if kind == "images" else tuple(columns),
        class_names=(),
        target_name="y",
        input_shape=shape,
        split_sizes={"train": 1, "val": 1, "test": 1},
        mean=tuple(mean),
        std=tuple(std),
        target_mean=0.0,
        target_std=1.0,
        class_counts=(),
        warnings=(),
        manifest={},
    )


@given(
    numbers=st.integers(0, 3),
    counts=st.lists(st.integers(1, 5), max_size=3),
    rows=st.integers(1, 6),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_a_table_is_encoded_as_scikit_learn_does(numbers: int, counts: list[int], rows: int, seed: int) -> None:
    if numbers + len(counts) == 0:
        return
    random = np.random.default_rng(seed)
    x = random.normal(50, 20, (rows, numbers))
    codes = np.stack([random.integers(-1, count, rows) for count in counts], 1) if counts else np.zeros((rows, 0))
    expected = [codes[:, :0]]
    mean, std = x.mean(0), np.ones(numbers)
    if numbers:
        scaler = StandardScaler().fit(x)
        std = scaler.scale_
        expected.append(scaler.transform(x))
    if counts:
        encoder = OneHotEncoder(categories=[np.arange(c) for c in counts], handle_unknown="ignore", sparse_output=False)
        expected.append(encoder.fit(np.zeros((1, len(counts)))).transform(codes))
    inputs = Inputs(meta("table", (numbers + len(counts),), mean, std, tuple(counts)), "standard", CPU)
    encoded = inputs(torch.tensor(np.hstack([x, codes]), dtype=torch.float32))
    assert encoded.dtype == torch.float32
    assert encoded.shape[1:] == inputs.shape == (numbers + sum(counts),)
    lost = 2e-6 * np.max(np.abs(x) / std, initial=0)  # of float32 numbers that are almost equal
    np.testing.assert_allclose(encoded.numpy(), np.hstack(expected), rtol=1e-4, atol=1e-4 + lost)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_each_channel_of_images_is_standardized(dtype: torch.dtype) -> None:
    images = torch.randint(0, 256, (5, 2, 3, 4)).to(dtype)
    inputs = Inputs(meta("images", (2, 3, 4), (100.0, 7.0), (50.0, 0.5)), "standard", CPU)
    kept = images.clone()
    encoded = inputs(images)
    assert (encoded.dtype, inputs.shape) == (torch.float32, (2, 3, 4))
    torch.testing.assert_close(encoded[:, 0], (images[:, 0].float() - 100) / 50)
    torch.testing.assert_close(encoded[:, 1], (images[:, 1].float() - 7) / 0.5)
    assert torch.equal(images, kept), "what is stored stays as it is"
