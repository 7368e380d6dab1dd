"""Users that a container may have: without a name, without a home, without the right to write, not the owner."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The right to read all is that of who could install Python where this user may read it.
FOREIGN = ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "MPLCONFIGDIR")
READS_ALL = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
STRANGER = ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", *READS_ALL]
ASKED = """
import getpass, os, pathlib, sys
from wellfit.commands.process import guarded
def work():
    import matplotlib
    print(getpass.getuser(), pathlib.Path.home(), matplotlib.get_cachedir())
sys.exit(guarded("train", work, debug=False))
"""


def as_stranger(folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a command as a user without a name; skips the test where that cannot be done."""
    known = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    environment = known | {"PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"} | variables
    if shutil.which("setpriv") is None or os.geteuid() != 0:
        pytest.skip("only root can be another user")
    if subprocess.run([*STRANGER, sys.executable, "-c", ""], capture_output=True).returncode != 0:
        pytest.skip("another user cannot run this Python")
    return subprocess.run(
        [*STRANGER, *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=100
    )


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of the stranger's own, below folders that all may enter."""
    of_pytest = next((folder for folder in tmp_path.parents if folder.name.startswith("pytest-of-")), tmp_path)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.is_relative_to(of_pytest):
            folder.chmod(0o711)  # access(2) does not look at the right to read all
    (folder := tmp_path / "own").mkdir()
    os.chown(folder, 54321, 54321)
    return folder


@pytest.mark.parametrize("variables", [{}, {"HOME": "/no such folder"}, {"HOME": "/no such folder", "USER": "ann"}])
def test_a_user_has_a_name_and_a_home(own: Path, variables: dict[str, str]) -> None:
    done = as_stranger(own, sys.executable, "-c", ASKED, **variables)
    name, home = variables.get("USER", "54321"), variables.get("HOME", f"{own}/.wellfit/home")
    assert (done.stdout, done.stderr) == (f"{name} {home} {own}/.wellfit/home/matplotlib\n", "")


def test_a_folder_of_another_user_is_one_line(own: Path) -> None:
    shutil.copy(ROOT / "params.yaml", own.parent)
    done = as_stranger(own.parent, sys.executable, "-m", "wellfit", "fetch")
    assert done.returncode == 1
    fault = f"{own.parent} cannot be written to (Permission denied): make it your own, or copy it"
    assert done.stderr == f"fetch: {fault}\n"


@pytest.mark.slow
def test_a_stranger_runs_the_pipeline(own: Path) -> None:
    for name in ("dvc.yaml", "params.yaml", "pipelines", "src", ".dvc/config"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (own / name).parent.mkdir(exist_ok=True)
        copy(ROOT / name, own / name)
    (own / "data/own").mkdir(parents=True)
    subprocess.run(["git", "init", "--quiet"], cwd=own, check=True)
    (own / "Makefile").write_text((ROOT / "Makefile").read_text().replace("repro: setup", "repro:"))
    (own / ".venv").symlink_to(sys.prefix)
    for path in (own, *own.rglob("*")):
        os.chown(path, 54321, 54321, follow_symlinks=False)
    done = as_stranger(own, "make", "repro", "ARGS=preprocess")
    assert done.returncode == 0, done.stderr
    assert (own / "data/processed/digits/meta.json").exists()
