"""A new user's way, in a clone: own CSV, predictions, a server, the registry, and the same model elsewhere.

The tests build on each other, in this order.
"""

import csv
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from mlflow import MlflowClient

from .conftest import Run

pytestmark = pytest.mark.slow

NAME = "wellfit-flowers"
PREDICT = ("wellfit", "predict", "--input", "data/own/new.csv", "--output", "reports/new.csv", "--proba")


@pytest.fixture(scope="module")
def own(clone: Path) -> Path:
    """A table to train on, and rows to predict: in another order, with a column that is not known, and a gap."""
    random = np.random.default_rng(0)
    size, colour = random.normal(10, 3, 600), random.choice(["red", "blue", "white"], 600)
    kind = np.where(size + 4 * (colour == "red") + random.normal(0, 1, 600) > 11, "rose", "lily")
    folder = clone / "data/own"
    rows = zip(size.round(2), colour, kind, strict=True)
    write(folder / "flowers.csv", [["size", "colour", "kind"], *rows])
    unknown = [[colour[0], "Ann", size[0].round(2)], ["green", "Bob", ""], ["red", "Eve", "13.5"]]
    write(folder / "new.csv", [["colour", "who", "size"], *unknown])
    return folder


def write(path: Path, rows: list[list[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def alias(clone: Path, name: str) -> int:
    client = MlflowClient(f"sqlite:///{clone}/mlflow.db")
    return int(client.get_model_version_by_alias(NAME, name).version)


@pytest.fixture(scope="module")
def trained(clone: Path, call: Run, own: Path) -> str:
    keys = {"data.name": "csv", "data.path": "data/own/flowers.csv", "data.target": "kind"}
    return call("dvc", "exp", "run", *(part for key, value in keys.items() for part in ("-S", f"{key}={value}"))).stdout


def test_an_own_table_is_trained_on(clone: Path, trained: str) -> None:
    assert "the model, ready to use: models/csv" in trained
    assert json.loads((clone / "reports/evaluate/metrics.json").read_text())["accuracy"] > 0.85


def test_of_params_yaml_only_what_is_set_changes(call: Run, trained: str) -> None:
    assert call("git", "diff", "--numstat", "params.yaml").stdout.split() == ["3", "3", "params.yaml"]


def test_new_rows_are_predicted(clone: Path, call: Run, trained: str) -> None:
    said = call(*PREDICT).stdout
    assert "note: column 'colour': 'green' is no category of the training rows, or a rare one" in said
    assert "note: column 'size': 1 of 3 cells are missing, and none was in the training rows" in said
    assert "note: columns that the model does not know are passed over: 'who'" in said
    with (clone / "reports/new.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["0", "1", "2"]
    assert rows[2]["predicted"] == "rose"
    for row in rows:
        assert float(row["p_lily"]) + float(row["p_rose"]) == pytest.approx(1, abs=2e-6)


def test_the_first_model_is_the_champion(clone: Path, call: Run, trained: str) -> None:
    assert f"version 1 of {NAME} is the champion: the first version" in call("wellfit", "register").stdout
    assert alias(clone, "champion") == 1


@pytest.fixture(scope="module")
def server(clone: Path, environment: dict[str, str], trained: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["mlflow", "models", "serve", "-m", f"models:/{NAME}@champion", "--env-manager", "local"]
    variables = environment | {"MLFLOW_TRACKING_URI": f"sqlite:///{clone}/mlflow.db"}
    log = clone.parent / "serve.log"
    with (
        log.open("w") as file,
        subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=clone.parent,
            env=variables,
            stdout=file,
            stderr=file,
            start_new_session=True,
        ) as process,
    ):
        address = f"http://127.0.0.1:{port}"
        try:
            for _ in range(600):
                time.sleep(0.2)
                assert process.poll() is None, log.read_text()
                try:
                    requests.get(f"{address}/ping", timeout=1).raise_for_status()
                    break
                except requests.RequestException:
                    continue
            yield address
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def test_the_champion_answers_raw_rows_with_the_predictions_of_the_file(clone: Path, server: str) -> None:
    with (clone / "data/own/new.csv").open() as file:
        rows = [{key: value or None for key, value in row.items()} for row in csv.DictReader(file)]
    with (clone / "reports/new.csv").open() as file:
        expected = list(csv.DictReader(file))
    answer = requests.post(f"{server}/invocations", json={"dataframe_records": rows}, timeout=60)
    assert answer.status_code == 200, answer.text
    for found, row in zip(answer.json()["predictions"], expected, strict=True):
        assert found["predicted"] == row["predicted"]
        assert found["p_rose"] == pytest.approx(float(row["p_rose"]), abs=1e-6)


def test_what_the_server_cannot_use_is_answered_with_400_and_a_line(server: str) -> None:
    answer = requests.post(f"{server}/invocations", json={"dataframe_records": [{"weight": 3}]}, timeout=60)
    assert answer.status_code == 400
    # MLflow puts the rows before it.
    said = answer.json()["message"].splitlines()[-1]
    assert said == "Error: the rows: none of the columns that the model takes (size, colour) is there"


def test_a_worse_model_becomes_the_challenger(clone: Path, call: Run, trained: str) -> None:
    worse = {"tune.enabled": "false", "train.epochs": "1", "optim.lr": "1e-6", "schedule.warmup_epochs": "0"}
    call("dvc", "exp", "run", *(part for key, value in worse.items() for part in ("-S", f"{key}={value}")))
    assert f"version 2 of {NAME} is the challenger" in call("wellfit", "register").stdout
    assert (alias(clone, "champion"), alias(clone, "challenger")) == (1, 2)


def test_another_clone_pulls_the_model_and_predicts_the_same_bytes(
    clone: Path, call: Run, environment: dict[str, str], trained: str
) -> None:
    call(*PREDICT)
    call("dvc", "remote", "add", "--default", "shared", str(clone.parent / "shared"))
    call("git", "add", "--all")
    call("git", "commit", "--quiet", "--message", "A model of flowers")
    call("dvc", "push")
    elsewhere = clone.parent / "elsewhere"
    call("git", "clone", "--quiet", str(clone), str(elsewhere))
    for command in (("dvc", "pull"), PREDICT):
        done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=250)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (elsewhere / "reports/new.csv").read_bytes() == (clone / "reports/new.csv").read_bytes()
