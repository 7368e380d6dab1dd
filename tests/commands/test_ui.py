import os
import socket
from pathlib import Path

import pytest

from wellfit.commands import program

Started = list[tuple[list[str], dict[str, str]]]


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """The command and the environment of each program that takes the place of this one."""
    calls: Started = []
    monkeypatch.setattr(os, "execve", lambda path, command, variables: calls.append((command, variables)))
    return calls


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def test_the_pages_are_those_of_the_projects_store(project: Path, started: Started, free_port: int) -> None:
    assert program.run(["ui", "--port", str(free_port)]) == 0
    ((command, variables),) = started
    assert command[1:4] == ["-m", "mlflow", "ui"]
    assert option(command, "--host") == "127.0.0.1"
    assert option(command, "--port") == str(free_port)
    assert variables["MLFLOW_BACKEND_STORE_URI"] == f"sqlite:///{project}/mlflow.db"
    assert not any("mlflow.db" in part for part in command)  # which others could read, with a password in it
    assert variables["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert variables["PATH"] == os.environ["PATH"]


def test_a_store_that_is_not_there_is_made(project: Path, started: Started, free_port: int) -> None:
    (project / "mlflow.db").unlink()
    (project / "params.yaml").touch()
    assert program.run(["ui", "--port", str(free_port)]) == 0
    assert (project / "mlflow.db").exists()
    assert len(started) == 1


def test_outside_a_project_nothing_is_made(
    project: Path, started: Started, free_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "mlflow.db").unlink()
    assert program.run(["ui", "--port", str(free_port)]) == 1
    assert capsys.readouterr().err == (
        f"ui: neither params.yaml nor mlflow.db is in {project}: run this from the project's root\n"
    )
    assert (started, list(project.iterdir())) == ([], [])


def test_a_port_that_is_taken_is_named(project: Path, started: Started, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert program.run(["ui", "--port", str(port)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"ui: port {port} of 127.0.0.1 cannot be had: ")
    assert error.endswith("; --port names another\n")
    assert started == []


@pytest.mark.parametrize("port", ["-1", "0", "65536", "http"])
def test_what_is_no_port_is_one_line(port: str, started: Started, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        program.run(["ui", f"--port={port}"])
    said = f"ui: argument --port: must be a whole number from 1 to 65535, got {port}; --help lists the options\n"
    assert (capsys.readouterr().err, started) == (said, [])


def test_a_server_has_its_own_pages(
    project: Path, started: Started, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:hush@127.0.0.1:1")
    assert program.run(["ui"]) == 0
    assert capsys.readouterr().out == "the runs are on a server (MLFLOW_TRACKING_URI): http://ann:***@127.0.0.1:1\n"
    assert started == []
