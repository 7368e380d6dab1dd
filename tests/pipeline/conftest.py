"""A clone of the project as it stands, with a small configuration, in which the real pipeline runs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = {
    "name: digits ": "name: moons ",
    "n_samples: 2000": "n_samples: 400",
    "epochs: 40": "epochs: 6",
    "n_trials: 64": "n_trials: 2",
    "resamples: 1000": "resamples: 100",
}

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the working tree, committed to a repository of their own, one for each file of tests."""
    folder = tmp_path_factory.mktemp("clone") / "wellfit"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    params = (folder / "params.yaml").read_text()
    for old, new in SMALL.items():
        assert params.count(old) == 1, old
        params = params.replace(old, new)
    (folder / "params.yaml").write_text(params)
    shutil.rmtree(folder / "reports", ignore_errors=True)
    for lock in ("dvc.lock", "comparisons/dvc.lock"):
        (folder / lock).unlink(missing_ok=True)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "first"]):
        subprocess.run([*git, *command], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def environment(clone: Path) -> dict[str, str]:
    """As after activating the environment, without settings of the user's own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "MLFLOW_", "WELLFIT_", "COV_"))}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "VIRTUAL_ENV": sys.prefix,
        "DVC_SITE_CACHE_DIR": str(clone.parent / "site"),
        "DVC_NO_ANALYTICS": "1",
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@example.org",
    }


@pytest.fixture(scope="module")
def call(clone: Path, environment: dict[str, str]) -> Run:
    """Calls a program of the environment in the clone, as a user would."""

    def run(*command: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, cwd=clone, env=environment | variables, capture_output=True, text=True, timeout=250, check=False
        )
        assert not check or done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done

    return run
