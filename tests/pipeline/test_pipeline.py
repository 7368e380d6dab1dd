"""The real pipeline in a clone: DVC, experiments, `mlflow run`. The tests build on each other, in this order."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun
from ruamel.yaml import YAML

from .conftest import Run

pytestmark = pytest.mark.slow

STAGES = ["fetch", "preprocess", "features", "tune", "train", "baseline", "evaluate"]
TUNED = {"tune": 1, "trial": 2, "train": 1, "baseline": 3}  # runs in MLflow
VERDICT = r"warning: over-fitting: "  # so few rows do over-fit
NOISE = re.compile(rf"^(?!{VERDICT}).*(?:warn|deprecat|traceback)", re.IGNORECASE | re.MULTILINE)


def ran(output: str) -> list[str]:
    return re.findall(r"Running stage '(.+)'", output)


def runs(clone: Path, query: str = "") -> list[MlflowRun]:
    client = MlflowClient(f"sqlite:///{clone}/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments, query, order_by=["start_time ASC"]))


def by_stage(found: list[MlflowRun]) -> dict[str, list[MlflowRun]]:
    """A trial may have begun before the run of its study, which the publisher makes beside it."""
    stages: dict[str, list[MlflowRun]] = {}
    for run in found:
        stages.setdefault(run.data.tags["wellfit.stage"], []).append(run)
    return stages


def metrics(clone: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((clone / "reports/evaluate/metrics.json").read_text())
    return found


@pytest.fixture(scope="module")
def import_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for each stage of the first `dvc repro`, with the names of the modules it imported."""
    return tmp_path_factory.mktemp("import_log")


@pytest.fixture(scope="module")
def reproduced(clone: Path, call: Run, import_log: Path) -> str:
    """The output of the first `dvc repro`; its outcome is committed."""
    recorder = str(Path(__file__).parent / "import_log")
    done = call("dvc", "repro", PYTHONPATH=recorder, IMPORT_LOG=str(import_log))
    call("git", "add", "dvc.lock", "reports")
    call("git", "commit", "--quiet", "--message", "outcome")
    return done.stdout + done.stderr


def check_order(stages: list[str]) -> None:
    """Each stage ran once, after those it needs; DVC may run the baselines before, between or after the others."""
    assert sorted(stages) == sorted(STAGES)
    assert [stage for stage in stages if stage != "baseline"] == [stage for stage in STAGES if stage != "baseline"]
    assert stages.index("preprocess") < stages.index("baseline") < stages.index("evaluate")


def test_dvc_repro_runs_every_stage_without_noise(clone: Path, reproduced: str) -> None:
    check_order(ran(reproduced))
    assert not NOISE.search(reproduced)
    assert metrics(clone)["accuracy"] > 0.8
    assert {run.info.status for run in runs(clone)} == {"FINISHED"}
    assert {stage: len(found) for stage, found in by_stage(runs(clone)).items()} == TUNED
    assert not (clone / "mlruns").exists()


def test_git_tracks_no_output_but_lock_and_metrics(clone: Path, call: Run, reproduced: str) -> None:
    assert call("git", "status", "--short").stdout == ""
    tracked = call("git", "show", "--name-only", "--format=", "HEAD").stdout.split()
    metrics_of = [f"reports/{stage}/metrics.json" for stage in ("baseline", "evaluate", "train")]
    assert sorted(tracked) == ["dvc.lock", *metrics_of[:2], "reports/evaluate/scores.json", metrics_of[2]]


def test_a_second_repro_runs_nothing(call: Run, reproduced: str) -> None:
    again = call("dvc", "repro").stdout
    assert ran(again) == []
    assert "Data and pipelines are up to date." in again


def test_deps_hold_what_is_imported_for_the_result(clone: Path, call: Run, import_log: Path, reproduced: str) -> None:
    stages = YAML(typ="safe", pure=True).load(clone / "dvc.yaml")["stages"]
    by_settings = imported_by_settings(call)
    for stage in STAGES:
        imported = (import_log / stage).read_text().split()
        unlisted = set(imported) - by_settings
        assert not [file for file in source_files(clone, unlisted) if not is_listed(file, stages[stage]["deps"])], stage
        heavy = {"torch", "mlflow", "matplotlib", "optuna"} & {name.partition(".")[0] for name in imported}
        assert bool(heavy) == (stage not in ("fetch", "preprocess", "features", "baseline")), stage


CHANGED = {
    "training/optim.py": {"tune", "train"},
    "models/mlp.py": {"features", "tune", "train", "evaluate"},
    "baselines/fit.py": {"baseline", "evaluate"},
    "tuning/samplers.py": {"tune"},
    "report/page.py": {"evaluate"},
    "data/split.py": {"fetch", "preprocess"},
    "stages/train.py": {"train"},
    "settings/params.py": set(),
    "tracking/run.py": set(),
}


def test_what_computes_a_result_makes_its_stages_stale(clone: Path, call: Run, reproduced: str) -> None:
    """All in one call, which takes seconds: each file stands in a dependency of its own."""
    texts = {file: (clone / "src/wellfit" / file).read_text() for file in CHANGED}
    for file, text in texts.items():
        (clone / "src/wellfit" / file).write_text(text + "# changed\n")
    status = json.loads(call("dvc", "status", "--json", *STAGES).stdout)
    for file, text in texts.items():
        (clone / "src/wellfit" / file).write_text(text)
    changed = {
        stage: [dep for part in parts for dep in part["changed deps"] if dep.startswith("src/")]
        for stage, parts in status.items()
    }
    for file, stale in CHANGED.items():
        # A stage whose inputs another one is about to make anew is told of when its turn has come.
        assert {stage for stage, deps in changed.items() if is_listed(file, deps)} == stale, file


def test_the_page_is_made_of_all_stages(clone: Path, reproduced: str) -> None:
    page = (clone / "reports/report.html").read_text()
    for heading in ("Confusion matrix", "Beside baselines", "Verdict", "Parallel coordinates", "Class balance"):
        assert f">{heading}</h" in page
    head = subprocess.run(["git", "rev-parse", "HEAD~"], cwd=clone, capture_output=True, text=True, check=True).stdout
    assert head.strip() in page
    assert "clean: all files are as committed" in page


PASSIVE = (
    *("settings", "tracking", "commands", "config.py", "errors.py"),
    *("interruptions.py", "machine.py", "progress.py", "provenance.py", "torchrun.py"),
)


def imported_by_settings(call: Run) -> set[str]:
    """The modules that reading ``params.yaml`` imports: its sections stand beside the code they configure."""
    code = "import sys, wellfit.settings.params, wellfit.commands.cli; print(*sys.modules)"
    return set(call("pipelines/python", "-c", code).stdout.split())


def source_files(clone: Path, modules: Iterable[str]) -> list[str]:
    """The files of modules below ``src/wellfit``, without packages and without what changes no result."""
    names = [name.removeprefix("wellfit.").replace(".", "/") + ".py" for name in modules if name.startswith("wellfit.")]
    files = [name for name in names if (clone / "src/wellfit" / name).is_file()]
    return sorted(name for name in files if name not in PASSIVE and name.split("/")[0] not in PASSIVE)


def is_listed(file: str, deps: list[str]) -> bool:
    """Whether a file, or a folder that holds it, is among the dependencies of a stage."""
    return any(f"src/wellfit/{file}".startswith(dep if dep.endswith(".py") else f"{dep}/") for dep in deps)


def test_only_evaluate_depends_on_its_params(call: Run, reproduced: str) -> None:
    done = call("dvc", "exp", "run", "--set-param", "evaluate.seed=1")
    assert ran(done.stdout) == ["evaluate"]
    assert not NOISE.search(done.stdout + done.stderr)
    call("git", "checkout", "--quiet", ".")
    call("dvc", "checkout", "--quiet")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of the user's."""
    rows = [f"{i % 7}.{i},{'red' if i % 3 else 'blue'},{'yes' if i % 7 > 3 else 'no'}" for i in range(200)]
    path = tmp_path_factory.mktemp("own") / "own.csv"
    path.write_text("\n".join(["size,colour,sold", *rows]) + "\n")
    return path


def test_mlflow_run_nests_the_stages_under_one_run(clone: Path, call: Run, reproduced: str, own: Path) -> None:
    """With a table of the user's, which runs like the others."""
    before = len(runs(clone))
    settings = {"dataset": "csv", "data.path": str(own), "data.target": "sold"}
    settings |= {"lr": "0.01", "dropout": "0.1", "scheduler": "linear", "epochs": "6", "weight_decay": ""}
    given = [part for name, value in settings.items() for part in ("-P", f"{name}={value}")]
    done = call("mlflow", "run", ".", "--env-manager", "local", *given)
    check_order(ran(done.stdout))
    assert "colour: 2 categories, blue, red" in done.stdout
    new = runs(clone)[before:]
    assert {run.info.status for run in new} == {"FINISHED"}
    assert {run.data.tags["wellfit.dataset"] for run in new} == {"own"}, "as the file is called"
    stages = by_stage(new)
    (pipeline,), (tune,), (train,), trials = (stages.pop(name) for name in ("pipeline", "tune", "train", "trial"))
    baselines = stages.pop("baseline")
    assert not stages
    assert [run.data.tags["mlflow.parentRunId"] for run in baselines] == [train.info.run_id] * 3
    assert [run.data.tags["mlflow.parentRunId"] for run in (tune, train)] == [pipeline.info.run_id] * 2
    assert [run.data.tags["mlflow.parentRunId"] for run in trials] == [tune.info.run_id] * 2
    # What was given is used as it is; what was not is tuned.
    assert (train.data.params["optim.lr"], train.data.params["train.epochs"]) == ("0.01", "6")
    assert {run.data.params["optim.lr"] for run in trials} == {"0.01"}
    assert len({run.data.params["optim.weight_decay"] for run in trials}) == 2
    assert pipeline.data.metrics["test/accuracy"] == train.data.metrics["test/accuracy"] > 0.9
    experiment = f"mlflow-{pipeline.info.run_id[:8]}"
    assert {run.data.tags["dvc.exp_name"] for run in new} == {experiment}
    client = MlflowClient(f"sqlite:///{clone}/mlflow.db")
    (model,) = client.search_logged_models([train.info.experiment_id], f"source_run_id = '{train.info.run_id}'")
    assert model.name == "model"
    read = f"import dvc.api; print(dvc.api.read('reports/evaluate/metrics.json', rev='{experiment}'))"
    assert json.loads(call("python", "-c", read).stdout)["accuracy"] == train.data.metrics["test/accuracy"]
    assert call("git", "status", "--short").stdout == ""
    call("dvc", "exp", "rename", experiment, "own")


def test_a_stage_that_fails_under_dvc_is_one_line(clone: Path, call: Run, reproduced: str, own: Path) -> None:
    ragged = own.with_name("ragged.csv")
    ragged.write_text("size,colour,sold\n1,red,yes\n2,blue\n")
    settings = [f"data.path={ragged}", "data.name=csv", "data.target=sold"]
    given = [part for setting in settings for part in ("--set-param", setting)]
    failed = call("dvc", "exp", "run", "--temp", *given, "preprocess", check=False)
    assert failed.returncode != 0
    assert f"preprocess: {ragged} row 3: 2 cells, but 3 columns" in failed.stderr


def is_in_the_store_of(clone: Path, run: MlflowRun) -> bool:
    return Path(run.info.artifact_uri.removeprefix("file://")).is_relative_to(clone / "mlartifacts")


def test_experiments_are_queued_and_compared(clone: Path, call: Run, reproduced: str) -> None:
    before = len(runs(clone))
    settings = ["--set-param", "schedule.name=step", "--set-param", "tune.enabled=false"]
    call("dvc", "exp", "run", "--queue", "--name", "queued", *settings)
    call("dvc", "exp", "run", "--run-all", "--jobs", "1")
    (train,) = by_stage(runs(clone)[before:])["train"]
    assert train.data.tags["dvc.exp_name"] == "queued"
    assert is_in_the_store_of(clone, train)
    assert train.data.metrics["test/accuracy"] > 0.8
    assert call("git", "status", "--short").stdout == ""

    shown = call("dvc", "exp", "show", "--csv").stdout
    assert "own" in shown
    assert "queued" in shown
    diff = json.loads(call("dvc", "metrics", "diff", "--json", "own", "queued").stdout)
    assert "reports/evaluate/scores.json" in diff
    assert not [name for scores in diff.values() for name in scores if name.endswith(("_low", "_high"))]
    params = json.loads(call("dvc", "params", "diff", "--json", "own", "queued").stdout)["params.yaml"]
    assert params["schedule.name"] == {"old": "linear", "new": "step"}
    call("dvc", "plots", "diff", "own", "queued")
    page = (clone / "dvc_plots/index.html").read_text()
    assert all(word in page for word in ("train/loss", "val/loss", "best_so_far", "own", "queued"))


def test_bad_params_stop_the_stage_in_one_line(clone: Path, call: Run, reproduced: str) -> None:
    before = len(runs(clone))
    done = call("python", "pipelines/train.py", "--lr", "-1", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "train: optim.lr must be > 0.0, got -1 (--set)\n"
    assert len(runs(clone)) == before
    assert call("git", "status", "--short").stdout == ""


def test_mlflow_run_of_what_is_cached_says_so(clone: Path, call: Run, reproduced: str) -> None:
    before = len(runs(clone))
    call("mlflow", "run", ".", "--env-manager", "local")
    (pipeline,) = runs(clone)[before:]
    assert pipeline.data.tags["wellfit.cached"] == "true"
    trained_by = json.loads((clone / "models/run.json").read_text())["run_id"]
    assert pipeline.data.tags["wellfit.trained_by"] == trained_by
    assert pipeline.data.metrics["test/accuracy"] == metrics(clone)["accuracy"]


def test_mlflow_run_of_one_stage_is_the_run_itself(clone: Path, call: Run, reproduced: str) -> None:
    before, weights = len(runs(clone)), (clone / "models/best.safetensors").read_bytes()
    given = ["-P", "lr=0.02", "-P", "tune=false", "-P", "data.n_samples=300"]
    done = call("mlflow", "run", ".", "--env-manager", "local", "-e", "train", *given)
    assert ran(done.stdout) == ["fetch", "preprocess", "features", "tune", "train"]
    (train,) = runs(clone)[before:]
    assert train.data.tags["wellfit.stage"] == "train"
    assert train.data.params["optim.lr"] == "0.02"
    assert (clone / "models/best.safetensors").read_bytes() == weights
    assert call("git", "status", "--short").stdout == ""
    failed = call("mlflow", "run", ".", "--env-manager", "local", "-e", "train", "-P", "lr=-1", check=False)
    assert failed.returncode != 0
    assert "run: optim.lr must be > 0.0, got -1 (--set)" in failed.stderr
    assert runs(clone)[-1].info.status == "FAILED"


def test_an_interrupted_mlflow_run_leaves_nothing_running(
    clone: Path, environment: dict[str, str], reproduced: str
) -> None:
    before = {run.info.run_id for run in runs(clone)}
    command = ["mlflow", "run", ".", "--env-manager", "local", "-P", "n_trials=5000"]
    with subprocess.Popen(
        command,
        cwd=clone,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # as in a terminal of its own
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("tune trial"):
                os.killpg(process.pid, signal.SIGINT)
                break
        process.stdout.read()  # until the last of its processes has ended
    assert process.returncode != 0
    # Not the last ones: the study goes on, and its trials of before are copied below the new run, too.
    stages = by_stage([run for run in runs(clone) if run.info.run_id not in before])
    (pipeline,), (tune,), trials = (stages[name] for name in ("pipeline", "tune", "trial"))
    assert tune.info.status == "KILLED"
    assert trials  # those that had ended; what was under way never comes to MLflow
    # MLflow marks the run that it made itself FAILED, after our process has marked it KILLED and ended.
    assert pipeline.info.status in ("KILLED", "FAILED")
    assert {run.info.status for run in trials} <= {"FINISHED", "KILLED"}
    assert not list(clone.glob(".wellfit/**/open.lock"))
