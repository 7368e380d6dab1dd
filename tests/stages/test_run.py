import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides

from wellfit import tracking
from wellfit.errors import WellfitError
from wellfit.interruptions import deferred
from wellfit.settings.params import load_params
from wellfit.stages import run as stage
from wellfit.stages.run import _call, _changes, load_project, run_pipeline, stage_titles

from ..tracking.outages import cannot_be_reached, next_command
from .conftest import PARAMS_FILE


@pytest.mark.parametrize(
    "overrides",
    [
        ["optim.lr=0.01", "optim.clip_norm=1.0", "train.patience=null"],
        ["model.hidden=[32, 16]", "data.drop=[a, 'b c']", "data.name=csv", "data.target=price"],
        ["data.name=csv", "data.target=price (USD)", "data.path=donn\u00e9es/a=b, c.csv", "data.separator=tab"],
        ["data.name=csv", "data.target='true'", "data.id='1'", "data.group='#x'"],
        ["data.name=csv", 'data.target="it\'s"', "data.path=a\\\\", "data.drop=['a, b']"],
        ["tune.space.optim.lr=null", "tune.space.model.hidden=[[64], [128, 64]]", "tune.space.model.dropout.high=0.4"],
        ["data.augment=[{rotate: 15}, {erase: {probability: 0.5, area: [0.1, 0.2]}}]"],
    ],
)
def test_dvc_reads_what_was_changed_as_it_was_meant(overrides: list[str], tmp_path: Path) -> None:
    """What `dvc exp run --set-param` does to params.yaml."""
    new = load_params(PARAMS_FILE, overrides)
    shutil.copy(PARAMS_FILE, tmp_path / "params.yaml")
    apply_overrides(tmp_path / "params.yaml", _changes(load_params(PARAMS_FILE), new))
    assert load_params(tmp_path / "params.yaml") == new


def test_an_interruption_in_an_open_run_reaches_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ctrl_c: Callable[[], None]
) -> None:
    code = """import pathlib, signal, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit(pathlib.Path(sys.argv[1]).write_text("interrupted")))
pathlib.Path(sys.argv[2]).touch()
time.sleep(60)"""
    ended, begun = tmp_path / "ended", tmp_path / "begun"
    sleep = time.sleep

    def interrupt_once_it_runs(seconds: float) -> None:
        sleep(seconds)
        if begun.exists():
            begun.unlink()
            ctrl_c()

    monkeypatch.setattr(time, "sleep", interrupt_once_it_runs)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), deferred():
        _call([sys.executable, "-c", code, str(ended), str(begun)], {})
    assert ended.read_text() == "interrupted"
    assert time.monotonic() - started < 30


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux tells of a parent's end")
def test_the_command_ends_with_us() -> None:
    inner = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    code = f"import sys; from wellfit.stages.run import _call; _call([sys.executable, '-c', {inner!r}], {{}})"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert int(process.stdout.readline())
    process.kill()
    process.communicate(timeout=10)  # until the command has closed what it shares


def test_a_command_that_fails_is_one_line() -> None:
    _call([sys.executable, "-c", "import os; os.environ['GIVEN']"], {"GIVEN": "1"})
    with pytest.raises(WellfitError, match=r"ended with exit status 3"):
        _call([sys.executable, "-c", "raise SystemExit(3)"], {})


def git(*arguments: str, folder: Path) -> None:
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments], cwd=folder, check=True)


@pytest.fixture
def clone(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working folder of a project with an MLflow store, cloned from a repository with two commits."""
    origin = tmp_path_factory.mktemp("origin")
    git("init", "--quiet", folder=origin)
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(PARAMS_FILE.with_name(name), origin)
        git("add", name, folder=origin)
        git("commit", "--quiet", "--message", name, folder=origin)
    git("init", "--quiet", folder=project)
    git("remote", "add", "origin", origin.as_uri(), folder=project)
    git("pull", "--quiet", "--depth", "1", "origin", "HEAD", folder=project)
    return project


class Calls(list[tuple[list[str], dict[str, str]]]):
    """What was called in place of DVC."""

    def dvc(self, command: Sequence[str], variables: dict[str, str]) -> None:
        self.append((list(command[2:]), variables))

    def set(self) -> list[str]:
        (command, _), flag = self[-1], "--set-param"
        return [value for before, value in pairwise(command) if before == flag]


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Calls:
    calls = Calls()
    monkeypatch.setattr(stage, "_call", calls.dvc)
    return calls


def mlflow_run(monkeypatch: pytest.MonkeyPatch) -> str:
    """What `mlflow run` does before it calls us."""
    from wellfit.tracking.store import open_client

    run_id = str(open_client().create_run("0").info.run_id)
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    return run_id


def test_a_single_stage_leaves_files_as_they_are_and_gets_the_run(
    clone: Path, called: Calls, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = mlflow_run(monkeypatch)
    run_pipeline(load_project("train", ["train.epochs=3"]))
    name = f"mlflow-{run_id[:8]}"
    variables = {tracking.PARENT_RUN_VARIABLE: run_id, tracking.STAGE_VARIABLE: "train"}
    command = ["dvc", "exp", "run", "--temp", "--name", name, "--set-param", "train.epochs=3", "train"]
    assert called == [(command, variables)]
    told = capsys.readouterr().out
    assert f"`dvc exp apply {name}` in {clone}" in told
    assert f"the runs are in sqlite:///{clone}/mlflow.db" in told
    run_pipeline(load_project("train", []))
    assert called[1] == (["dvc", "repro", "train"], variables)


@pytest.mark.parametrize(("asked", "stage_run", "is_adopted"), [("train", "train", True), ("train", "tune", False)])
def test_the_stage_that_was_asked_for_is_the_run_and_others_are_its_children(
    clone: Path,
    called: Calls,
    monkeypatch: pytest.MonkeyPatch,
    prepared: Path,
    asked: str,
    stage_run: str,
    is_adopted: bool,
) -> None:
    from wellfit.data.store import load_meta

    run_id = mlflow_run(monkeypatch)

    def dvc(command: Sequence[str], variables: dict[str, str]) -> None:
        with monkeypatch.context() as patch:
            patch.delenv("MLFLOW_RUN_ID")
            for name, value in (variables | {"DVC_STAGE": stage_run}).items():
                patch.setenv(name, value)
            with tracking.start_run(stage_run, "a run", load_meta(prepared / "moons")) as run:
                made.append(run.id)

    made: list[str] = []
    monkeypatch.setattr(stage, "_call", dvc)
    run_pipeline(load_project(asked, []))
    assert (made == [run_id]) == is_adopted
    run = tracking.reopen_run(run_id)
    assert run is not None
    assert run.tags["wellfit.stage"] == "train"
    assert ("records nothing" in run.tags.get("mlflow.note.content", "")) != is_adopted
    assert tracking.has_children(run_id) != is_adopted


def test_data_that_git_lacks_are_read_where_they_lie(clone: Path, called: Calls) -> None:
    own = clone / "data/own/own.csv"
    own.parent.mkdir(parents=True)
    own.write_text("a,b\n1,2\n")
    overrides = ["data.name=csv", "data.path=data/own/own.csv", "data.target=b"]
    run_pipeline(load_project("fetch", overrides))
    assert f"data.path='{own}'" in called.set()
    shipped = (clone / "params.yaml").read_text()
    (clone / "params.yaml").write_text(shipped.replace("path: data/own ", "path: data/own/own.csv "))
    run_pipeline(load_project("fetch", ["data.name=moons"]))
    assert f"data.path='{own}'" in called.set(), "DVC looks for the file whatever data are asked for"
    (clone / "params.yaml").write_text(shipped)
    git("add", "data/own/own.csv", folder=clone)
    run_pipeline(load_project("fetch", overrides))
    assert "data.path='data/own/own.csv'" in called.set()


def test_an_experiment_needs_a_commit(clone: Path, called: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
        with pytest.raises(
            WellfitError, match=r"`git config --global --add safe.directory /.*`, or change params.yaml$"
        ):
            run_pipeline(load_project("tune", ["data.seed=1"]))
    (clone / ".git").rename(clone / "no git")
    with pytest.raises(WellfitError, match=r"needs a commit of git in .*: `git init && .*`, or change params.yaml$"):
        run_pipeline(load_project("tune", ["data.seed=1"]))
    monkeypatch.setenv("PATH", "")  # DVC may find a commit where there is no such program
    run_pipeline(load_project("tune", ["data.seed=1"]))
    assert called


def test_experiments_outlive_a_shallow_clone(clone: Path, called: Calls) -> None:
    """DVC says nothing and loses them: `mlflow run <git url>` makes such a clone."""
    shallow = clone / ".git/shallow"
    assert shallow.is_file()
    run_pipeline(load_project("fetch", []))
    assert shallow.is_file(), "there is no experiment"
    git("remote", "set-url", "origin", str(clone / "nowhere"), folder=clone)
    with pytest.raises(WellfitError, match=r"shallow clone.*`git fetch --unshallow` failed: fatal: .*nowhere"):
        run_pipeline(load_project("fetch", ["data.seed=1"]))
    assert len(called) == 1


def test_a_shallow_clone_is_deepened(clone: Path, called: Calls) -> None:
    run_pipeline(load_project("fetch", ["data.seed=1"]))
    assert not (clone / ".git/shallow").exists()
    assert "--temp" in called[0][0]


def test_a_stage_that_is_not_there_is_one_line(clone: Path) -> None:
    with pytest.raises(WellfitError, match=r"--name must be one of pipeline, fetch, preprocess, .*, got trian"):
        load_project("trian", [])


def test_mlflow_knows_every_stage_of_dvc(monkeypatch: pytest.MonkeyPatch) -> None:
    from ruamel.yaml import YAML

    monkeypatch.chdir(PARAMS_FILE.parent)
    entries = YAML(typ="safe", pure=True).load(PARAMS_FILE.with_name("MLproject"))["entry_points"]
    for name in stage_titles():
        if name != stage.WHOLE:
            assert entries[name]["command"] == f"exec pipelines/python pipelines/run.py --name {name}"


@pytest.mark.parametrize("begins", [False, True])
def test_a_pipeline_ends_as_its_stages_do_while_mlflow_is_away(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], begins: bool
) -> None:
    """From the beginning, or from when its stages work."""
    from wellfit.tracking.creation import known_id
    from wellfit.tracking.store import open_client

    parents = []

    def dvc(command: Sequence[str], variables: dict[str, str]) -> None:
        parents.append(variables[tracking.PARENT_RUN_VARIABLE])
        outage.enter_context(cannot_be_reached())

    monkeypatch.setattr(stage, "_call", dvc)
    monkeypatch.setattr(stage, "_read", lambda path, revision: {"accuracy": 0.5})
    with ExitStack() as outage:
        if begins:
            outage.enter_context(cannot_be_reached())
        run_pipeline(load_project("pipeline", []))
    assert capsys.readouterr().err.count("warning: MLflow") == 1
    next_command()
    run = open_client().get_run(str(known_id(parents[0])))
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"test/accuracy": 0.5})


def test_a_stage_ends_as_it_does_while_mlflow_is_away(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mlflow_run(monkeypatch)
    with ExitStack() as outage:
        monkeypatch.setattr(stage, "_call", lambda *_: outage.enter_context(cannot_be_reached()))
        run_pipeline(load_project("fetch", []))
    assert capsys.readouterr().err.count("warning: MLflow") == 1
