"""setup.sh and the Makefile, with a Python, a pip and a uv that only write down how they were called."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

PYTHON = """#!/bin/sh
case "$*" in
-V) echo Python {version} ;;
*'import pip'* | *'import wellfit'*) ;;
-c*) exec {real} -c 'import sys; sys.version_info = tuple(map(int, "{version}".split("."))); exec(sys.argv[1])' "$2" ;;
'-m venv'*) echo "python $*" >>calls; mkdir -p .venv/bin; cp "$0" .venv/bin/python; cp uv dvc .venv/bin ;;
*) echo "python $*" >>calls ;;
esac
"""
UV = """#!/bin/sh
echo "uv $*" >>calls
echo " + torch==2.15.0"
echo "error: words of uv" >&2
exit ${UV_STATUS:-0}
"""
DVC = """#!/bin/sh
echo "dvc $* in $VIRTUAL_ENV, python is $(command -v python)"
"""
NEW = ["python -m venv --clear .venv", "python -m pip install", "uv pip sync", "uv pip install"]
AGAIN = NEW[1:]


class Folder:
    """A copy of the project's set-up, on a machine with the given Pythons."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        for name in ("Makefile", "setup.sh"):
            shutil.copy(ROOT / name, path)
        (path / "pyproject.toml").write_text("[project]\n")
        (path / "requirements.lock").write_text(
            "uv==0.1 \\\n    --hash=sha256:00\n    # via x\nzipp==1 \\\n    --hash=sha256:11\n"
        )
        self.script("uv", UV)
        self.script("dvc", DVC)
        for version in ("3.9.18", "3.11.7", "3.12.1"):
            self.script(f"python{version}", PYTHON.format(version=version, real=sys.executable))

    def script(self, name: str, text: str) -> None:
        (self.path / name).write_text(text)
        (self.path / name).chmod(0o755)

    def environment(self, **variables: str) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHON", "MAKEFLAGS", "MAKELEVEL")}
        return {**inherited, "PATH": f"{self.path}:{os.environ['PATH']}", **variables}

    def run(
        self, command: str = "sh setup.sh", python: str = "3.11.7", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command where `python3` is the given version."""
        shutil.copy(self.path / f"python{python}", self.path / "python3")
        environment = self.environment(**variables)
        return subprocess.run(
            command.split(), cwd=self.path, env=environment, capture_output=True, text=True, timeout=60
        )

    def calls(self) -> list[str]:
        """What was called since the last time this was asked, without most of the arguments."""
        log = self.path / "calls"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [next((known for known in NEW if line.startswith(known)), line) for line in lines]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "a clone")


@pytest.fixture
def ready(folder: Folder) -> Folder:
    assert folder.run().returncode == 0
    assert folder.calls() == NEW
    return folder


def test_the_first_set_up_says_what_it_does(folder: Folder) -> None:
    done = folder.run()
    assert done.returncode == 0
    assert [line for line in done.stdout.splitlines() if line.startswith("set-up: ")] == [
        "set-up: making .venv with Python 3.11.7: about a minute, and 3 GB of downloads the first time",
        "set-up: installing uv",
        "set-up: installing the packages of requirements.lock",
        "set-up: complete",
    ]
    assert "torch" not in done.stdout
    assert "words of uv" in done.stdout


def test_uv_is_the_version_of_the_lock_with_its_hash(ready: Folder) -> None:
    assert (ready.path / ".venv/uv.txt").read_text() == "uv==0.1 \\\n    --hash=sha256:00\n    # via x\n"


def test_a_second_set_up_does_nothing(ready: Folder) -> None:
    for name in ("requirements.lock", "pyproject.toml", "setup.sh"):
        os.utime(ready.path / name)
    done = ready.run()
    assert (done.returncode, done.stdout, done.stderr, ready.calls()) == (0, "", "", [])


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml", "setup.sh"])
def test_a_changed_file_brings_the_packages_in_line(name: str, ready: Folder) -> None:
    with (ready.path / name).open("a") as file:
        file.write("\n# changed\n")
    assert ready.run().returncode == 0
    assert ready.calls() == AGAIN
    assert ready.run().stdout == ""


def test_what_failed_is_made_anew(folder: Folder) -> None:
    done = folder.run(UV_STATUS="1")
    assert done.returncode == 1
    assert done.stderr.startswith("set-up: uv could not install the packages")
    assert folder.calls() == NEW[:3]
    assert folder.run().returncode == 0
    assert folder.calls() == NEW


def test_a_failed_update_is_made_anew(ready: Folder) -> None:
    (ready.path / "requirements.lock").write_text("uv==0.2\n    # via x\n")
    assert ready.run(UV_STATUS="1").returncode == 1
    assert ready.calls() == AGAIN[:2]
    assert ready.run().returncode == 0
    assert ready.calls() == NEW


def test_a_venv_whose_python_is_gone_is_made_anew(ready: Folder) -> None:
    (ready.path / ".venv/bin/python").unlink()
    assert ready.run().returncode == 0
    assert ready.calls() == NEW


def test_a_venv_that_is_a_link_is_left_alone(ready: Folder) -> None:
    moved = (ready.path / ".venv").rename(ready.path / "other")
    (moved / ".complete").unlink()
    (ready.path / ".venv").symlink_to(moved)
    done = ready.run()
    assert done.returncode == 1
    assert ".venv is a link, and set-up would empty what it leads to: remove it" in done.stderr
    assert ready.calls() == []


def test_a_venv_that_was_moved_is_made_anew(ready: Folder) -> None:
    ready.path = ready.path.rename(ready.path.with_name("elsewhere"))
    assert ready.run().returncode == 0
    assert ready.calls() == NEW


@pytest.mark.parametrize(
    ("python", "rule"),
    [
        ("python3", "wellfit needs Python >=3.11,<3.15, but python3 is Python 3.9.18; name another: PYTHON=python3.12"),
        ("python9", "python9 not found; install Python 3.11 or newer, or name one: PYTHON=python3.12"),
    ],
)
def test_an_unusable_python_is_one_line_and_changes_nothing(python: str, rule: str, ready: Folder) -> None:
    done = ready.run(python="3.9.18", PYTHON=python)
    assert (done.returncode, done.stdout, done.stderr, ready.calls()) == (1, "", f"set-up: {rule}\n", [])
    assert ready.run().stdout == ""


@pytest.mark.skipif(sys.platform != "linux", reason="file systems of other systems have no such names")
def test_a_folder_that_is_not_utf_8_is_one_line(tmp_path: Path) -> None:
    folder = Folder(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")))
    done = folder.run()
    assert (done.returncode, folder.calls()) == (1, [])
    assert done.stderr.startswith("set-up: the name of this folder, or of one above it, is not UTF-8")


def test_a_named_python_replaces_another_version_and_stays(ready: Folder) -> None:
    assert ready.run("make setup PYTHON=python3.12.1").returncode == 0
    assert ready.calls() == NEW
    assert ready.run("make setup PYTHON=python3.12.1").stdout == ""
    assert ready.run("make setup", python="3.9.18").stdout == ""


def test_two_at_once_wait_for_each_other(folder: Folder) -> None:
    shutil.copy(folder.path / "python3.11.7", folder.path / "python3")
    (folder.path / ".venv.lock").write_text(f"{os.getpid()}\n")
    second = subprocess.Popen(
        ["sh", "setup.sh"], cwd=folder.path, env=folder.environment(), stdout=subprocess.PIPE, text=True
    )
    assert second.stdout
    with second.stdout as lines:
        assert lines.readline() == "set-up: waiting for the one that is running here\n"
        time.sleep(0.1)
        assert folder.calls() == []
        (folder.path / ".venv.lock").unlink()
        assert lines.readlines()[-1] == "set-up: complete\n"
    assert second.wait(timeout=60) == 0
    assert not (folder.path / ".venv.lock").exists()


def test_the_lock_of_a_dead_process_is_no_obstacle(folder: Folder) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    (folder.path / ".venv.lock").write_text(f"{dead.pid}\n")
    assert folder.run().returncode == 0
    assert folder.calls() == NEW


@pytest.mark.slow
def test_dvc_works_without_git_and_with_it(ready: Folder) -> None:
    """With the real DVC, in an unpacked archive, in a folder of a repository, and back."""
    ready.script(".venv/bin/dvc", f'#!/bin/sh\nexec "{sys.executable}" -m dvc "$@"\n')
    (ready.path / ".dvc").mkdir()
    (ready.path / "dvc.yaml").write_text("stages: {}\n")
    local = ready.path / ".dvc/config.local"
    status = [sys.executable, "-m", "dvc", "status"]
    assert ready.run().stdout == ""
    assert "no_scm = true" in local.read_text()
    assert subprocess.run(status, cwd=ready.path, capture_output=True).returncode == 0
    subprocess.run(["git", "init", "--quiet"], cwd=ready.path.parent, check=True)
    assert ready.run().returncode == 0
    assert "no_scm" not in local.read_text()
    assert subprocess.run(status, cwd=ready.path, capture_output=True).returncode == 0


def test_make_alone_lists_every_target(folder: Folder) -> None:
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets
    done = folder.run("make")
    assert re.findall(r"^ +make (\w+)\t.", done.stdout, re.MULTILINE) == targets[1].split()
    assert folder.calls() == []


def test_make_repro_sets_up_and_runs_dvc_inside_venv(folder: Folder) -> None:
    done = folder.run("make repro ARGS=--force", VIRTUAL_ENV="/another", PYTHONHOME="")
    assert done.returncode == 0, done.stderr
    venv = folder.path / ".venv"
    assert f"dvc repro --force in {venv}, python is {venv}/bin/python\n" in done.stdout
    assert done.stdout.endswith(
        "The run as one page: reports/report.html   Scores: reports/evaluate/metrics.json   All runs: make ui\n"
    )


def test_make_repro_says_that_scores_may_differ(ready: Folder) -> None:
    told = "Scores differ from the committed ones"
    assert told not in ready.run("make repro").stdout, "there is no git repository"
    scores = ready.path / "reports/evaluate/scores.json"
    scores.parent.mkdir(parents=True)
    scores.write_text("{}")
    for command in (["init", "--quiet"], ["add", "reports"]):
        subprocess.run(["git", *command], cwd=ready.path, check=True)
    assert told not in ready.run("make repro").stdout
    scores.write_text('{"accuracy": 1.0}')
    assert told in ready.run("make repro").stdout


def test_make_test_says_how_long_it_takes(ready: Folder) -> None:
    ready.script(".venv/bin/pytest", '#!/bin/sh\necho "pytest $*"\n')
    said, called = ready.run("make test").stdout.splitlines()
    assert re.fullmatch(r"All tests take about \w+ minutes on two cores; make quick takes two\.", said)
    assert called.startswith("pytest --numprocesses 2 ")
    (called,) = ready.run("make test ARGS=-x").stdout.splitlines()
    assert called.endswith(" -x")
    (called,) = ready.run("make quick").stdout.splitlines()
    chosen = [part.partition("::")[0] for part in called.split() if part.startswith("tests/")]
    assert all((ROOT / path).exists() for path in chosen), chosen


def test_make_repro_fails_with_the_pipeline(ready: Folder) -> None:
    ready.script(".venv/bin/dvc", "#!/bin/sh\nexit 3\n")
    done = ready.run("make repro")
    assert done.returncode != 0
    assert "Scores" not in done.stdout
