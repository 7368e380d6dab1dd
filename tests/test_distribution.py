"""What is handed out beside the source: the wheel, the images, CI, the citation."""

import importlib
import json
import re
import runpy
import subprocess
import tomllib
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
IMAGES = SimpleNamespace(**runpy.run_path(str(ROOT / ".ci/images")))


def read_yaml(path: str) -> Any:
    return YAML(typ="safe", pure=True).load(ROOT / path)


def steps(file: str) -> dict[str, list[str]]:
    """What a Dockerfile says, by instruction."""
    found: dict[str, list[str]] = {}
    for instruction, text in IMAGES.instructions((ROOT / file).read_text()):
        found.setdefault(instruction, []).append(text)
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    from hatchling.builders.wheel import WheelBuilder

    (path,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"])
    return zipfile.ZipFile(path)


def test_the_wheel_has_all_files_of_the_package(wheel: zipfile.ZipFile) -> None:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "src/wellfit"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    files = {path.removeprefix("src/") for path in listed if (ROOT / path).exists()}
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == files
    assert {"wellfit/report/templates/page.html.j2", "wellfit/py.typed"} <= files


def test_the_wheel_brings_the_command(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "[console_scripts]\nwellfit = wellfit.commands.program:main\n" in wheel.read(name).decode()
    module, _, function = PROJECT["scripts"]["wellfit"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_the_classifiers_name_the_pythons_that_are_allowed() -> None:
    low, high = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]).groups()  # type: ignore[union-attr]
    named = [text.rpartition(" ")[2] for text in PROJECT["classifiers"] if "Python :: 3." in text]
    assert named == [f"3.{minor}" for minor in range(int(low), int(high))]
    matrix = read_yaml(".github/workflows/ci.yml")["jobs"]["check"]["strategy"]["matrix"]
    assert matrix["python"] == [named[0], named[-1]]


def test_the_workflow_runs_ci_and_may_read_only() -> None:
    workflow = read_yaml(".github/workflows/ci.yml")
    assert workflow["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in workflow["jobs"].values())
    runs = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in workflow["jobs"].items()}
    assert runs == {"check": [".ci/run"], "images": [".ci/images"]}
    used = [step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", name) for name in used)


def test_the_citation_says_what_pyproject_says() -> None:
    citation = read_yaml("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert (citation["title"], citation["version"]) == (PROJECT["name"], PROJECT["version"])
    assert (citation["license"], citation["abstract"]) == (PROJECT["license"], PROJECT["description"])
    assert (citation["authors"], citation["keywords"]) == (PROJECT["authors"], PROJECT["keywords"])


def test_the_devcontainer_is_set_up_by_make() -> None:
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    makefile = (ROOT / "Makefile").read_text()
    assert container["postCreateCommand"] == "make setup"
    for port in container["forwardPorts"]:
        target = re.search(r"\(make (\w+)\)", container["portsAttributes"][str(port)]["label"])
        assert target
        assert f"\n{target[1]}: setup" in makefile
    lowest = PROJECT["requires-python"].partition(",")[0].removeprefix(">=")
    assert container["image"].endswith(f":{lowest}")


@pytest.mark.parametrize("file", ["Dockerfile", "Dockerfile.serve"])
def test_an_image_runs_as_no_root_on_the_lowest_python(file: str) -> None:
    said = steps(file)
    lowest = PROJECT["requires-python"].partition(",")[0].removeprefix(">=")
    assert said["FROM"] == [f"python:{lowest}-slim"] or said["ARG"][0] == f"PYTHON={lowest}"
    assert said["USER"] == ["wellfit"]
    order = [instruction for instruction, _ in IMAGES.instructions((ROOT / file).read_text())]
    assert order.index("USER") > max(i for i, name in enumerate(order) if name == "COPY")
    assert isinstance(json.loads(said["CMD"][0]), list)


def test_the_image_of_the_pipeline_installs_the_lock_as_set_up_does() -> None:
    setup = (ROOT / "setup.sh").read_text()
    (install,) = (text for text in steps("Dockerfile")["RUN"] if "uv pip sync" in text)
    assert "sed -n '/^uv==/,/^ *#/p'" in install
    assert "sed -n '/^uv==/,/^ *#/p'" in setup
    for option in ("--require-hashes", "--compile-bytecode", "--build-constraints", "--no-deps"):
        assert option in install
        assert option in setup
    assert install.count("--require-hashes") == 2  # of uv, and of all others


def test_what_is_sent_to_docker_is_the_pipeline_and_nothing_of_its_user(tmp_path: Path) -> None:
    for name in ("src/wellfit/files.py", "pipelines/train.py", ".dvc/config", ".dvcignore", "params.yaml", "README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    wanted = IMAGES.sent(tmp_path)
    mine = (".env", ".git/config", ".dvc/config.local", ".dvc/cache/a", "data/own/my.csv", "models/a", "mlflow.db")
    for name in (*mine, ".venv/bin/python", "src/wellfit/__pycache__/files.pyc", "tests/test_files.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".dockerignore").write_text((ROOT / ".dockerignore").read_text())
    assert IMAGES.sent(tmp_path) == wanted


def test_what_docker_is_sent_is_there() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    kept = [line[1:] for line in lines if line.startswith("!")]
    assert kept == sorted(kept)
    assert not [name for name in kept if not (ROOT / name).exists()]
    assert "*" in lines


def test_the_server_says_whether_it_is_well() -> None:
    said = steps("Dockerfile.serve")
    command = json.loads(said["CMD"][0])
    port = command[command.index("--port") + 1]
    assert said["EXPOSE"] == [port]
    assert f"127.0.0.1:{port}/ping" in said["HEALTHCHECK"][0]
