import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides

from wellfit.errors import WellfitError
from wellfit.interruptions import deferred
from wellfit.settings.params import load_params
from wellfit.stages.run import _call, _changes

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


def test_an_interruption_in_an_open_run_reaches_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ctrl_c: Callable[[], None]
) -> None:
    code = """import pathlib, signal, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit(pathlib.Path(sys.argv[1]).write_text("interrupted")))
pathlib.Path(sys.argv[2]).touch()
time.sleep(60)"""
    ended, begun = tmp_path / "ended", tmp_path / "begun"
    sleep = time.sleep

    def interrupt_once_it_runs(seconds: float) -> None:
        sleep(seconds)
        if begun.exists():
            begun.unlink()
            ctrl_c()

    monkeypatch.setattr(time, "sleep", interrupt_once_it_runs)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), deferred():
        _call([sys.executable, "-c", code, str(ended), str(begun)], {})
    assert ended.read_text() == "interrupted"
    assert time.monotonic() - started < 30


def test_a_command_that_fails_is_one_line() -> None:
    _call([sys.executable, "-c", "import os; os.environ['GIVEN']"], {"GIVEN": "1"})
    with pytest.raises(WellfitError, match=r"ended with exit status 3"):
        _call([sys.executable, "-c", "raise SystemExit(3)"], {})
