"""What has been exported predicts as the model does, in programs that know nothing of wellfit."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch

import wellfit
from wellfit.data.fetch import fetch
from wellfit.data.store import load_split
from wellfit.errors import WellfitError
from wellfit.metrics.conformal import Spread
from wellfit.metrics.decision import Decision
from wellfit.serving.export import FORMATS, Exported, export_model
from wellfit.serving.folder import describe_reading, save_model
from wellfit.serving.predictor import Predictor
from wellfit.settings.params import load_params

from ..conftest import PARAMS_FILE
from .own import csv_file, image_folder, leave_model, untrained
from .test_graph import PLAIN, as_inputs, inputs_of, numbers_file
from .test_predictor import NUMBERS, PICTURES
from .test_rows import frame

Run = Callable[..., dict[str, np.ndarray]]
ATOL = 1e-5
# Of the members of a mean, which together have all that a table may go through.
MEMBERS = [
    ["model.numeric=quantile", "model.embedding=periodic"],
    ["model.numeric=standard", "model.embedding=ple", "model.category=embedding", "model.norm=layer"],
    ["model.numeric=robust", "model.embedding=cosine", "model.hidden=[4, 4]", "model.residual=true"],
]


def run_of(exported: Exported, format_name: str) -> Run:
    """Runs a file with arrays in the order of its inputs."""
    names = [each["name"] for each in exported.about["outputs"]]
    if format_name == "onnx":
        session = onnxruntime.InferenceSession(exported.data)
        assert [each.name for each in session.get_outputs()] == names
        inputs = [each["name"] for each in exported.about["inputs"]]
        return lambda *rows: dict(zip(names, session.run(None, dict(zip(inputs, rows, strict=True))), strict=True))
    module = torch.export.load(io.BytesIO(exported.data)).module()
    return lambda *rows: {name: each.numpy() for name, each in module(*map(torch.from_numpy, rows)).items()}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """The mean of three networks, none of them like another."""
    root = tmp_path_factory.mktemp("table")
    csv_file(root / "own.csv")
    folder, meta, params = leave_model(root)
    given = ["data.name=csv", f"data.path={root / 'own.csv'}", "data.target=sold"]
    given += ["model.hidden=[6]", "model.embedding_size=2"]
    members = [
        untrained(load_params(PARAMS_FILE, [*given, *settings]), meta, seed, (seed + 1) / 6)
        for seed, settings in enumerate(MEMBERS)
    ]
    decision = Decision(coverage=0.9, bound=0.6, temperature=0.7, threshold=0.45)
    profile = wellfit.load(folder).profile
    save_model(folder, members, meta, decision, describe_reading(params.data, meta), profile, "# card\n")
    return wellfit.load(folder)


@pytest.fixture(scope="module")
def exports(table: Predictor) -> dict[str, Exported]:
    return {name: export_model(table, name) for name in FORMATS}


@pytest.fixture(scope="module", params=FORMATS)
def exported(request: pytest.FixtureRequest, exports: dict[str, Exported]) -> tuple[Exported, Run]:
    return exports[request.param], run_of(exports[request.param], request.param)


@pytest.mark.parametrize("n", [1, 257])
def test_a_mean_of_networks_predicts_alike(exported: tuple[Exported, Run], table: Predictor, n: int) -> None:
    rows = pd.concat([frame()] * 3).iloc[:n]
    found = exported[1](*inputs_of(table, rows))
    np.testing.assert_allclose(found["probabilities"], table.predict_proba(rows), atol=ATOL)
    np.testing.assert_array_equal(table.classes_[found["predicted"]], table.predict(rows))
    np.testing.assert_array_equal(found["sets"], table.predict_set(rows))


def test_the_file_names_no_path_and_nothing_of_wellfit(exported: tuple[Exported, Run]) -> None:
    data = exported[0].data
    assert b".py" not in data
    assert b"wellfit" not in data


def test_what_stands_beside_says_how_rows_become_inputs(exported: tuple[Exported, Run], table: Predictor) -> None:
    about, run = exported
    numbers, codes = json.loads(json.dumps(about.about))["inputs"]
    assert (numbers["name"], numbers["dtype"], numbers["shape"]) == ("numbers", "float32", ["rows", 22])
    assert (codes["name"], codes["dtype"], codes["shape"]) == ("codes", "int64", ["rows", 2])
    source = {"name": "share", "kind": "numbers", "decimal": "point", "unit": "%", "note": "'1%' is 1"}
    assert {"name": "share", "from": source} in numbers["columns"]
    member, city = codes["columns"]
    assert city["categories"] == {"Bern": 1, "Oslo": 2, "Rome": 3}
    assert (city["missing"], city["other"], member["missing"]) == (0, -1, -1)
    cities = ["Rome", "Bern", "", "Paris"]
    by_hand = [city["missing"] if not name else city["categories"].get(name, city["other"]) for name in cities]
    rows = frame().iloc[:4].assign(city=cities)
    own_numbers, own_codes = inputs_of(table, rows)
    own_codes[:, 1] = by_hand
    np.testing.assert_allclose(run(own_numbers, own_codes)["probabilities"], table.predict_proba(rows), atol=ATOL)
    assert about.about["classes"] == ["bad", "good"]
    assert [each["dtype"] for each in about.about["outputs"]] == ["int64", "float64", "bool"]
    said = " ".join(about.about["left_to_the_caller"])
    assert "weekday from 0 for Monday" in said
    assert "HashingVectorizer(n_features=16" in said


def test_numbers_and_intervals_are_predicted_alike(tmp_path: Path) -> None:
    numbers_file(tmp_path)
    spread = Spread((1.0, 4.0, 6.0), (0.5, 2.0, 1.0))
    decision = Decision(coverage=0.9, bound=2.0, spread=spread, smearing=(-0.4, 0.1, 0.5))
    settings = [*PLAIN, *NUMBERS, "data.target_transform=quantile", "data.drop=[sold, member, city]"]
    model = wellfit.load(leave_model(tmp_path, *settings, decision=decision)[0])
    run = run_of(export_model(model, "onnx"), "onnx")
    for rows in (frame(), frame().iloc[[5]]):
        found = run(*inputs_of(model, rows))
        np.testing.assert_allclose(found["predicted"], model.predict(rows), rtol=ATOL)
        interval = np.column_stack([found["low"], found["high"]])
        np.testing.assert_allclose(interval, model.predict_interval(rows), rtol=ATOL, atol=ATOL)


@pytest.mark.parametrize("format_name", FORMATS)
def test_images_are_predicted_alike(tmp_path: Path, format_name: str) -> None:
    path = image_folder(tmp_path / "pictures", 30)
    images = ["data.name=images", f"data.path={path}", "data.target=null", "data.id=null", "data.image_size=null"]
    model = wellfit.load(leave_model(tmp_path, *images, *PICTURES)[0])
    made = export_model(model, format_name)
    pixels = model.encode(sorted(path.rglob("*.png")))
    run = run_of(made, format_name)
    for rows in (pixels, pixels[:1]):
        np.testing.assert_allclose(run(rows)["probabilities"], model.predict_proba(rows), atol=ATOL)
    assert made.about["inputs"] == [{"name": "pixels", "dtype": "uint8", "shape": ["rows", 3, 8, 10], "columns": []}]
    assert "crops them to 8 x 10 pixels of red, green and blue" in made.about["left_to_the_caller"][0]


ALONE = """
import sys
sys.modules["wellfit"] = None  # as if it were not there
import numpy, torch
rows = numpy.load("rows.npz")
module = torch.export.load("model.pt2").module()
found = module(*(torch.from_numpy(rows[name]) for name in ("numbers", "codes")))
numpy.save("found.npy", found["probabilities"].numpy())
"""


@pytest.mark.slow
def test_a_process_without_wellfit_loads_what_torch_has_exported(
    exports: dict[str, Exported], table: Predictor, tmp_path: Path
) -> None:
    numbers, codes = inputs_of(table, frame())
    np.savez(tmp_path / "rows.npz", numbers=numbers, codes=codes)
    (tmp_path / "model.pt2").write_bytes(exports["torch_export"].data)
    subprocess.run([sys.executable, "-I", "-c", ALONE], cwd=tmp_path, check=True)
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), table.predict_proba(frame()), atol=ATOL)


@pytest.mark.parametrize("name", ["digits", pytest.param("adult", marks=[pytest.mark.real_data, pytest.mark.slow])])
def test_data_known_by_name_are_predicted_alike(tmp_path: Path, name: str) -> None:
    settings = [f"data.name={name}", "data.target=null", "data.id=null"]
    params = load_params(PARAMS_FILE, settings)
    fetch(params.data, params.fetch, tmp_path / "raw")
    folder, meta, _ = leave_model(tmp_path, *settings, "model.embedding=ple", members=2)
    model, rows = wellfit.load(folder), np.array(load_split(tmp_path / "processed" / name, meta, "test").x)
    found = run_of(export_model(model, "onnx"), "onnx")(*as_inputs(meta, rows))
    expected = model.predictions(rows)
    np.testing.assert_allclose(found["probabilities"], expected.probabilities, atol=ATOL)


def test_a_missing_package_is_named(table: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(WellfitError, match=r'onnx needs onnx and onnxscript: pip install "wellfit\[export\]"'):
        export_model(table, "onnx")
