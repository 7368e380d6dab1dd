"""The baseline stage: what it leaves, and what it must not read."""

from pathlib import Path

import numpy as np
import pytest

from wellfit.baselines.record import load_baselines
from wellfit.data.meta import Meta
from wellfit.data.store import load_meta
from wellfit.files import read_json
from wellfit.settings.params import Params, load_params
from wellfit.stages.baseline import baseline

from .conftest import PARAMS_FILE


def make(*changes: str) -> Params:
    return load_params(PARAMS_FILE, ["data.name=moons", *changes])


@pytest.fixture
def meta(prepared: Path) -> Meta:
    return load_meta(prepared / "moons")


def test_all_baselines_predict_the_test_rows(
    prepared: Path, tmp_path: Path, meta: Meta, capsys: pytest.CaptureFixture[str]
) -> None:
    baseline(make(), prepared / "moons", tmp_path)
    found = load_baselines(tmp_path, meta)
    assert [one.name for one in found] == ["gradient_boosting", "linear", "constant"]
    assert {one.predictions.shape for one in found} == {(meta.split_sizes["test"], 2)}
    told = read_json(tmp_path / "metrics.json")
    assert told["gradient_boosting"]["val/accuracy"] > told["linear"]["val/accuracy"] > told["constant"]["val/accuracy"]
    assert told["gradient_boosting"]["iterations"] >= 1
    assert "gradient boosting: val accuracy 0." in capsys.readouterr().out
    before = (tmp_path / "predictions.npz").read_bytes()
    baseline(make(), prepared / "moons", tmp_path)
    assert (tmp_path / "predictions.npz").read_bytes() == before


def test_the_targets_of_the_test_rows_change_nothing(
    prepared: Path, tmp_path: Path, meta: Meta, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wellfit.stages import baseline as stage

    baseline(make(), prepared / "moons", tmp_path / "as_they_are")
    load = stage.load_split

    def with_other_targets(folder: Path, meta: Meta, name: str):  # type: ignore[no-untyped-def]
        split = load(folder, meta, name)  # type: ignore[arg-type]
        return split._replace(y=np.zeros_like(split.y)) if name == "test" else split

    monkeypatch.setattr(stage, "load_split", with_other_targets)
    baseline(make(), prepared / "moons", tmp_path / "others")
    first, second = ((tmp_path / name / "predictions.npz").read_bytes() for name in ("as_they_are", "others"))
    assert first == second


def test_nothing_is_fitted_where_baselines_are_off(
    prepared: Path, tmp_path: Path, meta: Meta, capsys: pytest.CaptureFixture[str]
) -> None:
    baseline(make("baseline.enabled=false"), prepared / "moons", tmp_path)
    assert load_baselines(tmp_path, meta) == []
    assert read_json(tmp_path / "metrics.json") == {}
    assert "baseline.enabled is false" in capsys.readouterr().out
