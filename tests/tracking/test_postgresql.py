"""MLflow in a real PostgreSQL: away, ending, started again, and with passwords in the user's own file."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.study import StudyDirection

from wellfit import tracking
from wellfit.data.meta import Meta
from wellfit.errors import WellfitError
from wellfit.tracking.creation import known_id
from wellfit.tracking.outbox import outboxes
from wellfit.tracking.store import open_client
from wellfit.tuning.storage import open_saved

from ..tuning.servers import PASSWORD, Postgres, postgres
from .outages import next_command

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PGPASSWORD", raising=False)
    open_client.cache_clear()
    yield
    open_client.cache_clear()


def use(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url.replace("postgresql:", "postgresql+psycopg:"))


def test_a_database_that_is_away_or_ends_costs_a_warning(
    database: Postgres, meta: Meta, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    use(monkeypatch, database.url())
    with tracking.start_run("train", "a run", meta) as first:
        capfd.readouterr()
        database.stop()
        first.log_params({"optim.lr": 0.1})
    ended = capfd.readouterr().err
    open_client.cache_clear()
    with tracking.start_run("train", "another", meta) as second:
        second.log_metrics({"val/loss": 1.0})
    away = capfd.readouterr().err
    for err in (ended, away):
        assert err.count("\n") == err.count("warning: MLflow at ") == 1, err
        assert "***@127.0.0.1" in err
        assert "sqlalche.me" not in err
        assert PASSWORD.split()[0] not in err
    assert "refused" in away
    database.start()
    next_command()
    client = open_client()
    assert client.get_run(first.id).data.params == {"optim.lr": "0.1"}
    found = client.get_run(str(known_id(second.id)))
    assert (found.info.status, found.data.metrics) == ("FINISHED", {"val/loss": 1.0})
    assert not list(outboxes().glob("*"))


@pytest.mark.parametrize(("database_name", "password"), [("postgres", "wrong"), ("nothing", PASSWORD)])
def test_what_the_database_refuses_ends_a_command_in_one_line(
    database: Postgres,
    meta: Meta,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    database_name: str,
    password: str,
) -> None:
    use(monkeypatch, database.url(database_name, password))
    with pytest.raises(WellfitError, match=r"MLflow at .*\*\*\*@127.* did not take the run: .*FATAL") as caught:
        tracking.start_run("train", "a run", meta).__enter__()
    assert "\n" not in str(caught.value)
    assert password.split()[0] not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("file", [".pgpass", "elsewhere"])
def test_passwords_may_be_in_the_file_that_postgresql_knows(
    database: Postgres, meta: Meta, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: str
) -> None:
    path = tmp_path / file
    path.write_text(f"127.0.0.1:{database.port}:*:me:{PASSWORD}\n")
    path.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    if file != ".pgpass":
        monkeypatch.setenv("PGPASSFILE", str(path))
    address = database.url(password="")
    assert os.environ.get("PGPASSWORD") is None
    use(monkeypatch, address)
    with tracking.start_run("train", "a run", meta) as run:
        pass
    assert open_client().get_run(run.id).info.status == "FINISHED"
    saved = open_saved(database.url("template1", password=""), f"study {file}", StudyDirection.MINIMIZE)
    assert saved.ask().number == 0
    saved._storage._backend.engine.dispose()  # type: ignore[attr-defined]
