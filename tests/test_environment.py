import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()
PIN = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>[^ ;]+)(?: ; .+)? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?P<more> \\)?$")
COMMENT = re.compile(r"^    #(?: via)?(?: +(?:-c \(workspace\)|[a-z0-9-]+(?: \(pyproject\.toml\))?))?$")

# Prints what importing the modules named on its command line has left behind.
PROBE = """
import importlib, logging, os, signal, sys, threading

def state():
    return {
        "environment": dict(os.environ),
        "files": os.listdir("."),
        "threads": threading.active_count(),
        "log handlers": list(logging.root.handlers),
        "signal handlers": [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)],
        "heavy": sorted({"torch", "mlflow", "sklearn", "pandas", "optuna", "matplotlib"} & sys.modules.keys()),
    }

before = state()
for name in sys.argv[1:]:
    importlib.import_module(name)
after = state()
for key in before:
    if before[key] != after[key]:
        print(key, before[key], after[key])
"""


def requirements() -> list[Requirement]:
    texts = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
    return [Requirement(text) for text in texts]


def pins() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for match in filter(None, map(PIN.match, LOCK.splitlines())):
        found.setdefault(match["name"], []).append(match["version"])
    return found


def local_modules() -> list[str]:
    paths = sorted((ROOT / "src").rglob("*.py"))
    return [".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__") for path in paths]


def imported_packages(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"wellfit"}


def probe(modules: list[str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROBE, *modules], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("requirement", requirements(), ids=lambda requirement: requirement.name)
def test_the_lock_pins_what_pyproject_asks_for(requirement: Requirement) -> None:
    versions = pins()[canonicalize_name(requirement.name)]
    assert requirement.specifier, "no lower bound"
    assert all(version in requirement.specifier for version in versions)


def test_the_lock_holds_versions_and_hashes_and_nothing_else() -> None:
    hashes_expected = False
    for line in LOCK.splitlines():
        if hashes_expected:
            match = HASH.match(line)
            assert match, line
            hashes_expected = bool(match["more"])
        else:
            hashes_expected = bool(PIN.match(line))
            assert hashes_expected or COMMENT.match(line), line
    assert not hashes_expected


def test_what_builds_the_editable_install_is_locked() -> None:
    build_system = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]
    assert build_system["requires"]
    assert set(build_system["requires"]) <= set(PROJECT["optional-dependencies"]["dev"])


def test_conda_yaml_installs_the_lock() -> None:
    environment = YAML(typ="safe", pure=True).load(ROOT / "conda.yaml")
    lowest = next(s.version for s in SpecifierSet(PROJECT["requires-python"]) if s.operator == ">=")
    assert environment == {
        "name": PROJECT["name"],
        "channels": ["conda-forge"],
        "dependencies": [f"python={lowest}", "pip", {"pip": ["-r requirements.lock"]}],
    }


def test_set_up_takes_the_same_python_versions_as_pyproject() -> None:
    script = (ROOT / "setup.sh").read_text()
    match = re.search(r"\((\d+), (\d+)\) <= sys\.version_info\[:2\] < \((\d+), (\d+)\)", script)
    assert match
    asked = ">={}.{},<{}.{}".format(*match.groups())
    assert asked == PROJECT["requires-python"]
    assert f"wellfit needs Python {asked}," in script


@pytest.mark.parametrize(
    "name", ["Makefile", "setup.sh", ".ci/run", ".pre-commit-config.yaml", "Dockerfile", "Dockerfile.serve"]
)
def test_tools_have_their_versions_from_the_lock_alone(name: str) -> None:
    assert not re.search(r"==\s*\d|rev:|@\d", (ROOT / name).read_text())


def test_the_version_is_the_same_everywhere() -> None:
    from wellfit import __version__

    assert __version__ == PROJECT["version"]


@pytest.mark.parametrize("folder", ["src", "pipelines", "tests", "benchmarks"])
def test_every_imported_package_is_declared(folder: str) -> None:
    # src imports what is for export, and timm, where that is asked for.
    extras = {"src": ["export", "timm"], "tests": ["dev", "timm"]}.get(folder, [])
    texts = PROJECT["dependencies"] + [text for extra in extras for text in PROJECT["optional-dependencies"][extra]]
    # pydantic asks for one exact version of its core.
    declared = {canonicalize_name(Requirement(text).name) for text in texts} | {"pydantic-core"}
    distributions = packages_distributions()
    missing = {
        f"{package} in {path.relative_to(ROOT)}"
        for path in (ROOT / folder).rglob("*.py")
        for package in imported_packages(path) - {neighbour.stem for neighbour in path.parent.glob("*.py")}
        if not declared & {canonicalize_name(name) for name in distributions.get(package, ())}
    }
    assert not missing


def test_importing_wellfit_leaves_no_trace(tmp_path: Path) -> None:
    assert probe(["wellfit", "wellfit.settings.params", "wellfit.commands.program"], tmp_path) == ""


@pytest.mark.slow
def test_importing_any_module_writes_nothing(tmp_path: Path) -> None:
    # MLflow runs this one as a script when it loads a model, and warns of type hints of its own.
    probe([name for name in local_modules() if name != "wellfit.tracking.served"], tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "ignored"),
    [
        ("reports/train/metrics.json", False),
        ("reports/evaluate/metrics.json", False),
        ("reports/evaluate/scores.json", False),
        ("reports/baseline/metrics.json", False),
        ("reports/baseline/predictions.npz", True),
        ("reports/train/history.csv", True),
        ("reports/evaluate/plots/metrics.json", True),
        ("reports/tune/trials.csv", True),
        ("reports/report.html", True),
        ("data/raw/digits/meta.json", True),
        ("src/wellfit/data/fetch.py", False),
        ("models/best.safetensors", True),
        ("mlflow.db-wal", True),
        (".wellfit/studies/digits.log", True),
    ],
)
def test_git_keeps_the_scores_and_ignores_the_rest_of_what_runs_make(path: str, ignored: bool, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text((ROOT / ".gitignore").read_text())
    assert (subprocess.run(["git", "check-ignore", "--quiet", path], cwd=tmp_path).returncode == 0) is ignored


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout of git")
def test_the_repository_holds_no_large_files() -> None:
    """Data come by download or from their owner; what is tracked stays in the history of each clone."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    sizes = {name: (ROOT / name).lstat().st_size for name in tracked.split("\0") if name and (ROOT / name).exists()}
    assert sizes
    assert {name: size for name, size in sizes.items() if size > 2**20} == {}
