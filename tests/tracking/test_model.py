"""The model in MLflow: it takes rows as their owner has them, and needs neither the repository nor a pickle."""

import base64
import os
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
from wellfit.data.store import Meta, load_split
from wellfit.metrics.decision import Decision
from wellfit.serving.rows import example_rows
from wellfit.tracking.store import open_client

from ..serving.own import csv_file, image_folder, leave_model
from ..serving.test_predictor import NUMBERS, PICTURES
from ..serving.test_rows import frame


def logged(root: Path, *settings: str, decision: Decision | None = None) -> tuple[Path, str, tracking.Run, Meta]:
    folder, meta, params = leave_model(root, *settings, decision=decision)
    example = example_rows(params.data, meta, load_split(root / "processed" / meta.name, meta, "test"))
    with tracking.start_run("train", "train own mlp", meta) as run:
        run.log_params({"optim.lr": 0.1})
        run.log_metrics({"test/accuracy": 0.75})
        run.flush()
        model_id = tracking.log_model(run, folder, meta, example, has_coverage=True)
    return folder, model_id, run, meta


def load(model_id: str) -> Any:
    uri = {"MLFLOW_TRACKING_URI": tracking.store_uri()}
    with patch.dict(os.environ, uri), warnings.catch_warnings(action="ignore"):  # of type hints in MLflow's own models
        return mlflow.pyfunc.load_model(f"models:/{model_id}")


def test_it_predicts_raw_rows_as_the_folder_does(project: Path) -> None:
    csv_file(project / "own.csv")
    folder, model_id, run, _ = logged(project)
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
    typed = rows.assign(age=rows["age"].replace("", None).astype(float), share=3)
    assert len(model.predict(typed.drop(columns="city"))) == 120, "typed, and with a column missing"
    with pytest.raises(MlflowException, match="the rows: none of the columns that the model takes") as caught:
        model.predict(pd.DataFrame({"a": [1]}))
    assert caught.value.get_http_status_code() == 400

    (kept,) = open_client().search_logged_models([run.experiment_id])
    assert (kept.name, kept.model_id, kept.source_run_id, str(kept.status)) == ("model", model_id, run.id, "READY")
    assert kept.params["optim.lr"] == "0.1"
    assert kept.tags["mlflow.note.content"] == "# card\n"
    assert {metric.key: metric.value for metric in kept.metrics or []} == {"test/accuracy": 0.75}
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


def test_an_evaluation_anew_takes_the_place_of_the_model_before(project: Path) -> None:
    csv_file(project / "own.csv")
    folder, first, run, meta = logged(project)
    again = tracking.reopen_run(run.id)
    assert again is not None
    second = tracking.log_model(again, folder, meta, frame().drop(columns=["id", "sold"]).head(2), has_coverage=True)
    assert [model.model_id for model in open_client().search_logged_models([run.experiment_id])] == [second]
    assert first != second


def test_a_long_card_is_cut_at_the_end_of_a_line(project: Path) -> None:
    csv_file(project / "own.csv")
    folder, meta, _ = leave_model(project, card="a line of the card\n" * 1000)
    with tracking.start_run("train", "train own mlp", meta) as run:
        tracking.log_model(run, folder, meta, frame().drop(columns=["id", "sold"]).head(2), has_coverage=True)
    (kept,) = open_client().search_logged_models([run.experiment_id])
    note = kept.tags["mlflow.note.content"]
    assert len(note) < 5100
    assert note.endswith("a line of the card\n\nThe rest is in artifacts/model/card.md.")


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
        [str(file) for file in files],
        contents,
        [base64.b64encode(content).decode() for content in contents],
        list(wellfit.load(folder).encode(files)),
    ]
    for form in forms:
        found = model.predict(pd.DataFrame({"image": form}))
        np.testing.assert_allclose(found[["p_cat", "p_dog"]], expected, atol=1e-6)
    example = model.input_example
    assert list(example) == ["image"]
    assert len(model.predict(example)) == 3
