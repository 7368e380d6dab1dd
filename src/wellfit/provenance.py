"""Where a result comes from: the commit, what was changed since, and the versions of what it was computed with."""

import os
import platform
import subprocess
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from wellfit import __version__

# What decides numbers, and what kept or drew them.
PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "pandas", "optuna", "mlflow", "dvc")
# What a run of the pipeline changes by itself.
OUTCOME = ("dvc.lock", "reports")


@cache
def git_commit() -> str:
    """The commit that is checked out; empty where there is none."""
    return _git("rev-parse", "--quiet", "--verify", "HEAD").strip()


def why_no_commit() -> str:
    """What to say where :func:`git_commit` is empty."""
    done = _called("rev-parse", "--git-dir")
    return "git refuses a folder that another user owns" if "dubious" in done.stderr else "not in a git repository"


def changed_files() -> list[str]:
    """Files that are not as they were committed, or were never, without those that the pipeline itself writes.

    The working folder is the project's root, which need not be that of the repository.
    """
    apart = [f":(exclude){path}" for path in OUTCOME]
    listed = _git("status", "--porcelain", "-z", "--no-renames", "--", ".", *apart)
    above = _git("rev-parse", "--show-prefix").rstrip("\n")
    return sorted(entry[3:].removeprefix(above) for entry in listed.split("\0") if entry)


def versions() -> dict[str, str]:
    """Python, the system, and the packages that are installed."""
    system = f"{platform.system()} {platform.machine()}"
    found = {"wellfit": __version__, "python": platform.python_version(), "system": system}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def experiment() -> str:
    """The DVC experiment that this is part of; empty where it is none."""
    return os.environ.get("DVC_EXP_NAME", "")


def _git(*arguments: str) -> str:
    done = _called(*arguments)
    return done.stdout if done.returncode == 0 else ""


def _called(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["git", *arguments]
    try:
        environment = os.environ | {"LC_ALL": "C"}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    except OSError:  # no git on this machine
        return subprocess.CompletedProcess(command, 127, "", "")
