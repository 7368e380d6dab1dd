"""How the tuned values reach train."""

from pathlib import Path
from typing import Any

import pytest

from wellfit.errors import WellfitError
from wellfit.manifest import write_manifest
from wellfit.settings.params import Params, load_params
from wellfit.training.checkpoint import load_checkpoints
from wellfit.tuning.best import apply_best, write_best, write_no_tuning

from ..damage import DAMAGES, Damage

PARAMS_FILE = Path(__file__).parents[2] / "params.yaml"
BEST = {"optim.lr": 0.007, "optim.weight_decay": 0.02, "model.dropout": 0.4}


def leave_best(folder: Path, values: dict[str, Any] = BEST, sha256: str = "abc") -> Path:
    """What ``tune`` leaves for ``train``."""
    path = folder / "best_params.yaml"
    write_best(path, values, sha256, "best of 3 trials")
    write_manifest(folder, [path.name])
    return path


class Data:
    name, sha256 = "digits", "abc"


def apply(params: Params, path: Path) -> Params:
    data: Any = Data()
    return apply_best(params, path, data)


def test_train_uses_the_best_values_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = leave_best(tmp_path)
    params = apply(load_params(PARAMS_FILE), path)
    assert (params.optim.lr, params.optim.weight_decay, params.model.dropout) == (0.007, 0.02, 0.4)
    assert "optim.lr 0.007 (params.yaml: 0.003)" in capsys.readouterr().out


def test_switched_off_the_values_of_params_yaml_hold(tmp_path: Path) -> None:
    path = leave_best(tmp_path)
    params = load_params(PARAMS_FILE, ["tune.enabled=false"])
    assert apply(params, path) is params


def test_a_value_given_on_the_command_line_is_final(tmp_path: Path) -> None:
    path = leave_best(tmp_path)
    params = apply(load_params(PARAMS_FILE, ["optim.lr=0.5"]), path)
    assert (params.optim.lr, params.model.dropout) == (0.5, 0.4)


def test_values_tuned_on_other_data_are_refused(tmp_path: Path) -> None:
    path = leave_best(tmp_path, sha256="another")
    with pytest.raises(WellfitError, match=r"was tuned on other data than digits.*dvc repro tune"):
        apply(load_params(PARAMS_FILE), path)


def test_without_a_tuning_the_way_out_is_named(tmp_path: Path) -> None:
    with pytest.raises(WellfitError, match=r"best_params\.yaml not found.*tune\.enabled=false"):
        apply(load_params(PARAMS_FILE), tmp_path / "best_params.yaml")


def test_no_tuning_leaves_all_outputs_of_the_stage(tmp_path: Path) -> None:
    write_no_tuning(tmp_path, tmp_path / "models")
    files = {"best_params.yaml", "importance.csv", "repeats.csv", "trials.csv", "manifest.json", "plots", "models"}
    assert {path.name for path in tmp_path.iterdir()} == files
    assert load_checkpoints(tmp_path / "models" / "candidates.safetensors") == []
    assert (tmp_path / "importance.csv").read_text() == "key,share\n"
    assert (tmp_path / "plots" / "history.png").read_bytes().startswith(b"\x89PNG")


def test_a_key_that_does_not_exist_is_named(tmp_path: Path) -> None:
    path = leave_best(tmp_path, {"optim.lrr": 0.1})
    with pytest.raises(WellfitError, match=r"best_params\.yaml: optim\.lrr is not a key of params\.yaml"):
        apply(load_params(PARAMS_FILE), path)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("name", ["best_params.yaml", "manifest.json"])
def test_what_was_changed_since_tune_wrote_it_is_refused(tmp_path: Path, name: str, damage: Damage) -> None:
    path = leave_best(tmp_path)
    damage(tmp_path / name)
    told = rf"{name} (is not what tune wrote|not found).*`dvc repro tune`, or set .* in params\.yaml .* tune\.enabled"
    with pytest.raises(WellfitError, match=told):
        apply(load_params(PARAMS_FILE), path)
    params = load_params(PARAMS_FILE, ["tune.enabled=false"])
    assert apply(params, path) is params


@pytest.mark.parametrize(
    ("value", "rule"), [(-1.0, r"optim\.lr must be > 0\.0, got -1\.0"), ("x", r"optim\.lr must be a number, got 'x'")]
)
def test_a_bad_value_names_the_file_it_stands_in(tmp_path: Path, value: Any, rule: str) -> None:
    path = leave_best(tmp_path, {"optim.lr": value})
    with pytest.raises(WellfitError, match=rf"{rule} \(.*best_params\.yaml\)$"):
        apply(load_params(PARAMS_FILE), path)
