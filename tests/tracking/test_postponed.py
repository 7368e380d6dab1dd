"""Publications that MLflow missed reach it with the next command, whichever that is."""

import json
import os
import sys
from pathlib import Path

import pytest

from wellfit import tracking
from wellfit.data.meta import Meta
from wellfit.tracking import postponed
from wellfit.tracking.postponed import forget, postpone, send_postponed

MODULE = "told"  # by the file of this name, which keeps what a publisher is told
TELLS = """
import os, sys
from pathlib import Path
Path("told.jsonl").write_bytes(sys.stdin.buffer.read())
Path("variables").write_text(os.environ.get("WELLFIT_PARENT_RUN_ID", ""))
if not Path("lacks").exists():
    for path in Path(".wellfit/publications").glob("*.json"):
        path.unlink()
"""
MESSAGES = [{"open": {"name": "tune moons", "folder": "a", "started": 1.0}}, {"add": "b"}, {"stop": ""}]


@pytest.fixture(autouse=True)
def module(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "told.py").write_text(TELLS)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(project), *sys.path]))


def told() -> list[object]:
    return [json.loads(line) for line in Path("told.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("opens", ["a new run", "an earlier run"])
def test_the_next_command_sends_what_was_postponed(
    meta: Meta, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], opens: str
) -> None:
    def next_command() -> None:
        if opens == "a new run":
            with tracking.start_run("train", "train moons", meta):
                pass
        else:
            tracking.reopen_run("none")

    monkeypatch.setenv("WELLFIT_PARENT_RUN_ID", "of then")
    postpone(MODULE, MESSAGES)
    monkeypatch.delenv("WELLFIT_PARENT_RUN_ID")
    next_command()
    assert told() == MESSAGES
    assert Path("variables").read_text() == "of then"
    assert capsys.readouterr().out == "tune moons: MLflow has been sent what it lacked\n"
    Path("told.jsonl").unlink()
    next_command()
    assert not Path("told.jsonl").exists()


def test_what_the_same_publisher_has_sent_since_is_forgotten() -> None:
    postpone(MODULE, MESSAGES)
    later = {"open": {**MESSAGES[0]["open"], "started": 2.0, "again": "run"}}  # type: ignore[dict-item]
    forget(MODULE, {"open": {"name": "tune moons", "folder": "another"}})
    assert list(Path(".wellfit/publications").glob("*.json"))
    forget(MODULE, later)
    send_postponed()
    assert not Path("told.jsonl").exists()


def test_another_store_gets_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    postpone(MODULE, MESSAGES)
    monkeypatch.setattr(postponed, "shown_store_uri", lambda: "http://another")
    send_postponed()
    assert not Path("told.jsonl").exists()
    monkeypatch.undo()


def test_one_process_sends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that publishes opens the store as well, and must not begin another one."""
    postpone(MODULE, MESSAGES)
    with postponed.FileLock(Path(".wellfit/publications/sending.lock")):
        command = [sys.executable, "-c", "from wellfit.tracking.postponed import send_postponed; send_postponed()"]
        postponed.subprocess.run(command, check=True)
    assert not Path("told.jsonl").exists()


def test_what_a_store_that_is_there_does_not_take_is_set_aside(capsys: pytest.CaptureFixture[str]) -> None:
    Path("lacks").touch()
    postpone(MODULE, MESSAGES)
    send_postponed()
    (aside,) = Path(".wellfit/publications").glob("*.refused")
    assert f"set aside as {aside.absolute()}" in capsys.readouterr().err
    Path("told.jsonl").unlink()
    send_postponed()
    assert not Path("told.jsonl").exists()


def test_a_damaged_file_is_set_aside_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    postpone(MODULE, MESSAGES)
    (path,) = Path(".wellfit/publications").glob("*.json")
    path.write_text(path.read_text().replace("tune moons", "tune suns"))
    send_postponed()
    assert "is not as it was written; it is set aside as" in capsys.readouterr().err
    assert not Path("told.jsonl").exists()


def test_what_a_publisher_of_its_own_sends_meanwhile_is_no_error() -> None:
    """It forgets what was postponed of the same, which is then gone when its turn comes."""
    for name in "ab":
        postpone(MODULE, [{"open": {"name": name}}])
    send_postponed()  # the first process removes both
    assert len(told()) == 1
