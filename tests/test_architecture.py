"""Which folder may import which, as docs/architecture.md says it."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "wellfit"
# Each imports those behind it. `settings` is left out: it composes sections that stand in the files that use them, so
# it imports from many folders and is imported by many; there must be no circle of files.
ABOVE = ("commands", "stages", "report", "compare", "serving", "tuning", "training", "charts", "explain", "models")
ORDER = (*ABOVE, "baselines", "metrics", "tracking", "data")
FILES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))


def imports(name: str, *, at_import: bool) -> set[str]:
    """The files below ``src/wellfit`` that a file imports, without those for types alone.

    Args:
        name: of the file, relative to ``src/wellfit``.
        at_import: without imports inside functions.
    """
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return
        if at_import and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update([node.module, *(f"{node.module}.{alias.name}" for alias in node.names)])
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse((SOURCE / name).read_text(encoding="utf-8")))
    paths = (module.removeprefix("wellfit.").replace(".", "/") for module in found if module.startswith("wellfit."))
    return {f"{path}{end}" for path in paths for end in (".py", "/__init__.py") if f"{path}{end}" in FILES} - {name}


def folder(name: str) -> str:
    return name.split("/")[0] if "/" in name else ""


@pytest.mark.parametrize("name", FILES)
def test_each_folder_imports_only_those_below(name: str) -> None:
    here = folder(name)
    others = {other for other in imports(name, at_import=False) if folder(other) not in (here, "", "settings")}
    if here == "settings":
        assert not any(folder(other) in ("commands", "stages", "report", "compare") for other in others)
    elif here:
        below = ORDER[ORDER.index(here) + 1 :]
        assert not {other for other in others if folder(other) not in below}
    else:  # the two front doors: wellfit.load, and wellfit as a program
        doors = {"__init__.py": {"serving"}, "__main__.py": {"commands"}}
        assert {folder(other) for other in others} <= doors.get(name, set())


def test_no_circle_of_files() -> None:
    graph = {name: imports(name, at_import=True) for name in FILES}
    TopologicalSorter(graph).prepare()


def test_mlflow_is_imported_in_one_folder() -> None:
    texts = {name: (SOURCE / name).read_text(encoding="utf-8") for name in FILES}
    others = {name for name, text in texts.items() if "import mlflow" in text or "from mlflow" in text}
    assert {folder(name) for name in others} == {"tracking"}


def test_the_tests_that_docs_name_are_there() -> None:
    root = SOURCE.parents[1]
    text = (root / "docs" / "techniques.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(?:tests/)?([a-z_/]*test_[a-z_]+\.py)`", text))
    assert len(named) > 20
    assert not {name for name in named if not (root / "tests" / name).exists()}


def test_the_files_that_docs_name_are_there() -> None:
    text = (SOURCE.parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_]+/[a-z_/]*(?:\.py|/))`", text))
    assert len(named) > 20
    assert not {name for name in named if not (SOURCE / name).exists() and not (SOURCE.parents[1] / name).exists()}
