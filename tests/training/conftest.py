"""Small processed data sets, and params that train on them in a moment."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from wellfit.data.meta import SPLIT_NAMES, Column, Meta
from wellfit.data.prepare import column_quantiles
from wellfit.data.store import Split, save_meta, save_split
from wellfit.settings.params import Params, load_params

from ..conftest import PLAIN

SHIPPED = Path(__file__).parents[2] / "params.yaml"
SMALL = [
    "model.hidden=[8]",
    "model.channels=[4]",
    "train.device=cpu",
    "train.threads=1",
    "train.epochs=3",
    "train.batch_size=8",
    "schedule.warmup_epochs=0",
    "tune.space={}",
]
DATA_NAMES = {"table": "wine", "regression": "diabetes", "images": "digits"}
SIZES = {"train": 35, "val": 20, "test": 10}


@pytest.fixture(autouse=True)
def _torch_as_it_was() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("default")


@pytest.fixture(autouse=True)
def _scratch_files_are_not_at_the_projects_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


@pytest.fixture
def make_params() -> Callable[..., Params]:
    """Params for a kind of data (table, regression or images), with other ``KEY=VALUE`` on top."""

    def make(kind: str = "table", *overrides: str) -> Params:
        return load_params(SHIPPED, [*PLAIN, *SMALL, f"data.name={DATA_NAMES[kind]}", *overrides])

    return make


@pytest.fixture
def processed(tmp_path: Path) -> Callable[..., Path]:
    """Writes a processed data set as `preprocess` does, and returns its folder."""

    def write(kind: str = "table", sizes: dict[str, int] | None = None, seed: int = 0) -> Path:
        folder = tmp_path / f"{kind}-{seed}"
        folder.mkdir()
        random = np.random.default_rng(seed)
        splits = {name: rows_of(kind, n, random) for name, n in (SIZES | (sizes or {})).items()}
        manifest: dict[str, str] = {}
        for name in SPLIT_NAMES:
            manifest |= save_split(folder, name, splits[name])
        save_meta(folder, describe(kind, splits, manifest))
        return folder

    return write


def rows_of(kind: str, n: int, random: np.random.Generator) -> Split:
    """Rows whose target is easily learned: three clouds, a noisy plane, or images of three brightnesses."""
    ids = np.arange(n)
    labels = np.arange(n) % 3
    if kind == "images":
        x = random.integers(0, 40, (n, 2, 5, 6)) + 80 * labels[:, None, None, None] + [[[0]], [[50]]]
        return Split(x.astype(np.uint8), labels, ids)
    x = random.normal(size=(n, 4)).astype(np.float32)
    if kind == "regression":
        y = 100 + 20 * x @ [1, -2, 0.5, 0] + random.normal(size=n)
        scaled = x * [1, 10, 100, 0.01] + [0, 5, -1000, 0]
        return Split(scaled.astype(np.float32), y.astype(np.float32), ids)
    x[:, 0] += 4 * labels
    x[:, 1] = 7.0  # a feature that is constant
    return Split(x, labels, ids)


def number(name: str) -> Column:
    return Column(name=name, fill=0.0, flags_missing=False, categories=())


def describe(kind: str, splits: dict[str, Split], manifest: dict[str, str]) -> Meta:
    train = splits["train"]
    axes = (0, 2, 3) if kind == "images" else (0,)
    std = train.x.std(axes, dtype=np.float64)
    numbers = kind == "regression"
    return Meta(
        name=DATA_NAMES[kind],
        kind="images" if kind == "images" else "table",
        task="regression" if numbers else "classification",
        columns=() if kind == "images" else tuple(number(name) for name in "abcd"),
        class_names=() if numbers else ("p", "q", "r"),
        target_name="y",
        input_shape=train.x.shape[1:],
        split_sizes={name: len(split.ids) for name, split in splits.items()},
        mean=tuple(train.x.mean(axes, dtype=np.float64).tolist()),
        std=tuple(np.where(std == 0, 1.0, std).tolist()),
        quantiles=() if kind == "images" else column_quantiles(train.x),
        target_mean=float(train.y.mean(dtype=np.float64)) if numbers else None,
        target_std=float(train.y.std(dtype=np.float64)) if numbers else None,
        class_counts=() if numbers else tuple(np.bincount(train.y, minlength=3).tolist()),
        warnings=(),
        manifest=manifest,
    )
