import pickle
from pathlib import Path

import numpy as np
import pytest

from wellfit.baselines.fit import Fitted
from wellfit.baselines.record import PREDICTIONS_FILE, load_baselines, save_baselines
from wellfit.data.meta import Meta
from wellfit.errors import WellfitError
from wellfit.files import read_json
from wellfit.manifest import write_manifest

from ..damage import DAMAGES, Damage
from .conftest import table

FITTED = [
    Fitted("linear", {"l2": 10.0}, {"rmse": 2.0, "mae": 1.5}, np.array([0.1, 1 / 3, 2.0])),
    Fitted("constant", {}, {"rmse": 4.0, "mae": 3.0}, np.full(3, 0.7)),
]


@pytest.fixture
def meta() -> Meta:
    return table(np.zeros((9, 1), np.float32), np.arange(9.0))[1]


def test_what_is_saved_is_loaded(tmp_path: Path, meta: Meta) -> None:
    save_baselines(tmp_path, FITTED, meta)
    found = load_baselines(tmp_path, meta)
    assert [one[:3] for one in found] == [one[:3] for one in FITTED]
    for one, saved in zip(found, FITTED, strict=True):
        np.testing.assert_array_equal(one.predictions, saved.predictions)
    assert read_json(tmp_path / "metrics.json") == {
        "linear": {"val/rmse": 2.0, "val/mae": 1.5, "l2": 10.0},
        "constant": {"val/rmse": 4.0, "val/mae": 3.0},
    }
    before = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    save_baselines(tmp_path, FITTED, meta)
    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == before


def test_nothing_is_loaded_of_other_data_or_where_nothing_is(tmp_path: Path, meta: Meta) -> None:
    assert load_baselines(tmp_path, meta) == []
    save_baselines(tmp_path, FITTED, meta)
    assert load_baselines(tmp_path, meta.model_copy(update={"name": "other"})) == []
    save_baselines(tmp_path, [], meta)
    assert load_baselines(tmp_path, meta) == []


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("name", ["predictions.npz", "manifest.json"])
def test_what_was_changed_since_it_was_written_is_refused(
    tmp_path: Path, meta: Meta, name: str, damage: Damage
) -> None:
    save_baselines(tmp_path, FITTED, meta)
    damage(tmp_path / name)
    told = rf"{name} (is not what baseline wrote|not found).*`dvc repro baseline`"
    with pytest.raises(WellfitError, match=told):
        load_baselines(tmp_path, meta)


@pytest.mark.parametrize("content", [b"", b"no archive", pickle.dumps({"a": 1})])
def test_what_is_no_archive_of_arrays_is_refused_though_its_sha256_fits(
    tmp_path: Path, meta: Meta, content: bytes
) -> None:
    save_baselines(tmp_path, FITTED, meta)
    (tmp_path / PREDICTIONS_FILE).write_bytes(content)
    write_manifest(tmp_path, [PREDICTIONS_FILE])
    with pytest.raises(WellfitError, match=r"predictions\.npz is damaged: run `dvc repro baseline`"):
        load_baselines(tmp_path, meta)
