"""A project that was moved, renamed or copied keeps its artifacts, and new ones come to it. A real sqlite store."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from wellfit import tracking
from wellfit.data.meta import Meta
from wellfit.tracking.store import open_client

NAMES = ["renamed", "a%20b projé #1"]


def log(text: str, meta: Meta) -> str:
    Path("note.txt").write_text(text)
    with tracking.start_run("train", text, meta) as run:
        run.log_file(Path("note.txt"))
    return run.id


def text_of(run_id: str, folder: Path) -> str:
    return Path(open_client().download_artifacts(run_id, "note.txt", str(folder))).read_text()


@pytest.fixture
def begun(tmp_path: Path, new_store: Path, meta: Meta, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str, str]:
    """A project, a run in the experiment wellfit, and one in Default, whose folder MLflow has chosen."""
    old = tmp_path / "old%41 place"
    old.mkdir()
    shutil.copy(new_store, old / "mlflow.db")
    monkeypatch.chdir(old)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    open_client.cache_clear()
    run = log("ours", meta)
    with monkeypatch.context() as default:
        default.setenv("MLFLOW_EXPERIMENT_ID", "0")
        other = log("theirs", meta)
    model = open_client().create_logged_model("0", "model", other)
    open_client().create_registered_model("known")
    open_client().create_model_version("known", model.artifact_location, other)
    open_client.cache_clear()
    return old, run, other


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("how", [shutil.move, shutil.copytree])
def test_artifacts_follow_their_project(
    how: Callable[..., object],
    name: str,
    begun: tuple[Path, str, str],
    meta: Meta,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (old, run, other), new = begun, begun[0].with_name(name)
    how(old, new)
    there = set(old.rglob("*"))
    monkeypatch.chdir(new)
    capsys.readouterr()
    later = log("later", meta)
    assert capsys.readouterr().out == f"the project was in {old}: MLflow now has the artifacts of 2 runs in {new}\n"
    assert [text_of(each, new) for each in (run, other, later)] == ["ours", "theirs", "later"]
    assert (new / "mlartifacts" / later / "artifacts" / "note.txt").is_file()
    (model,) = open_client().search_logged_models(["0"])
    assert model.artifact_location.startswith(f"{new.as_uri()}/mlruns/0/models/")
    assert open_client().get_model_version("known", "1").source == model.artifact_location
    assert set(old.rglob("*")) == there
    assert {path.name for path in new.parent.iterdir()} == {new.name, *([old.name] if there else [])}
    open_client.cache_clear()
    open_client()
    assert capsys.readouterr().out == ""  # told once


def test_a_folder_that_somebody_has_chosen_stays(
    begun: tuple[Path, str, str], tmp_path: Path, meta: Meta, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = tmp_path / "large disk" / "mlartifacts"
    made = open_client().create_experiment("mine", artifact_location=chosen.as_uri())
    chosen.mkdir(parents=True)
    open_client.cache_clear()
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", made)
    run = log("mine", meta)
    assert (chosen / run / "artifacts" / "note.txt").is_file()


def test_a_store_outside_the_project_is_left_alone(
    begun: tuple[Path, str, str], tmp_path: Path, meta: Meta, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = begun[0]
    shutil.rmtree(old / "mlartifacts")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{old.with_name('old%2541 place')}/mlflow.db")
    (tmp_path / "second").mkdir()
    monkeypatch.chdir(tmp_path / "second")
    later = log("later", meta)
    assert (old / "mlartifacts" / later / "artifacts" / "note.txt").is_file()
    open_client.cache_clear()
