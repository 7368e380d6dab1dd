import shutil
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides

from wellfit.settings.params import load_params
from wellfit.stages.run import _changes

from .conftest import PARAMS_FILE


@pytest.mark.parametrize(
    "overrides",
    [
        ["optim.lr=0.01", "optim.clip_norm=1.0", "train.patience=null"],
        ["model.hidden=[32, 16]", "data.drop=[a, 'b c']", "data.name=csv", "data.target=price"],
        ["data.name=csv", "data.target=price (USD)", "data.path=donn\u00e9es/a=b, c.csv", "data.separator=tab"],
        ["data.name=csv", "data.target='true'", "data.id='1'", "data.group='#x'"],
        ["data.name=csv", 'data.target="it\'s"', "data.path=a\\\\", "data.drop=['a, b']"],
        ["tune.space.optim.lr=null", "tune.space.model.hidden=[[64], [128, 64]]", "tune.space.model.dropout.high=0.4"],
        ["data.augment=[{rotate: 15}, {erase: {probability: 0.5, area: [0.1, 0.2]}}]"],
    ],
)
def test_dvc_reads_what_was_changed_as_it_was_meant(overrides: list[str], tmp_path: Path) -> None:
    """What `dvc exp run --set-param` does to params.yaml."""
    new = load_params(PARAMS_FILE, overrides)
    shutil.copy(PARAMS_FILE, tmp_path / "params.yaml")
    apply_overrides(tmp_path / "params.yaml", _changes(load_params(PARAMS_FILE), new))
    assert load_params(tmp_path / "params.yaml") == new
