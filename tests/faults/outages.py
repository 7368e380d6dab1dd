"""MLflow is away or damaged while a model is trained: the model is kept, and MLflow gets its part later."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from wellfit.commands.program import run as program

from .harness import Round
from .kills import SIGNS
from .outcomes import EQUAL, NO_EFFECT, Broken
from .processes import Done, call, fork, no_run_is_open, none_left, one_line, wait
from .project import nothing_unfinished, outs, same


def play(now: Round) -> str:
    return now.random.choice([_damaged, _damaged_under_way, _no_artifacts, _server_killed])(now)


def _damaged(now: Round) -> str:
    """The store is no database."""
    now.did.append("mlflow.db is garbage")
    project = now.template.copy("end", now.folder)
    (project / "mlflow.db").write_bytes(now.random.randbytes(5000))
    stage = now.random.choice(["train", "evaluate", "tune"])
    before, done = outs(project, stage), call(project, stage)
    if done.status:
        same(outs(project, stage), before)
        return one_line(done, "mlflow.db")
    same(outs(project, stage), now.template.outs(stage))
    if "mlflow.db" not in done.err:
        raise Broken(f"nothing is said of mlflow.db: {done.err!r}")
    return EQUAL


def _damaged_under_way(now: Round) -> str:
    now.did.append("mlflow.db becomes garbage while epochs run")
    project = now.template.copy("train", now.folder)
    pid = fork(project, lambda: program(["train"]))
    done = _at_first_sign(pid, project)
    (project / "mlflow.db").write_bytes(now.random.randbytes(5000))
    done = done or wait(pid, project)
    assert done
    none_left(project)
    nothing_unfinished(project)
    if done.status == 1:
        return one_line(done, "mlflow.db")
    return _kept(now, project, done)


def _no_artifacts(now: Round) -> str:
    """No artifact can be written; then it can."""
    now.did.append("mlartifacts is a file")
    project = now.template.copy("train", now.folder)
    (project / "mlartifacts").write_text("in the way")
    done = call(project, "train")
    outcome = _kept(now, project, done)
    (project / "mlartifacts").unlink()
    call(project, "evaluate")
    no_run_is_open(project / "mlflow.db")
    return outcome


def _server_killed(now: Round) -> str:
    now.did.append("the tracking server is killed while epochs run")
    project, away = now.template.copy("train", now.folder), now.folder / "server"
    away.mkdir()
    shutil.move(project / "mlflow.db", away)
    with _server(away) as (server, port):
        pid = fork(project, lambda: _with_server(port, "train"))
        done = _at_first_sign(pid, project)
        os.killpg(server.pid, signal.SIGKILL)
        done = done or wait(pid, project)
        assert done
    none_left(project)
    outcome = _kept(now, project, done)
    with _server(away) as (_, other):
        done = wait(fork(project, lambda: _with_server(other, "train")), project)
        assert done
        if done.status:
            raise Broken(f"train with the server again: exit {done.status}: {done.err}")
    no_run_is_open(away / "mlflow.db")
    return outcome


def _at_first_sign(pid: int, project: Path) -> Done | None:
    return wait(pid, project, lambda: any(project.glob(SIGNS["train"])))


def _kept(now: Round, project: Path, done: Done) -> str:
    """Checks that the stage has done its work, with a warning of what MLflow lacks."""
    if done.status:
        raise Broken(f"exit {done.status}, though training needs no MLflow: {done.err[-2000:]!r}")
    same(outs(project, "train"), now.template.outs("train"))
    return _warned(done)


def _warned(done: Done) -> str:
    return EQUAL if "warning: " in done.err else NO_EFFECT


def _with_server(port: int, *argv: str) -> int:
    os.environ["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{port}"
    return program(argv)


@contextmanager
def _server(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A tracking server of a store in a folder, of its own group, on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "files")]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1", *options]
    log = (folder / "log").open("ab")
    server = subprocess.Popen(
        command,
        cwd=folder,
        stdout=log,
        stderr=log,
        start_new_session=True,
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
    )
    try:
        end = time.monotonic() + 60
        while True:
            try:
                urlopen(f"http://127.0.0.1:{port}/health", timeout=2).read()
                break
            except OSError:
                if time.monotonic() > end or server.poll() is not None:
                    raise RuntimeError((folder / "log").read_text()) from None
                time.sleep(0.1)
        yield server, port
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()
