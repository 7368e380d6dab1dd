"""The whole pipeline as one MLflow run: what ``mlflow run .`` calls."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from io import StringIO
from typing import Any

from ruamel.yaml import YAML

from wellfit import tracking
from wellfit.errors import WellfitError
from wellfit.interruptions import check
from wellfit.settings.params import Params, load_params

POLL_SECONDS = 0.1


def run_pipeline(params: Params) -> None:
    """Runs all stages below one parent run.

    Without overrides this is ``dvc repro``. With them it is ``dvc exp run --temp``: the values hold for this run alone,
    params.yaml and the workspace stay as they are, and the outcome is an experiment that ``dvc exp show`` lists.

    Args:
        params: the configuration, overrides included.

    Raises:
        WellfitError: a stage failed.
    """
    changes = _changes(load_params(), params)
    with tracking.start_parent_run(f"pipeline {params.data.title} {params.model.name}", params.data.title) as run:
        run.tag("mlflow.note.content", f"The whole pipeline on `{params.data.name}`: its stages are nested below.")
        revision = None
        command = [sys.executable, "-m", "dvc", "repro"]
        if changes:
            revision = f"mlflow-{run.id[:8]}"
            command = [sys.executable, "-m", "dvc", "exp", "run", "--temp", "--name", revision]
            command += [part for change in changes for part in ("--set-param", change)]
            run.tag("dvc.exp_name", revision)
        _call(command, {tracking.PARENT_RUN_VARIABLE: run.id})
        metrics = _read("reports/evaluate/metrics.json", revision)
        run.log_metrics({f"test/{name}": value for name, value in metrics.items()})
        if not tracking.has_children(run.id):
            trained_by = _read("models/run.json", revision)["run_id"]
            print(f"nothing had to run: all stages are cached, and run {trained_by} trained the model")
            run.tag("wellfit.cached", "true")
            run.tag("wellfit.trained_by", trained_by)


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
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        status = _wait(process)
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGINT)
        _wait(process)
        raise
    if status != 0:
        raise WellfitError(f"`{' '.join(command[1:])}` ended with exit status {status}; its own words stand above")


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
