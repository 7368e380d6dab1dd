"""MLflow that is away, as tests play it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from wellfit.tracking import run, store
from wellfit.tracking.store import open_client


@contextmanager
def cannot_be_reached() -> Iterator[None]:
    """MLflow is away for all that is opened; the store stays the same one."""

    def refuse() -> None:
        raise requests.ConnectionError("connection refused")

    open_client.cache_clear()
    with pytest.MonkeyPatch.context() as outage:
        for module in (run, store):
            outage.setattr(module, "check_answers", refuse)
        yield
    open_client.cache_clear()


def next_command() -> None:
    """What any later command does first."""
    open_client.cache_clear()
    open_client()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


@contextmanager
def server(port: int, folder: Path) -> Iterator[int]:
    """A real MLflow server, killed at the end; gives its process id, which is that of its group."""
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", f"{folder}/files"]
    kept = {name: text for name, text in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    variables = kept | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with subprocess.Popen(command, env=variables, start_new_session=True, cwd=folder) as process:
        try:
            deadline = time.monotonic() + 120
            while not _answers(port):
                assert time.monotonic() < deadline
                time.sleep(0.2)
            yield process.pid
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    while _answers(port):  # its workers die after it, and what comes next would take them for the next server
        time.sleep(0.05)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
