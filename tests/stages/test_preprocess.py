from pathlib import Path

import pytest

from wellfit.settings.params import load_params
from wellfit.stages.preprocess import prepared

from .conftest import PARAMS_FILE


def test_data_are_fetched_and_prepared_where_there_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    params = load_params(PARAMS_FILE, ["data.name=moons", "data.n_samples=100"])
    folder = prepared(params)
    assert folder == Path("data/processed/moons")
    assert "prepared moons in data/processed/moons: 60 train, 20 val, 20 test rows" in capsys.readouterr().out
    made = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert prepared(params) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == made, "what is there stays"
