"""What the stages left, read back."""

import shutil
from pathlib import Path

import pytest

from wellfit.errors import WellfitError
from wellfit.manifest import write_manifest
from wellfit.report.records import Evaluated, read_records, read_training, read_tuning
from wellfit.settings.params import load_params
from wellfit.training.record import REPORT_FILES
from wellfit.tuning.best import FILES as TUNE_FILES

from ..damage import DAMAGES, Damage
from .conftest import PARAMS_FILE, leave_no_tuning, leave_training, leave_tuning, made_up

READ = [f"train/{name}" for name in (*REPORT_FILES, "manifest.json")]
READ += [f"tune/{name}" for name in (*TUNE_FILES, "manifest.json")]


def test_a_training_is_read_as_it_was(complete: Evaluated, reports: Path) -> None:
    leave_training(reports, warnings=[("over-fitting", "turn a key")])
    found = read_training(reports / "train", complete.checkpoint)
    assert found
    assert (found.epochs, found.best_epoch) == (5, 3)
    assert found.history["val/loss"] == [0.4, 0.4, 0.25, 0.4, 0.4]
    assert found.warnings == [("over-fitting", "turn a key")]
    assert found.summary == "mlp: 12 parameters\n"


def test_a_history_that_is_not_of_the_checkpoint_is_none(complete: Evaluated, reports: Path) -> None:
    history = reports / "train" / "history.csv"
    text = history.read_text()
    for changed in (text.replace("0.25", "0.2500001"), "\n".join(text.splitlines()[:3]), "epoch\n"):
        history.write_text(changed)
        write_manifest(reports / "train", REPORT_FILES)
        assert read_training(reports / "train", complete.checkpoint) is None


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("name", READ)
def test_what_was_changed_since_it_was_written_is_refused(
    complete: Evaluated, reports: Path, name: str, damage: Damage
) -> None:
    before = read_records(reports, complete.checkpoint)
    assert before.training
    assert before.tuning
    file, stage = reports / name, name.split("/")[0]
    text = file.read_bytes()
    damage(file)
    with pytest.raises(
        WellfitError, match=rf"{name} (is not what {stage} wrote|not found).*`dvc repro {stage}`"
    ) as told:
        read_records(reports, complete.checkpoint)
    assert "\n" not in str(told.value)
    file.write_bytes(text)
    assert read_records(reports, complete.checkpoint) == before


@pytest.mark.parametrize("stage", ["train", "tune"])
def test_a_stage_that_was_not_run_has_no_records(complete: Evaluated, reports: Path, stage: str) -> None:
    shutil.rmtree(reports / stage)
    (reports / stage).mkdir()
    (reports / stage / "metrics.json").write_text("{}")  # which git has
    found = read_records(reports, complete.checkpoint)._asdict()
    assert [found[name] is None for name in ("training", "tuning")] == [stage == "train", stage == "tune"]


def test_a_study_is_read_as_it_was(complete: Evaluated, reports: Path) -> None:
    found = read_tuning(reports / "tune")
    assert found
    assert found.data_sha256 == complete.meta.sha256
    assert [trial.number for trial in found.trials] == list(range(12))
    assert {trial.state for trial in found.trials} == {"complete", "pruned", "failed"}
    first = found.trials[0]
    shipped = load_params(PARAMS_FILE)
    assert first.values == {key: shipped.flat()[key] for key in shipped.tune.searched}
    assert found.trials[5].value is None
    assert sum(found.importance.values()) == pytest.approx(1)
    assert found.repeats == {0: {1: 0.2, 2: 0.3}}
    assert found.best == first.values  # which alone was repeated


def test_choices_come_back_as_they_are_in_params_yaml(tmp_path: Path, reports: Path) -> None:
    space = "{model: {hidden: [[8], [8, 4]], residual: [true, false], norm: [batch, none]}}"
    run = made_up(tmp_path, settings=[f"tune.space={space}"])
    leave_tuning(reports, run.params, run.meta.sha256, trials=2)
    found = read_tuning(reports / "tune")
    assert found
    kept = {"model.hidden": [128, 64], "model.residual": False, "model.norm": "batch"}
    assert {key: found.trials[0].values[key] for key in kept} == kept


def test_tuning_that_is_off_has_no_trials(reports: Path) -> None:
    leave_no_tuning(reports)
    found = read_tuning(reports / "tune")
    assert found
    assert (found.trials, found.best, found.data_sha256) == ([], {}, None)
