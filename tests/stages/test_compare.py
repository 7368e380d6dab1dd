"""A comparison from its file to its report and to MLflow."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun

from wellfit.compare.comparison import load_comparison
from wellfit.errors import WellfitError
from wellfit.stages import compare as module
from wellfit.stages.compare import compare
from wellfit.training.pack import can_pack
from wellfit.training.size import Size

from .conftest import SHIPPED, SMALL, Write

REPORT = Path("reports/comparisons/small")
PIPELINE = SHIPPED.parent / "pipelines" / "compare.py"


@pytest.fixture
def project_with(project: Path, write: Write, monkeypatch: pytest.MonkeyPatch, publisher_here: None) -> Write:
    """Writes the comparison of a project with an MLflow store; packs are of four, and pictures are not drawn."""
    monkeypatch.setattr(
        "wellfit.compare.train.choose_size",
        lambda params, data, sizes, cores: Size(min(4, max(sizes)) if can_pack(params) else 1, 1, 0.0),
    )
    monkeypatch.setattr("wellfit.compare.report._draw", lambda *_: [])
    return write


def run(*overrides: str) -> None:
    compare(load_comparison("small", overrides), REPORT)


def runs(project: Path) -> list[MlflowRun]:
    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments, order_by=["start_time ASC"]))


def split(found: list[MlflowRun]) -> tuple[list[MlflowRun], list[MlflowRun]]:
    """Those of comparisons, and those of trainings."""
    parents = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    return parents, [run for run in found if run not in parents]


def contents(folder: Path) -> dict[str, Any]:
    """What a report says, but for its times."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".csv":
            with path.open() as file:
                found[path.name] = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
        elif path.is_file() and path.suffix != ".md":
            found[path.name] = path.read_bytes()
    return found


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The trainings that were done, by variant and seed."""
    found: list[str] = []
    write_outcome = module.write_outcome

    def noted(folder: Path, outcome: Any, weights: Any, data_sha256: str) -> None:
        found.append(f"{outcome.variant} {outcome.seed}")
        write_outcome(folder, outcome, weights, data_sha256)

    monkeypatch.setattr(module, "write_outcome", noted)
    return found


@pytest.mark.usefixtures("drawn")
def test_report_and_runs(write: Write, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(base=SMALL["base"] | {"train.epochs": 40})
    run()
    out = capsys.readouterr().out
    finding = (REPORT / "finding.txt").read_text().strip()
    assert finding in out
    with (REPORT / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["variant"], row["seed"]) for row in rows] == [
        ("plain", "0"), ("plain", "1"), ("dropout 0.4", "0"), ("dropout 0.4", "1"),
    ]  # fmt: skip
    assert (REPORT / "plots" / "boundaries.png").is_file()
    assert not (project / "data" / "raw").exists()
    assert not (project / "data" / "processed").exists()

    (parent,), children = split(runs(project))
    assert parent.info.run_name == "compare small"
    assert {each.info.status for each in [parent, *children]} == {"FINISHED"}
    assert parent.data.tags["wellfit.stage"] == "compare"
    assert parent.data.params["optim.lr"] == "0.01"
    assert finding.split(";")[0] in parent.data.tags["mlflow.note.content"]
    assert "![" not in parent.data.tags["mlflow.note.content"]
    assert any(name.startswith("difference/dropout 0.4/") for name in parent.data.metrics)
    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    assert {file.path for file in client.list_artifacts(parent.info.run_id, "compare")} >= {
        "compare/README.md", "compare/table.csv", "compare/plots",
    }  # fmt: skip

    names = {each.info.run_name: each for each in children}
    assert sorted(names) == ["dropout 0.4, seed 0", "dropout 0.4, seed 1", "plain, seed 0", "plain, seed 1"]
    child = names["dropout 0.4, seed 1"]
    tags = {
        "wellfit.stage": "comparison",
        "wellfit.comparison": "small",
        "wellfit.variant": "dropout 0.4",
        "wellfit.seed": "1",
        "mlflow.parentRunId": parent.info.run_id,
    }
    assert tags.items() <= child.data.tags.items()
    assert (child.data.params["model.dropout"], child.data.params["train.seed"]) == ("0.4", "1")
    assert child.data.params.keys() == parent.data.params.keys()
    assert child.data.metrics["test/accuracy"] == float(rows[3]["test/accuracy"])
    assert child.data.metrics["best/gap/loss"] == float(rows[3]["gap/loss"])
    curve = client.get_metric_history(child.info.run_id, "gap/loss")
    assert (min(p.step for p in curve), max(p.step for p in curve)) == (1, 40)
    assert 20 <= len(curve) <= 25
    curves = {name for name in child.data.metrics if client.get_metric_history(child.info.run_id, name)[-1].step == 40}
    scores = {f"{split}/{score}" for split in ("train", "val", "gap") for score in ("loss", "accuracy")}
    assert curves == {*scores, "lr", "grad_norm"}
    files = {file.path for file in client.list_artifacts(child.info.run_id)}
    assert files == {"checkpoint", "history.jsonl"}


def test_a_second_run_trains_nothing_and_says_the_same(
    project_with: Write, project: Path, trained: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    project_with()
    run()
    first, readme = contents(REPORT), (REPORT / "README.md").read_text()
    assert len(trained) == 4
    run()
    assert len(trained) == 4
    assert "4 of 4 trainings are there from before" in capsys.readouterr().out
    assert contents(REPORT) == first
    assert (REPORT / "README.md").read_text() == readme  # the seconds are those of the trainings
    parents, children = split(runs(project))
    assert len(parents) == 2
    assert sorted(each.data.tags["mlflow.parentRunId"] for each in children) == sorted(
        [each.info.run_id for each in parents] * 4
    )


def test_a_changed_variant_is_trained_alone(project_with: Write, trained: list[str]) -> None:
    project_with()
    run()
    trained.clear()
    project_with(variants={"renamed": {}, "dropout 0.4": {"model.dropout": 0.5}})
    run()
    assert sorted(trained) == ["dropout 0.4 0", "dropout 0.4 1"]
    trained.clear()
    project_with(variants={"renamed": {}, "dropout 0.4": {"model.dropout": 0.5}}, seeds=3, measure=["test/loss"])
    run()
    assert sorted(trained) == ["dropout 0.4 2", "renamed 2"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_comparison_goes_on(
    project_with: Write, project: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    variants = {"plain": {}, "short": {"train.epochs": 2}, "wide": {"model.hidden": [9]}}
    project_with(variants=variants)
    run()
    expected = contents(REPORT)
    shutil.rmtree(project / ".wellfit" / "comparisons")
    shutil.rmtree(REPORT)
    trained.clear()
    before = len(runs(project))
    write_outcome = module.write_outcome

    def cut(*args: Any) -> None:
        write_outcome(*args)
        if len(trained) == 3:
            raise error

    monkeypatch.setattr(module, "write_outcome", cut)
    with pytest.raises(error):
        run()
    assert not REPORT.exists()
    parents, children = split(runs(project)[before:])
    assert [each.info.status for each in parents] == ["KILLED" if error is KeyboardInterrupt else "FAILED"]
    assert len(children) == 2  # the third was kept, and then nobody was left to tell
    monkeypatch.setattr(module, "write_outcome", write_outcome)
    run()
    assert len(trained) == 6
    assert len(set(trained)) == 6
    assert contents(REPORT) == expected
    newest = split(runs(project))[0][-1]
    below = [each for each in runs(project) if each.data.tags.get("mlflow.parentRunId") == newest.info.run_id]
    assert (newest.info.status, len(below)) == ("FINISHED", 6)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_killed_comparison_goes_on(
    write: Write,
    project: Path,
    trained: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    how: signal.Signals,
) -> None:
    """Its publisher, a process of its own, publishes what had ended and ends the run."""
    write(base=SMALL["base"] | {"train.epochs": 100_000}, variants={"short": {"train.epochs": 3}, "long": {}})
    monkeypatch.setattr("wellfit.compare.report._draw", lambda *_: [])
    process = os.fork()  # what takes seconds to import is there already
    if not process:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            run()
        finally:
            os._exit(0)
    folder = project / ".wellfit" / "comparisons" / "small"
    wait_until(lambda: len(list(folder.glob("[!.]*/outcome.json"))) == 2)
    os.kill(process, how)
    os.waitpid(process, 0)
    assert len(list(folder.glob("[!.]*/outcome.json"))) == 2
    wait_until(lambda: [each.info.status for each in split(runs(project))[0]] == ["KILLED"])
    assert [each.info.status for each in split(runs(project))[1]] == ["FINISHED"] * 2
    trained.clear()
    run("train.epochs=4")
    assert sorted(trained) == ["long 0", "long 1"]
    assert "2 of 4 trainings are there from before" in capsys.readouterr().out
    assert sorted(each.info.status for each in split(runs(project))[0]) == ["FINISHED", "KILLED"]
    assert len(split(runs(project))[1]) == 6


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 100
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_without_mlflow_a_comparison_has_its_report(
    project_with: Write, project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    project_with()
    with monkeypatch.context() as outage:
        outage.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        outage.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        run()
    assert (REPORT / "README.md").is_file()
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line]
    assert line.startswith("warning: MLflow at http://127.0.0.1:9 cannot be reached: ")
    assert len(list(Path(".wellfit/publications").glob("*.json"))) == 1
    assert runs(project) == []
    run()
    assert [len(found) for found in split(runs(project))] == [1, 4]


def test_the_project_run_of_mlflow_is_the_comparisons_own(
    project_with: Write, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    given = client.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", given)
    project_with()
    run()
    (parent,), children = split(runs(project))
    assert parent.info.run_id == given
    assert (parent.info.status, len(children)) == ("FINISHED", 4)


def test_a_training_that_blows_up_is_told_and_the_others_count(
    project_with: Write, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sgd = {"optim.name": "sgd"}
    project_with(base=SMALL["base"] | sgd, variants={"plain": {}, "50 % / wild": {"optim.lr": 1e30}})
    run()
    assert "warning: 50 % / wild, seed 0 failed: " in capsys.readouterr().out
    children = split(runs(project))[1]
    statuses = {each.info.run_name: each.info.status for each in children}
    assert statuses == {
        "plain, seed 0": "FINISHED",
        "plain, seed 1": "FINISHED",
        "50 % / wild, seed 0": "FAILED",
        "50 % / wild, seed 1": "FAILED",
    }
    project_with(base=SMALL["base"] | sgd | {"optim.lr": 1e30})
    with pytest.raises(WellfitError, match="none of 4 trainings ended well: "):
        run()
    assert split(runs(project))[0][-1].info.status == "FAILED"


def test_a_regression_and_images_are_compared(project_with: Write, project: Path) -> None:
    base = SMALL["base"] | {"data.name": "diabetes", "train.epochs": 2}
    project_with(base=base, measure=["test/mae", "gap/rmse"])
    run()
    assert "test/rmse" in (REPORT / "runs.csv").read_text().splitlines()[0]
    assert not (REPORT / "plots" / "boundaries.png").exists()
    # 1797 images, of which a part is taken by large batches.
    base = SMALL["base"] | {"data.name": "digits", "model.name": "cnn", "model.channels": [2], "train.epochs": 1}
    variants = {"none": {}, "light": {"data.augment": "light"}}
    project_with(base=base | {"train.batch_size": 1000}, variants=variants, weights="last")
    run()
    record = json.loads(next(project.glob(".wellfit/comparisons/small/*/outcome.json")).read_text())
    assert record["failure"] == ""


def test_wrong_measures_of_own_data_are_told_before_anything_is_trained(
    project_with: Write, project: Path, trained: list[str]
) -> None:
    rows = [f"{i % 7},{'yes' if i % 7 > 3 else 'no'}" for i in range(60)]
    (project / "own.csv").write_text("\n".join(["size,sold", *rows]) + "\n")
    base = SMALL["base"] | {"data.name": "csv", "data.path": "own.csv", "data.target": "sold"}
    project_with(base=base, measure=["test/mae"])
    with pytest.raises(WellfitError, match=r"^measure: test/mae is a score of a regression, but"):
        run()
    assert trained == []
    assert runs(project) == []


Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def script(project: Path) -> Call:
    def call(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, str(PIPELINE), *args], capture_output=True, text=True, check=False)

    return call


def test_help_lists_the_comparisons(write: Write, script: Call) -> None:
    write("dropping", title="Does dropout help?")
    done = script("--help")
    assert done.returncode == 0
    assert "  dropping  Does dropout help?" in done.stdout


@pytest.mark.parametrize(
    ("args", "status", "text"),
    [
        ((), 2, "compare: the following arguments are required: --name; "),
        (("--name", "smal"), 1, "compare: comparisons/smal.yaml not found; did you mean small?\n"),
        (("--name", "small", "--epochs", "0"), 1, "compare: train.epochs must be >= 1, got 0 (--set)\n"),
    ],
)
def test_a_wrong_call_is_one_line(write: Write, script: Call, args: tuple[str, ...], status: int, text: str) -> None:
    write()
    done = script(*args)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith(text)
    assert done.stderr.count("\n") == 1
