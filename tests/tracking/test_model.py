"""The model in MLflow: it takes rows as their owner has them, and needs neither the repository nor a pickle."""

import base64
import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any
from unittest.mock import patch

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

import wellfit
from wellfit import tracking
from wellfit.data.meta import Meta
from wellfit.data.store import load_split
from wellfit.metrics.decision import Decision
from wellfit.serving.rows import example_rows
from wellfit.tracking.outbox import outboxes
from wellfit.tracking.store import open_client

from ..serving.own import csv_file, image_folder, leave_model
from ..serving.test_predictor import NUMBERS, PICTURES
from ..serving.test_rows import frame
from .outages import cannot_be_reached, next_command


def logged(root: Path, *settings: str, decision: Decision | None = None) -> tuple[Path, str, tracking.Run, Meta]:
    folder, meta, params = leave_model(root, *settings, decision=decision)
    example = example_rows(params.data, meta, load_split(root / "processed" / meta.name, meta, "test"))
    with tracking.start_run("train", "train own mlp", meta) as run:
        run.log_params({"optim.lr": 0.1})
        run.log_epoch(1, {"val/loss": 0.5})
        run.log_metrics({"test/accuracy": 0.75, "test/accuracy_low": 0.5, "test/single/accuracy": 0.25})
        run.log_metrics({"best/val/loss": 0.5, "n_parameters": 3})
        run.log_model(folder, meta, example, has_coverage=True)
    return folder, model_of(run), run, meta


def model_of(run: tracking.Run) -> str:
    found = tracking.logged_model(run.id)
    assert found
    return found.id


def load(model_id: str) -> Any:
    uri = {"MLFLOW_TRACKING_URI": tracking.store_uri()}
    with patch.dict(os.environ, uri), warnings.catch_warnings(action="ignore"):  # of type hints in MLflow's own models
        return mlflow.pyfunc.load_model(f"models:/{model_id}")


def test_it_predicts_raw_rows_as_the_folder_does(project: Path) -> None:
    csv_file(project / "own.csv")
    folder, model_id, run, meta = logged(project)
    model, own = load(model_id), wellfit.load(folder)
    rows = frame().drop(columns=["id", "sold"])
    found = model.predict(rows)
    assert list(found) == ["predicted", "p_bad", "p_good", "set"]
    np.testing.assert_array_equal(found[["p_bad", "p_good"]], own.predict_proba(rows))
    assert found["predicted"].tolist() == own.predict(rows).tolist()
    assert model.metadata.get_input_schema().input_names() == list(own.feature_names_in_)
    assert [str(name) for name in model.metadata.get_output_schema().input_names()] == [
        *("predicted", "set", "p_bad", "p_good")
    ]
    with warnings.catch_warnings(action="ignore"):  # of type hints in MLflow's own models
        from mlflow.pyfunc.scoring_server import invocations
    # As the server calls it. MLflow itself refuses CSV where columns may have any type.
    for sent, kind in [
        (json.dumps({"dataframe_records": json.loads(rows.to_json(orient="records"))}), "application/json"),
        (rows.to_parquet(), "application/vnd.apache.parquet"),
    ]:
        answer = invocations(sent, kind, model, model.metadata.get_input_schema())
        lines = json.loads(answer.response)["predictions"]
        assert (answer.status, [line["predicted"] for line in lines]) == (200, own.predict(rows).tolist())
        np.testing.assert_allclose([line["p_good"] for line in lines], found["p_good"])
    typed = rows.assign(age=rows["age"].replace("", None).astype(float), share=3)
    assert len(model.predict(typed.drop(columns="city"))) == 120, "typed, and with a column missing"
    with pytest.raises(MlflowException, match="the rows: none of the columns that the model takes") as caught:
        model.predict(pd.DataFrame({"a": [1]}))
    assert caught.value.get_http_status_code() == 400

    (kept,) = open_client().search_logged_models([run.experiment_id])
    assert (kept.name, kept.model_id, kept.source_run_id, str(kept.status)) == ("model", model_id, run.id, "READY")
    assert kept.params["optim.lr"] == "0.1"
    assert kept.tags["mlflow.note.content"] == "# card\n"
    scores = {each.key: (each.value, each.dataset_name, each.dataset_digest) for each in kept.metrics or []}
    assert scores == {
        "test/accuracy": (0.75, "own", meta.sha256[:8]),
        "best/val/loss": (0.5, "own", meta.sha256[:8]),
    }
    logged_run = open_client().get_run(run.id)
    assert [each.model_id for each in logged_run.outputs.model_outputs] == [model_id]
    assert len(open_client().get_metric_history(run.id, "test/accuracy")) == 1, "told once, though two know it"
    files = [path.name for path in (project / "mlartifacts").rglob("*") if path.is_file()]
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".pyc"))]
    assert {"card.md", "weights.safetensors", "served.py", "input_example.json"} <= set(files)


def test_it_compares_rows_with_the_training_rows(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    csv_file(project / "own.csv")
    folder, model_id, _, _ = logged(project)
    model, own = load(model_id), wellfit.load(folder)
    rows = frame().drop(columns=["id", "sold"])
    moved = rows.assign(city="Paris")
    found = model.predict(moved, params={"check": True})
    pd.testing.assert_frame_equal(found, own.compare(moved).as_lines())
    assert list(found) == ["name", "psi", "limit", "moved", "says"]
    assert (found["name"].iloc[0], found["moved"].iloc[0], found["name"].iloc[-1]) == ("city", "much", "sold")
    assert list(model.predict(moved, params={"check": False})) == ["predicted", "p_bad", "p_good", "set"]

    many = pd.concat([moved] * 42, ignore_index=True)  # 5,040 rows, and 120 were counted above
    for said in (0, 1, 1, 2):
        model.predict(many)
        lines = [record.getMessage() for record in caplog.records if record.name == "wellfit"]
        assert len([line for line in lines if "column 'city' moved much: 'unseen or rare' has 100.0 %" in line]) == said
    assert lines[0].startswith("of the last 10,200 rows, ")


def test_the_study_and_the_trial_behind_a_model_have_it_as_an_output(project: Path) -> None:
    csv_file(project / "own.csv")
    folder, meta, _ = leave_model(project)

    def trial(lr: float, parent: tracking.Run) -> str:
        params = {"optim.lr": lr, "model.hidden": [8, 4], "model.activation": "relu"}
        told = tracking.EndedRun("trial", "trial", "FINISHED", 1.0, 2.0, {}, params, {}, [], 0, [])
        run_id = tracking.create_ended_run(told, meta, parent)
        tracking.fill_ended_run(parent.client, run_id, told)
        return run_id

    with tracking.start_run("tune", "tune own mlp", meta) as study:
        other, chosen = trial(0.1, study), trial(0.01, study)
    with tracking.start_run("train", "train own mlp", meta) as run:
        run.log_params({"optim.lr": 0.01, "model.hidden": [8, 4], "model.activation": "relu"})
        searched = ["optim.lr", "model.hidden", "model.activation"]
        example = frame().drop(columns=["id", "sold"]).head(2)
        run.log_model(folder, meta, example, searched, has_coverage=True)
    model_id = model_of(run)

    def outputs(run_id: str) -> list[str]:
        found = open_client().get_run(run_id).outputs
        return [each.model_id for each in found.model_outputs] if found else []

    assert outputs(run.id) == outputs(chosen) == outputs(study.id) == [model_id]
    assert outputs(other) == []


def test_an_evaluation_anew_takes_the_place_of_the_model_before(project: Path) -> None:
    csv_file(project / "own.csv")
    folder, first, run, meta = logged(project)
    again = tracking.reopen_run(run.id)
    assert again is not None
    again.log_model(folder, meta, frame().drop(columns=["id", "sold"]).head(2), has_coverage=True)
    second = model_of(run)
    assert [model.model_id for model in open_client().search_logged_models([run.experiment_id])] == [second]
    assert first != second


def test_a_long_card_is_cut_at_the_end_of_a_line(project: Path) -> None:
    csv_file(project / "own.csv")
    folder, meta, _ = leave_model(project, card="a line of the card\n" * 1000)
    with tracking.start_run("train", "train own mlp", meta) as run:
        run.log_model(folder, meta, frame().drop(columns=["id", "sold"]).head(2), has_coverage=True)
    (kept,) = open_client().search_logged_models([run.experiment_id])
    note = kept.tags["mlflow.note.content"]
    assert len(note) <= 5000
    assert note.endswith(" more characters]")


def test_numbers_have_their_interval(project: Path) -> None:
    frame()[frame()["age"] != ""].to_csv(project / "own.csv", index=False)
    folder, model_id, _, _ = logged(project, *NUMBERS, decision=Decision(coverage=0.9, bound=2.0))
    found = load(model_id).predict(frame().drop(columns=["id", "age", "sold"]))
    assert list(found) == ["predicted", "low", "high"]
    np.testing.assert_array_equal(found["predicted"], wellfit.load(folder).predict(frame()))
    np.testing.assert_allclose(found["high"] - found["low"], 4)


def test_images_are_files_bytes_base64_or_pixels(project: Path) -> None:
    path = image_folder(project / "pictures", 30)
    images = ["data.name=images", f"data.path={path}", "data.target=null", "data.id=null", "data.image_size=null"]
    folder, model_id, _, _ = logged(project, *images, *PICTURES)
    model, files = load(model_id), sorted(path.rglob("*.png"))
    expected = wellfit.load(folder).predict_proba(files)
    contents = [file.read_bytes() for file in files]
    forms: list[list[Any]] = [
        files,
        contents,
        [base64.b64encode(content).decode() for content in contents],
        list(wellfit.load(folder).encode(files)),
    ]
    for form in forms:
        found = model.predict(pd.DataFrame({"image": form}))
        np.testing.assert_allclose(found[["p_cat", "p_dog"]], expected, atol=1e-6)
    for text in (str(files[0]), "nowhere.png"):  # whoever asks a server may not have it open files
        with pytest.raises(MlflowException, match="must be the base64 of an image file, got '") as caught:
            model.predict(pd.DataFrame({"image": [text]}))
        assert caught.value.get_http_status_code() == 400
    example = model.input_example
    assert list(example) == ["image"]
    assert len(model.predict(example)) == 3


def test_a_model_that_mlflow_could_not_take_is_sent_later_as_it_was(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv_file(project / "own.csv")
    folder, meta, _ = leave_model(project)
    example = frame().drop(columns=["id", "sold"]).head(2)
    example["seen"] = pd.Timestamp("2026-01-02 03:04:05")  # of a Parquet file; JSON does not know it
    with cannot_be_reached(), tracking.start_run("train", "train own mlp", meta) as run:
        run.log_metrics({"test/accuracy": 0.75})
        run.log_model(folder, meta, example, has_coverage=True)
    expected = wellfit.load(folder).predict(frame())
    shutil.rmtree(folder)  # a later training takes its place
    assert capsys.readouterr().err.count("warning:") == 1
    next_command()
    model_id = model_of(run)
    assert load(model_id).predict(frame())["predicted"].tolist() == expected.tolist()
    (kept,) = open_client().search_logged_models([run.experiment_id])
    assert {each.key: each.value for each in kept.metrics or []} == {"test/accuracy": 0.75}
    assert not list(outboxes().glob("*"))


def test_a_model_of_which_the_files_cannot_be_stored_is_sent_once_they_can(project: Path) -> None:
    csv_file(project / "own.csv")
    folder, meta, _ = leave_model(project)
    example = frame().drop(columns=["id", "sold"]).head(2)
    (project / "mlartifacts").touch()
    with tracking.start_run("train", "train own mlp", meta) as run:
        run.log_model(folder, meta, example, has_coverage=True)
        run.tag("wellfit.verdict", "fine")
    assert open_client().get_run(run.id).info.status == "FINISHED"
    (project / "mlartifacts").unlink()
    next_command()
    assert len(load(model_of(run)).predict(frame())) == len(frame())
    assert len(open_client().search_logged_models([run.experiment_id])) == 1
