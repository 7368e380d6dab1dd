import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from wellfit.data.store import load_meta
from wellfit.errors import WellfitError
from wellfit.settings.params import Params, load_params
from wellfit.training.members import Members, TrainConfig

SHIPPED = load_params(Path(__file__).parents[2] / "params.yaml")


def config(monitor: str, epochs: int = 8) -> TrainConfig:
    values = {"monitor": monitor, "patience": None, "min_delta": 0.0, "epochs": epochs}
    return TrainConfig.model_validate(SHIPPED.train.model_dump() | values)


def test_a_monitor_that_is_not_defined_is_one_line() -> None:
    members = Members([config("val/msle")])
    with pytest.raises(WellfitError, match=r"^train\.monitor val/msle is not defined .* use val/loss \(params.yaml\)$"):
        members.observe({"val/loss": np.zeros(1), "val/rmse": np.zeros(1)})


def test_a_failure_goes_with_its_member() -> None:
    members = Members([config("val/loss", epochs=8)] * 3)
    members.epoch += 1
    members.observe({"val/loss": np.array([1.0, math.nan, 2.0])})
    members.change([1, 2], [])
    assert members.failure.tolist() == ["val/loss is nan in epoch 1", None]
    assert members.active.tolist() == [False, True]
    members.change([], [config("val/accuracy", epochs=8)])
    assert members.best.tolist() == [-np.inf]
    assert members.epoch.tolist() == [0]


def test_a_failure_names_the_epoch_of_its_member() -> None:
    members = Members([config("val/loss", epochs=8)] * 2)
    members.epoch += np.array([5, 2])
    members.observe({"val/loss": np.array([math.nan, math.inf])})
    assert members.failure.tolist() == ["val/loss is nan in epoch 5", "val/loss is inf in epoch 2"]


def test_the_module_does_without_torch() -> None:
    """Settings may stand beside it, and stages that train nothing read them."""
    code = "import sys, wellfit.training.members; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("kind", "rows", "said", "batch"),
    [
        ("table", 100, "auto", 32),
        ("table", 2_000, "auto", 32),
        ("table", 3_242, "auto", 64),
        ("table", 12_384, "auto", 128),
        ("table", 40_000, "auto", 256),
        ("table", 1_000_000, "auto", 256),
        ("images", 100, "auto", 64),
        ("images", 48_000, "auto", 64),
        ("maps", 48_000, "auto", 64),
        ("table", 12_384, "7", 7),
        ("images", 100, "7", 7),
    ],
)
def test_rows_of_a_batch(
    make_params: Callable[..., Params], processed: Callable[..., Path], kind: str, rows: int, said: str, batch: int
) -> None:
    sizes = {"train": rows, "val": 1, "test": 1}
    stored = "images" if kind == "maps" else kind
    meta = load_meta(processed(stored)).model_copy(update={"split_sizes": sizes, "kind": kind})
    params = make_params(stored, f"train.batch_size={said}", "train.accumulate=3")
    assert params.train.rows_per_batch(meta) == batch
    assert params.train.rows_per_step(meta) == 3 * batch
