"""Where the store is, wherever a command works."""

from pathlib import Path

import pytest

from wellfit import tracking
from wellfit.tracking.address import store_file


def test_inside_an_experiment_folder_the_store_is_at_dvc_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert tracking.store_uri() == f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.mark.parametrize("name", ["my 50% projé #1 [x]", "a%20b?c", "50%", "a+b&c=d;e", "%41%%"])
def test_the_store_is_in_a_project_whatever_that_is_called(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.engine import make_url

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / name))
    assert make_url(tracking.store_uri()).database == str(tmp_path / name / "mlflow.db")


@pytest.mark.parametrize("name", ["project", "a%20b?c"])
@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+pysqlite"])
def test_a_relative_store_counts_from_the_projects_root(
    scheme: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.engine import make_url

    monkeypatch.setenv("DVC_ROOT", str(tmp_path / name))  # as in `dvc exp run --temp`, whose folder is removed
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{scheme}:///runs/mlflow.db?timeout=9")
    assert make_url(tracking.store_uri()).database == str(tmp_path / name / "runs" / "mlflow.db")
    assert store_file() == tmp_path / name / "runs" / "mlflow.db"


@pytest.mark.parametrize("uri", ["sqlite:////a/b.db", "sqlite:///:memory:", "http://host:5000", "postgresql://h/db"])
def test_other_addresses_are_left_as_they_are(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert tracking.store_uri() == uri
    assert store_file() == (Path("/a/b.db") if "b.db" in uri else None)


def test_messages_show_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://ann:hush@host/db")
    assert tracking.shown_store_uri() == "postgresql://ann:***@host/db"
