"""The notebooks: stored clean, and executed as a reader would, beside stores of their own."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = {path.stem: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
PICTURES = {"tour": 5, "regularization": 6, "runs": 6}


def read(name: str) -> Any:
    return nbformat.read(NOTEBOOKS[name], as_version=4)


def code_cells(book: Any) -> list[Any]:
    return [cell for cell in book.cells if cell.cell_type == "code"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without data, runs or reports, in which kernels keep all they write."""
    folder = tmp_path / "project"
    for name in ("notebooks", "comparisons"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "params.yaml", folder)
    for variable in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "TMPDIR"):
        monkeypatch.setenv(variable, str(tmp_path / variable.lower()))
        (tmp_path / variable.lower()).mkdir()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")  # else that of the tests would hold what a reader's own store does
    return folder


def execute(name: str, project: Path) -> Any:
    """The notebook with its output, from the folder it lies in, as an editor starts it."""
    book = read(name)
    client = NotebookClient(
        book, timeout=240, kernel_name="python3", resources={"metadata": {"path": project / "notebooks"}}
    )
    client.execute()
    return book


def outputs(book: Any) -> list[Any]:
    return [output for cell in code_cells(book) for output in cell.outputs]


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if "__pycache__" not in path.parts)


def test_every_notebook_is_tried() -> None:
    assert NOTEBOOKS.keys() == PICTURES.keys()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_is_stored_without_output(name: str) -> None:
    book = read(name)
    nbformat.validate(book)
    assert all(cell.execution_count is None and not cell.outputs for cell in code_cells(book))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_says_nothing_of_the_machine_it_was_written_on(name: str) -> None:
    text = NOTEBOOKS[name].read_text()
    assert not re.search(r"/(home|work|Users|tmp|root|mnt|opt)/|[A-Z]:\\\\", text)
    book = json.loads(text)
    assert book["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert all(cell["metadata"] == {} for cell in book["cells"])


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_defines_no_function(name: str) -> None:
    code = "\n".join(cell.source for cell in code_cells(read(name)))
    assert not re.findall(r"^ *(?:def|class) \w+", code, re.MULTILINE), "what is worth a name belongs into the package"


@pytest.mark.parametrize("file", ["dvc.yaml", "comparisons/dvc.yaml"])
def test_no_stage_depends_on_one(file: str) -> None:
    assert "notebooks" not in (ROOT / file).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_runs_without_a_word_of_warning_and_leaves_nothing_behind(name: str, project: Path) -> None:
    before = files(project)
    found = outputs(execute(name, project))
    assert [output.text for output in found if output.output_type == "stream" and output.name == "stderr"] == []
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in found]
    assert [text for text in texts if re.search(r"warning|deprecat", text, re.IGNORECASE)] == []
    assert sum("image/png" in output.get("data", {}) for output in found) == PICTURES[name]
    assert files(project) == before
    assert [name for name in files(project.parent / "tmpdir") if not name.startswith("torchinductor_")] == []


@pytest.mark.slow
def test_the_runs_are_the_readers_own_where_there_are_some(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from wellfit.data.fetch import fetch
    from wellfit.data.prepare import prepare
    from wellfit.settings.params import load_params
    from wellfit.stages.train import train
    from wellfit.stages.tune import tune

    monkeypatch.chdir(project)
    changes = ["data.name=moons", "data.n_samples=240", "train.epochs=4", "tune.n_trials=8", "tune.pack=4"]
    params = load_params("params.yaml", [*changes, "tune.space.model.dropout=null", "tune.repeats=0"])
    fetch(params.data, params.fetch, Path("data/raw"))
    prepare(params.data, Path("data/raw"), Path("data/processed"))
    tune(params, Path("data/processed/moons"), Path("reports/tune"), Path("models"))
    train(params, Path("data/processed/moons"), Path("reports/tune"), Path("models"), Path("reports/train"))
    before = files(project)
    book = execute("runs", project)
    texts = {cell.id: "".join(output.get("text", "") for output in cell.outputs) for cell in code_cells(book)}
    assert texts["search"] == "1 finished studies\n"
    assert texts["make"] == ""
    assert texts["table"] == "tune moons mlp by val/loss\n"
    assert [output for output in outputs(book) if output.get("name") == "stderr"] == []
    assert files(project) == before
