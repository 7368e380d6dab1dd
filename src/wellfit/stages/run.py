"""The whole pipeline as one MLflow run, or a stage of it: what ``mlflow run`` calls."""

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from wellfit import tracking
from wellfit.errors import WellfitError, without_secrets
from wellfit.interruptions import check, end_with_parent
from wellfit.settings.params import PARAMS_FILE, Params, load_params
from wellfit.settings.parse import read_yaml

WHOLE = "pipeline"
POLL_SECONDS = 0.1
NO_PROGRAM = 127  # the exit status of a shell that does not find a command


class Project(NamedTuple):
    """What ``mlflow run`` is to do.

    Attributes:
        stage: of ``dvc.yaml``, which is run with all that it needs; `WHOLE`: all of them.
        params: the configuration, overrides included.
    """

    stage: str
    params: Params


def load_project(stage: str, overrides: Sequence[str]) -> Project:
    """A stage by its name, with the settings of ``params.yaml`` and ``KEY=VALUE`` texts over them.

    Raises:
        WellfitError: there is no such stage, or a mistake in the settings.
    """
    if stage not in (known := stage_titles()):
        raise WellfitError(f"--name must be one of {', '.join(known)}, got {stage}")
    return Project(stage, load_params(PARAMS_FILE, overrides))


def stage_titles() -> dict[str, str]:
    """What can be run, with what it makes."""
    stages = read_yaml(Path("dvc.yaml"))["stages"]
    return {WHOLE: "the whole pipeline"} | {name: stage["desc"] for name, stage in stages.items()}


def run_pipeline(project: Project) -> None:
    """Runs all stages below one parent run, or a single one, with those it needs, as the run that MLflow made for it.

    Without overrides this is ``dvc repro``. With them it is ``dvc exp run --temp``: the values hold for this run alone,
    params.yaml and the workspace stay as they are, and the outcome is an experiment that ``dvc exp show`` lists.

    Args:
        project: what to do.

    Raises:
        WellfitError: a stage failed.
    """
    params = project.params
    if project.stage != WHOLE:
        _run_stage(project)
        return
    with tracking.start_parent_run(f"pipeline {params.data.title} {params.model.name}", params.data.title) as run:
        run.tag("mlflow.note.content", f"The whole pipeline on `{params.data.name}`: its stages are nested below.")
        command, revision = _command(project, run.id)
        if revision:
            run.tag("dvc.exp_name", revision)
        _call(command, {tracking.PARENT_RUN_VARIABLE: run.id})
        metrics = _read("reports/evaluate/metrics.json", revision)
        run.log_metrics({f"test/{name}": value for name, value in metrics.items()})
        if _is_empty(run):
            trained_by = _read("models/run.json", revision)["run_id"]
            print(f"nothing had to run: all stages are cached, and run {trained_by} trained the model")
            run.tag("wellfit.cached", "true")
            run.tag(tracking.TRAINED_BY, trained_by)
    _tell(revision)


def _is_empty(run: tracking.Run) -> bool:
    """Whether no stage has a run below it, so that all were cached; while MLflow is away, nobody knows."""
    try:
        return not tracking.has_children(run.id)
    except tracking.TrackingError as error:
        run.warn(error)
        return False


def _run_stage(project: Project) -> None:
    run_id = os.environ.get("MLFLOW_RUN_ID", "")
    command, revision = _command(project, run_id or secrets.token_hex(4))
    variables = {tracking.PARENT_RUN_VARIABLE: run_id, tracking.STAGE_VARIABLE: project.stage} if run_id else {}
    _call(command, variables)
    run = tracking.reopen_run(run_id) if run_id else None
    if run and not _is_written_to(run):
        run.tag("wellfit.stage", project.stage)
        run.tag("wellfit.dataset", project.params.data.title)
        note = f"`{project.stage}` had nothing to do, or records nothing in MLflow: DVC has its outcome."
        run.tag("mlflow.note.content", note)
    _tell(revision)


def _is_written_to(run: tracking.Run) -> bool:
    """Whether a process of the stage has written to its run; while MLflow is away, that is taken for true."""
    try:
        return "wellfit.stage" in run.tags
    except tracking.TrackingError as error:
        run.warn(error)
        return True


def _command(project: Project, run_id: str) -> tuple[list[str], str | None]:
    """What to call, and the name of the experiment that it makes, if it makes one."""
    changes = _changes(load_params(), project.params)
    stage = [] if project.stage == WHOLE else [project.stage]
    if not changes:
        return [sys.executable, "-m", "dvc", "repro", *stage], None
    _check_repository()
    _deepen()
    data = project.params.data
    if (data.entry.is_own or Path(data.path).exists()) and not _is_tracked(data.path):
        # An experiment runs in a folder of its own, which has the files that git or DVC know; DVC looks for data.path
        # whatever data.name is.
        path = str(Path(data.path).resolve())
        if data.entry.is_own:
            print(f"{data.path} is in neither git nor DVC: the experiment reads it where it lies, {path}", flush=True)
        changed = data.model_copy(update={"path": path})
        changes = _changes(load_params(), project.params.model_copy(update={"data": changed}))
    revision = f"mlflow-{run_id[:8]}"
    settings = [part for change in changes for part in ("--set-param", change)]
    return [sys.executable, "-m", "dvc", "exp", "run", "--temp", "--name", revision, *settings, *stage], revision


def _check_repository() -> None:
    """Sees whether there is a commit, which an experiment begins with.

    Raises:
        WellfitError: there is none.
    """
    head = _git("rev-parse", "--verify", "HEAD")
    if head.returncode not in (0, NO_PROGRAM):
        way_out = "git init && git add . && git commit -m start"
        if "dubious ownership" in head.stderr:
            way_out = f"git config --global --add safe.directory {Path.cwd()}"
        raise WellfitError(
            f"values other than those of {PARAMS_FILE} make an experiment of DVC, which needs a commit of git in "
            f"{Path.cwd()}: `{way_out}`, or change {PARAMS_FILE}"
        )


def _deepen() -> None:
    """Gets the commits that a shallow clone lacks: DVC loses experiments in one, and `mlflow run <git url>` makes one.

    Raises:
        WellfitError: they cannot be had.
    """
    if _git("rev-parse", "--is-shallow-repository").stdout.strip() != "true":
        return
    fetched = _git("fetch", "--quiet", "--unshallow")
    if fetched.returncode != 0:
        raise WellfitError(
            f"{Path.cwd()} is a shallow clone, in which DVC keeps no experiment, and `git fetch --unshallow` failed: "
            f"{' '.join(fetched.stderr.split())}"
        )


def _is_tracked(path: str) -> bool:
    """Whether git has some of a file or folder, or DVC has it (``dvc add``)."""
    return bool(_git("ls-files", "--", path).stdout) or Path(f"{path}.dvc").is_file()


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["git", *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:  # DVC has a git of its own
        return subprocess.CompletedProcess(command, NO_PROGRAM, "", "git is not installed")


def _tell(revision: str | None) -> None:
    if revision:
        print(f"the outcome is the experiment {revision}: `dvc exp apply {revision}` in {Path.cwd()} takes it over")
    print(f"the runs are in {tracking.shown_store_uri()}")


def _changes(old: Params, new: Params) -> list[str]:
    """What differs, as ``dvc exp run --set-param`` takes it."""
    missing = object()
    before = old.flat()
    known = before.keys() | {f"tune.space.{key}" for key in old.tune.searched}
    changed = {key: value for key, value in new.flat().items() if before.get(key, missing) != value}
    changed |= {f"tune.space.{key}": None for key in old.tune.searched if key not in new.tune.searched}
    # ++: hydra adds no key unless it is told to, and `tune.space` may get new ones.
    return [f"{'' if key in known else '++'}{key}={_hydra(value)}" for key, value in changed.items()]


def _hydra(value: Any) -> str:
    """A value in hydra's grammar: that of YAML in one line, but for its quotes."""
    match value:
        case str():
            # Backslashes count only before a quote, where each is written twice.
            return "'" + re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + (m[2] and "\\'"), value) + "'"
        case list():
            return f"[{', '.join(map(_hydra, value))}]"
        case dict():
            return f"{{{', '.join(f'{key}: {_hydra(each)}' for key, each in value.items())}}}"
    return json.dumps(value)


def _call(command: Sequence[str], variables: dict[str, str]) -> None:
    """Runs a command, and passes an interruption on to all of its processes."""
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_RUN_ID"} | variables
    process = subprocess.Popen(command, env=environment, start_new_session=True, preexec_fn=end_with_parent)
    try:
        status = _wait(process)
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGINT)
        _wait(process)
        raise
    if status != 0:
        called = without_secrets(" ".join(command[1:]))
        raise WellfitError(f"`{called}` ended with exit status {status}; its own words stand above")


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Waits for the exit status of a process; an interruption is raised meanwhile, though a run is open."""
    while (status := process.poll()) is None:
        check()
        time.sleep(POLL_SECONDS)
    return status


def _read(path: str, revision: str | None) -> Any:
    """A JSON or YAML file of the workspace, or of an experiment."""
    import dvc.api

    return YAML(typ="safe", pure=True).load(StringIO(dvc.api.read(path, rev=revision)))
