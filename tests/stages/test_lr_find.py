"""What the stage writes, and that it is an entry point."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from ruamel.yaml import YAML

from wellfit import tracking
from wellfit.settings.params import load_params
from wellfit.stages.lr_find import lr_find

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "params.yaml"


def run(project: Path, prepared: Path, *overrides: str) -> None:
    base = ["data.name=moons", "train.threads=1", "model.hidden=[16]", "lr_find.steps=60", "lr_find.low=1e-4"]
    params = load_params(SHIPPED, [*base, *overrides])
    lr_find(params, prepared / "moons", project / "reports/lr_find")


def test_files_and_run(project: Path, prepared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(project, prepared)
    assert sorted(path.name for path in (project / "reports/lr_find").iterdir()) == ["lr_find.csv", "lr_find.png"]
    rows = list(csv.DictReader((project / "reports/lr_find/lr_find.csv").read_text().splitlines()))
    assert list(rows[0]) == ["lr", "loss", "smoothed"]
    client = MlflowClient(tracking.store_uri())
    (found,) = client.search_runs([client.get_experiment_by_name("wellfit").experiment_id])
    assert found.data.tags["wellfit.stage"] == "lr_find"
    assert found.data.params["lr_find.steps"] == "60"
    for column in ("lr", "loss", "smoothed"):
        logged = client.get_metric_history(found.info.run_id, f"lr_find/{column}")
        assert [(m.step, m.value) for m in logged] == [(i, float(row[column])) for i, row in enumerate(rows, 1)]
    low, high = sorted([found.data.metrics["lr_find/steepest"], found.data.metrics["lr_find/tenth_of_lowest"]])
    assert f"try optim.lr between {low:.2g} and {high:.2g}: " in capsys.readouterr().out
    artifacts = {file.path for file in client.list_artifacts(found.info.run_id, "lr_find")}
    assert artifacts == {"lr_find/lr_find.csv", "lr_find/lr_find.png"}
    assert not (project / "models").exists()


def test_it_is_the_same_again_and_takes_the_optimizer_that_is_set(project: Path, prepared: Path) -> None:
    seen = []
    for overrides in ([], ["optim.lr=0.5"], ["optim.name=sgd"]):
        run(project, prepared, *overrides)
        seen.append([(project / "reports/lr_find" / name).read_bytes() for name in ("lr_find.csv", "lr_find.png")])
    assert seen[0] == seen[1] != seen[2]  # optim.lr is what is looked for


def test_the_script_is_an_entry_point_and_explains_itself() -> None:
    project = YAML(typ="safe", pure=True).load(ROOT / "MLproject")
    assert project["entry_points"]["lr_find"]["command"] == "exec pipelines/python pipelines/lr_find.py"
    command = [sys.executable, "pipelines/lr_find.py", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert "Finds which learning rates are worth trying" in done.stdout


def test_what_it_records_decides_no_model() -> None:
    from wellfit.training.record import resolved_config
    from wellfit.tuning.identity import identity

    one, other = (load_params(SHIPPED, o) for o in ([], ["lr_find.steps=77", "track.layers=false"]))
    assert json.dumps(resolved_config(one)) == json.dumps(resolved_config(other))
    assert identity(one, "") == identity(other, "")
