"""Commit, changed files and versions, against a real repository."""

import platform
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from wellfit import __version__, provenance


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    provenance.git_commit.cache_clear()
    yield tmp_path
    provenance.git_commit.cache_clear()


@pytest.fixture
def repository(folder: Path) -> Path:
    """With one commit of a few files."""
    for name in ("params.yaml", "dvc.lock", "reports/train/metrics.json", "src/code.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("a")
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "--quiet"], ["add", "."], [*identity, "commit", "--quiet", "-m", "first"]):
        subprocess.run(["git", *command], check=True)
    return folder


def test_outside_of_a_repository_there_is_no_commit(folder: Path) -> None:
    assert provenance.git_commit() == ""
    assert provenance.changed_files() == []


def test_without_git_there_is_no_commit(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert provenance.git_commit() == ""
    assert provenance.changed_files() == []


def test_why_there_is_no_commit(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own
    assert provenance.git_commit() == ""
    assert provenance.why_no_commit() == "git refuses a folder that another user owns"
    monkeypatch.setenv("PATH", "")
    assert provenance.why_no_commit() == "not in a git repository"


def test_the_commit_is_the_head(repository: Path) -> None:
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert provenance.git_commit() == head
    assert len(head) == 40


def test_what_a_run_writes_is_no_change(repository: Path) -> None:
    (repository / "dvc.lock").write_text("b")
    (repository / "reports/train/metrics.json").write_text("b")
    (repository / "reports/evaluate.json").write_text("new")
    assert provenance.changed_files() == []


def test_changed_new_and_deleted_files_are_changes(repository: Path) -> None:
    (repository / "params.yaml").write_text("b")
    (repository / "ä b.py").write_text("new")
    (repository / "src/code.py").unlink()
    assert provenance.changed_files() == ["params.yaml", "src/code.py", "ä b.py"]


def test_a_project_may_be_a_folder_of_a_repository(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository / "src")
    (repository / "params.yaml").write_text("b")
    Path("dvc.lock").write_text("b")
    assert provenance.changed_files() == []
    Path("code.py").write_text("b")
    assert provenance.changed_files() == ["code.py"]


def test_versions_are_those_installed() -> None:
    found = provenance.versions()
    assert found["wellfit"] == __version__
    assert found["python"] == platform.python_version()
    assert found["torch"] == version("torch")


def test_a_package_that_is_not_there_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "PACKAGES", ("numpy", "no-such-package"))
    assert list(provenance.versions()) == ["wellfit", "python", "system", "numpy"]


def test_the_experiment_is_that_of_dvc(monkeypatch: pytest.MonkeyPatch) -> None:
    assert provenance.experiment() == ""
    monkeypatch.setenv("DVC_EXP_NAME", "brave-name")
    assert provenance.experiment() == "brave-name"
