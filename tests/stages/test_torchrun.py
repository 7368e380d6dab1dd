"""torchrun with the command itself: one run, one checkpoint, and what comes of it when a process dies."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from wellfit.settings.params import load_params
from wellfit.stages.train import train
from wellfit.training.checkpoint import load_checkpoint
from wellfit.training.resume import _restored

from ..conftest import PARAMS_FILE, PLAIN, ROOT

pytestmark = pytest.mark.slow
BASE = [
    *("data.name=moons", "tune.enabled=false", "train.epochs=6", "train.batch_size=16", "train.threads=1"),
    *("train.device=cpu", "model.hidden=[8]", "model.norm=batch", "model.dropout=0"),
]
# A snapshot after each epoch, and processes that kill themselves once, as KILLS says of ranks and epochs.
SCRIPT = """
import json, os, signal, sys
from functools import partial
from pathlib import Path
from wellfit.commands.cli import run_command
from wellfit.commands.process import leave
from wellfit.stages import train as stage
from wellfit.training.learner import Learner
from wellfit.training.resume import Snapshots

stage.Snapshots = partial(Snapshots, seconds=0.0, share=1e9)
finish_epoch = Learner.finish_epoch

def killed(self, numbers):
    rank, epoch = os.environ["RANK"], str(numbers[0])
    if json.loads(os.environ.get("KILLS", "{}")).get(rank) == epoch and not Path(f"killed-{rank}").exists():
        Path(f"killed-{rank}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return finish_epoch(self, numbers)

Learner.finish_epoch = killed
leave(lambda: run_command("train", sys.argv[1:], "python pipelines/train.py"))
"""


def torchrun(*arguments: str, kills: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Starts two processes, as a shell in front of which a user sits would."""
    command = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *arguments)
    environment = os.environ | {"KILLS": json.dumps(kills or {})}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )


def is_alive(group: int) -> bool:
    """Whether any of torchrun's processes is."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def settings(*changes: str) -> list[str]:
    return [f"--set={change}" for change in (*PLAIN, *BASE, *changes)]


def runs(project: Path) -> list[Run]:
    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    experiment = client.get_experiment_by_name("wellfit")
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


@pytest.fixture
def script(project: Path, prepared: Path) -> str:
    shutil.copytree(prepared / "moons", project / "data/processed/moons")
    shutil.copy(PARAMS_FILE, project)
    (project / "script.py").write_text(SCRIPT)
    return str(project / "script.py")


def history(report: Path) -> list[dict[str, float]]:
    with (report / "history.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def test_two_processes_that_die_come_to_what_one_does(script: str, project: Path) -> None:
    process = torchrun("--max-restarts=2", script, *settings(), kills={"1": "3", "0": "5"})
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "trains in 2 processes, which share the 32 rows of a batch" in out
    assert out.count("goes on after epoch") == 2
    assert "goes on after epoch 2 of 6" in out
    assert "goes on after epoch 4 of 6" in out
    assert "train: another process of this training has ended" in err
    assert "train (rank 1): another process of this training has ended" in err
    (run,) = runs(project)
    assert run.info.status == "FINISHED"
    assert run.data.tags["wellfit.processes"] == "2"
    assert not list((project / ".wellfit/resume").iterdir())

    params = load_params(PARAMS_FILE, [*PLAIN, *BASE, "train.batch_size=32"])
    alone = project / "alone"
    train(params, project / "data/processed/moons", project / "tune", alone / "models", alone / "report")
    for found, expected in zip(history(project / "reports/train"), history(alone / "report"), strict=True):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)
    found, expected = (load_checkpoint(folder / "models/best.safetensors") for folder in (project, alone))
    assert found.info["config"] == expected.info["config"]
    for name, weights in expected.weights.items():
        assert found.weights[name].numpy() == pytest.approx(weights.numpy(), rel=1e-3, abs=1e-5), name


@pytest.mark.parametrize("how", ["Ctrl-C", "torchrun is killed"])
def test_a_stop_ends_all_and_loses_no_epoch(how: str, script: str, project: Path) -> None:
    long = settings("train.epochs=100000", "train.patience=null", "optim.lr=0.0001")
    process = torchrun(str(ROOT / "pipelines/train.py"), *long)
    while not (told := list(project.glob(".wellfit/runs/*/history.jsonl"))):
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    if how == "Ctrl-C":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.kill()
    process.wait(25)  # torchrun kills after 30 seconds
    assert process.returncode != 0
    until = time.monotonic() + 25
    while is_alive(process.pid):
        assert time.monotonic() < until
        time.sleep(0.1)
    process.communicate()
    (run,) = runs(project)
    assert run.info.status == "KILLED"
    (snapshot,) = project.glob(".wellfit/resume/*/snapshot.safetensors")
    epochs = len(told[0].read_text().splitlines())
    assert len(_restored(*load_checkpoint(snapshot))["history"]) >= epochs > 0


def test_what_is_no_training_is_refused(script: str, project: Path) -> None:
    process = torchrun(str(ROOT / "pipelines/tune.py"))
    out, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "torchrun is for train: start tune without it" in err
    assert out == ""
