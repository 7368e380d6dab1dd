"""The registry: the first version is the champion, a worse one is the challenger, and what cannot be told is said."""

import json
from pathlib import Path

import numpy as np
import pytest
from mlflow.entities.model_registry import ModelVersion

from wellfit import tracking
from wellfit.data.store import load_split
from wellfit.errors import WellfitError
from wellfit.metrics.decision import Decision
from wellfit.serving.model import training_run, write_run
from wellfit.serving.predictor import Predictor
from wellfit.serving.rows import example_rows
from wellfit.settings.params import Params
from wellfit.stages.register import register
from wellfit.tracking.store import open_client

from ..serving.own import HEADER, csv_file, image_folder, leave_model, lines
from ..serving.test_predictor import PICTURES

GOOD, BAD = Decision(temperature=1.0), Decision(temperature=0.001)  # as sure, whether it is right or not


def evaluated(project: Path, decision: Decision, *settings: str) -> Params:
    """A model in ``project/models``, logged to a run of its own, as `train` and `evaluate` leave it."""
    folder, meta, params = leave_model(project, *settings, decision=decision)
    (project / "data").mkdir(exist_ok=True)
    for name in ("raw", "processed"):
        if not (project / "data" / name).is_symlink():
            (project / "data" / name).symlink_to(project / name)
    test = load_split(project / "processed" / meta.name, meta, "test")
    with tracking.start_run("train", f"train {meta.title} mlp", meta) as run:
        run.log_model(folder, meta, example_rows(params.data, meta, test), has_coverage=False)
    write_run(project / "models", run.id, [])
    return params


def release(project: Path, params: Params, *, force: bool = False) -> None:
    register(params, project / "data", project / "models", force=force)


def version(alias: str, name: str = "wellfit-own") -> ModelVersion:
    return open_client().get_model_version_by_alias(name, alias)


def test_a_worse_model_is_the_challenger_and_a_better_one_the_champion(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv_file(project / "own.csv")
    release(project, evaluated(project, BAD))
    assert capsys.readouterr().out.endswith("version 1 of wellfit-own is the champion: the first version\n")
    assert version("champion").version == 1
    found = tracking.logged_model(version("champion").run_id)
    assert found
    logged = open_client().get_logged_model(found.id)
    assert json.loads(logged.tags["mlflow.modelVersions"]) == [{"name": "wellfit-own", "version": "1"}]

    better = evaluated(project, GOOD)
    release(project, better)
    said = capsys.readouterr().out
    assert "version 2 of wellfit-own is the champion: no clear difference between this model and the champion" in said
    assert "this model is" in said
    assert "better than the champion (version 1) in log loss" in said
    with pytest.raises(WellfitError, match="version 2 of wellfit-own is this model already"):
        release(project, better)

    worse = evaluated(project, BAD)
    release(project, worse)
    assert "version 3 of wellfit-own is the challenger" in capsys.readouterr().out
    assert (version("champion").version, version("challenger").version) == (2, 3)
    assert "better than this model in log loss" in version("challenger").tags["wellfit.compared"]
    assert "# card" in version("challenger").description

    release(project, worse, force=True)
    assert capsys.readouterr().out.endswith("; --force\n")
    forced = version("champion")
    assert (forced.version, forced.tags["wellfit.forced"]) == (4, "true")
    assert "Made the champion by --force." in forced.description


def test_test_rows_are_compared_as_they_lie_on_disk(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    csv_file(project / "own.csv")
    release(project, evaluated(project, BAD))
    kinds: list[type] = []
    predictions = Predictor.predictions
    monkeypatch.setattr(
        Predictor, "predictions", lambda self, rows: (kinds.append(type(rows)), predictions(self, rows))[1]
    )
    release(project, evaluated(project, GOOD))
    assert kinds == [np.memmap, np.memmap]


def test_a_champion_of_other_data_predicts_the_test_rows_of_today(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv_file(project / "own.csv")
    release(project, evaluated(project, BAD))
    rows = [f"{i % 5},{line}" for i, line in enumerate(lines())]  # the champion's columns have other places, too
    csv_file(project / "own.csv", rows, f"rooms,{HEADER}")
    release(project, evaluated(project, GOOD))
    said = capsys.readouterr().out.splitlines()[-1]
    assert "better than the champion (version 1) in log loss, which was trained on other rows" in said
    assert "better than this model in accuracy; this model is" in said, "both networks are untrained"


def test_a_champion_of_other_classes_stays_until_it_is_said_otherwise(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv_file(project / "own.csv")
    release(project, evaluated(project, GOOD))
    text = (project / "own.csv").read_text()
    (project / "own.csv").write_text(text.replace(",good\n", ",fine\n"))
    other = evaluated(project, GOOD)
    release(project, other)
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.endswith(
        "is the challenger: not compared with the champion (version 1), as it has other classes: fine, good"
    )


def test_images(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = image_folder(project / "pets", 60)
    images = ["data.name=images", f"data.path={path}", "data.target=null", "data.id=null", "data.image_size=null"]
    release(project, evaluated(project, BAD, *images, *PICTURES))
    release(project, evaluated(project, GOOD, *images, *PICTURES, "data.val_fraction=0.3"))
    assert "version 2 of wellfit-pets is the champion" in capsys.readouterr().out


def test_a_model_whose_run_was_deleted_is_found_where_evaluate_logged_it_anew(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv_file(project / "own.csv")
    params = evaluated(project, GOOD)
    trained_by = training_run(project / "models")
    open_client().delete_run(trained_by)
    with pytest.raises(WellfitError, match="run `dvc repro --force evaluate`"):
        release(project, params)
    evaluated(project, GOOD)
    again = training_run(project / "models")
    open_client().set_tag(again, tracking.TRAINED_BY, trained_by)
    write_run(project / "models", trained_by, [])
    release(project, params)
    assert version("champion").run_id == again
    with pytest.raises(WellfitError, match="version 1 of wellfit-own is this model already"):
        release(project, params)


def test_what_is_not_there_is_said_in_one_line(project: Path) -> None:
    csv_file(project / "own.csv")
    params = evaluated(project, GOOD)
    write_run(project / "models", "0" * 32, [])
    with pytest.raises(WellfitError, match=r"has no model of run 0{32}: run `dvc repro --force evaluate`"):
        release(project, params)
    leave_model(project, "data.val_fraction=0.3")
    (project / "models" / "run.json").unlink()
    with pytest.raises(WellfitError, match=r"run\.json not found, .* run `dvc repro train`"):
        release(project, params.replace({"data.val_fraction": 0.3}))
    assert open_client().search_registered_models() == []
