"""Comparisons in a clone, by DVC and by `mlflow run`. The tests build on each other, in this order."""

import re
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from ruamel.yaml import YAML

from wellfit.compare.base import CODE
from wellfit.compare.comparison import NO_COMPARISONS
from wellfit.data.catalog import CATALOG

from .conftest import ROOT, Run
from .test_pipeline import NOISE, imported_by_settings, is_listed, ran, source_files

NAME = "moons-dropout"
TARGET = f"comparisons/dvc.yaml:{NAME}"
NAMES = sorted(path.stem for path in (ROOT / "comparisons").glob("*.yaml") if path.stem not in NO_COMPARISONS)
STAGES: dict[str, dict[str, Any]] = YAML(typ="safe", pure=True).load(ROOT / "comparisons/dvc.yaml")["stages"]


def test_no_stage_is_always_changed() -> None:
    assert not [name for name, stage in STAGES.items() if stage.get("always_changed") or not stage["outs"]]


def test_each_comparison_has_its_stage() -> None:
    assert [name for name in STAGES if name != "common" and not name.startswith("download-")] == NAMES
    for name in NAMES:
        comparison = YAML(typ="safe", pure=True).load(ROOT / "comparisons" / f"{name}.yaml")
        data = comparison["base"]["data.name"]
        available = [{f"data/comparisons/available/{data}.yaml": [data]}] if CATALOG[data].files else []
        assert bool(available) == (f"download-{data}" in STAGES)
        assert STAGES[name] == {
            "desc": comparison["title"],
            "wdir": "..",
            "cmd": f"exec pipelines/python pipelines/compare.py --name {name}",
            "params": [{f"comparisons/{name}.yaml": None}, *available],
            "deps": ["data/comparisons/common.yaml"],
            "outs": [{f"reports/comparisons/{name}": {"cache": False}}],
        }


@pytest.fixture(scope="module")
def small(clone: Path, call: Run) -> Path:
    """The clone, in which one comparison takes a moment."""
    path = clone / "comparisons" / f"{NAME}.yaml"
    text = path.read_text()
    for key, value in {"data.n_samples": "100", "train.epochs": "3"}.items():
        text, count = re.subn(rf"(?m)^  {re.escape(key)}: .*$", f"  {key}: {value}", text)
        assert count == 1, key
    path.write_text(re.sub(r"(?m)^seeds: .*$", "seeds: 2", text))
    call("git", "commit", "--quiet", "--all", "--message", "small")
    return clone


@pytest.fixture(scope="module")
def import_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("import_log")


@pytest.fixture(scope="module")
def reproduced(small: Path, call: Run, import_log: Path) -> str:
    recorder = str(Path(__file__).parent / "import_log")
    done = call("dvc", "repro", TARGET, PYTHONPATH=recorder, IMPORT_LOG=str(import_log))
    call("git", "add", "comparisons/dvc.lock")
    call("git", "commit", "--quiet", "--message", "outcome")
    return done.stdout + done.stderr


@pytest.mark.slow
def test_dvc_runs_one_comparison_without_noise(small: Path, call: Run, reproduced: str) -> None:
    assert ran(reproduced) == ["comparisons/dvc.yaml:common", TARGET]
    assert not NOISE.search(reproduced)
    assert (small / "reports/comparisons" / NAME / "README.md").is_file()
    assert call("git", "status", "--short").stdout == ""
    assert "didn't change, skipping" in call("dvc", "repro", TARGET).stdout


@pytest.mark.slow
def test_deps_hold_what_is_imported_for_the_result(small: Path, call: Run, import_log: Path, reproduced: str) -> None:
    imported = (import_log / NAME).read_text().split()
    files = source_files(small, set(imported) - imported_by_settings(call))
    assert not [file for file in files if not is_listed(file, STAGES["common"]["deps"])]


@pytest.mark.slow
def test_what_changes_a_comparison_makes_it_stale(small: Path, call: Run, reproduced: str) -> None:
    changes = {
        "comparisons/base.yaml": ("  lr: 0.001\n", "  lr: 0.002\n", True),
        f"comparisons/{NAME}.yaml": ("dropout 0.4: {model.dropout: 0.4}", "dropout 0.4: {model.dropout: 0.3}", True),
        "src/wellfit/models/mlp.py": ("width = hidden\n", "width = hidden + 0\n", True),
        "src/wellfit/models/init.py": ("import torch\n", "import torch  # the library\n", False),
        "params.yaml": ("  n_trials: ", "  n_trials: 1", False),
    }
    for name, (old, new, stale) in changes.items():
        path = small / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        ran_now = ran(call("dvc", "repro", "--dry", TARGET).stdout)
        if "comparisons/dvc.yaml:common" in ran_now:  # what it writes decides
            before = (small / "data/comparisons/common.yaml").read_text()
            call("pipelines/python", "-m", "wellfit.compare.base")
            assert ((small / "data/comparisons/common.yaml").read_text() != before) == stale, name
            (small / "data/comparisons/common.yaml").write_text(before)
        else:
            assert bool(ran_now) == stale, name
        path.write_text(text)


@pytest.mark.slow
def test_the_lock_is_short(small: Path, reproduced: str) -> None:
    assert len((ROOT / "comparisons/dvc.lock").read_text().splitlines()) < 2000
    # And so when all comparisons have been run, those included whose data are not at hand.
    lines = (small / "comparisons/dvc.lock").read_text().splitlines()
    longest = max(len((ROOT / f"comparisons/{name}.yaml").read_text().splitlines()) for name in NAMES)
    assert len(lines) + len(NAMES) * (longest + 20) < 2000


@pytest.mark.slow
def test_plots_are_shown(small: Path, call: Run, reproduced: str) -> None:
    report = f"reports/comparisons/{NAME}"
    shown = call("dvc", "plots", "show", f"{report}/plots")
    page = (small / "dvc_plots/index.html").read_text()
    assert "moons-dropout_plots_boundaries.png" in page
    curve = call("dvc", "plots", "show", f"{report}/history.csv", "-t", "variants", "-x", "epoch", "-y", "val/loss")
    page = (small / "dvc_plots/index.html").read_text()
    assert '"field": "variant"' in page
    assert "dropout 0.4" in page
    for said in (shown, curve):
        assert not NOISE.search(said.stdout + said.stderr)


@pytest.mark.slow
def test_mlflow_runs_a_comparison_by_its_name(small: Path, call: Run, reproduced: str) -> None:
    client = MlflowClient(f"sqlite:///{small}/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    before = {run.info.run_id for run in client.search_runs(experiments)}
    done = call("mlflow", "run", ".", "--env-manager", "local", "-e", "compare", "-P", f"name={NAME}")
    assert "4 of 4 trainings are there from before" in done.stdout + done.stderr
    new = [run for run in client.search_runs(experiments) if run.info.run_id not in before]
    stages = [run.data.tags["wellfit.stage"] for run in new]
    assert sorted(stages) == ["compare"] + ["comparison"] * 4
    assert {run.info.status for run in new} == {"FINISHED"}
    assert call("git", "status", "--short").stdout == ""


@pytest.mark.slow
def test_a_comparison_whose_data_cannot_be_had_is_passed_over(small: Path, call: Run, tmp_path: Path) -> None:
    target = "comparisons/dvc.yaml:adult-depth"
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "WELLFIT_MIRROR": ""}
    done = call("dvc", "repro", target, WELLFIT_CACHE=str(tmp_path), **nowhere)
    assert ran(done.stdout + done.stderr) == ["comparisons/dvc.yaml:download-adult", target]
    report = (small / "reports/comparisons/adult-depth/README.md").read_text()
    assert f"Not run: adult could not be had. `dvc repro --force {target}` tries again." in report
    assert ran(call("dvc", "repro", target).stdout) == []
    call("git", "checkout", "--quiet", "comparisons/dvc.lock")


def test_the_digest_is_of_the_code_that_dvc_watches() -> None:
    watched = {dep.removeprefix("src/wellfit/") for dep in STAGES["common"]["deps"] if dep.startswith("src/")}
    assert set(CODE) == watched
