"""PostgreSQL and the gRPC proxy as a study's storage."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from grpc import RpcError
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection

from wellfit.errors import WellfitError
from wellfit.tracking.store import open_client, write_ahead
from wellfit.tuning import databases
from wellfit.tuning.databases import is_outage, open_database
from wellfit.tuning.storage import open_saved

from .servers import PASSWORD, Postgres, free_port, grpc_proxy, postgres

MINIMIZE = StudyDirection.MINIMIZE
OPEN = """
import sys
from optuna.study import StudyDirection as D
from wellfit.tuning.storage import open_saved
open_saved("sqlite:///warm.db", "study", D.MINIMIZE)  # what this imports takes longer than the tables
print("ready", flush=True)
sys.stdin.readline()
open_saved(sys.argv[1], "study", D.MINIMIZE).ask()
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture(autouse=True)
def _root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


@pytest.fixture(autouse=True)
def _closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Connections that garbage collection finds open would be warned of in any other test."""
    opened: list[RDBStorage] = []

    class Noted(RDBStorage):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            opened.append(self)

    monkeypatch.setattr(databases, "RDBStorage", Noted)
    yield
    for storage in opened:
        storage.engine.dispose()


@pytest.mark.parametrize(
    ("address", "module", "hint"),
    [
        (
            "postgresql://me:secret@host/x",
            "psycopg",
            r"psycopg: pip install 'wellfit\[postgresql\]', or uv pip install",
        ),
        ("mysql+pymysql://me:secret@host/x", "pymysql", "pymysql: pip install pymysql, or uv pip install pymysql"),
    ],
)
def test_a_driver_that_is_missing_is_named(
    address: str, module: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(WellfitError, match=rf"^tune\.storage .*\*\*\*@host/x needs the package {hint}"):
        open_database(address)


@pytest.mark.parametrize("address", ["grpc://host", "grpc://:1", "grpc://host:http"])
def test_the_address_of_a_proxy_has_host_and_port(address: str) -> None:
    with pytest.raises(
        WellfitError, match=rf"^tune\.storage must be grpc://host:port, got {address} \(params\.yaml\)$"
    ):
        open_database(address)


def test_a_server_that_is_not_there_is_an_outage_that_is_said_in_its_own_words() -> None:
    port = free_port()
    with pytest.raises(WellfitError, match=r"cannot be opened \(.*refused.*\); mend tune\.storage \(params\.yaml\)$"):
        open_saved(f"postgresql://me:secret@127.0.0.1:{port}/x", "study", MINIMIZE)
    with pytest.raises(
        WellfitError, match=rf"^grpc://127\.0\.0\.1:{port} cannot be opened \(.*\); mend tune"
    ) as caught:
        open_saved(f"grpc://127.0.0.1:{port}", "study", MINIMIZE)
    assert "refused" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_several_clones_begin_a_study_at_once_in_a_new_database(server: Postgres, tmp_path: Path) -> None:
    workers = []
    for name in "abc":
        (tmp_path / name).mkdir()
        environment = os.environ | {"DVC_ROOT": str(tmp_path / name)}  # with locks of its own
        workers.append(
            subprocess.Popen(
                [sys.executable, "-c", OPEN, server.url("template1")],
                cwd=tmp_path / name,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    for worker in workers:
        worker.communicate(timeout=120)
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert len(open_saved(server.url("template1"), "study").trials) == 3


@pytest.mark.slow
def test_what_a_server_that_stops_is(server: Postgres) -> None:
    address = server.url()
    direct = open_saved(address, "study", MINIMIZE)
    with grpc_proxy(address) as proxied_address:
        proxied = open_saved(proxied_address, "study", MINIMIZE)
        proxied.set_user_attr("x", 1)
        assert direct.user_attrs == {"x": 1}
        server.stop()
        for saved in (direct, proxied):
            with pytest.raises((StorageInternalError, RpcError)) as caught:
                saved.set_user_attr("x", 2)
            assert is_outage(caught.value)
        server.start()
        for saved in (direct, proxied):
            saved.set_user_attr("x", saved.user_attrs["x"] + 1)
        assert direct.user_attrs == {"x": 3}
        optuna.delete_study(study_name="study", storage=proxied._storage)
        with pytest.raises(KeyError) as missing:
            proxied.set_user_attr("x", 1)
        assert not is_outage(missing.value)  # nor will it come back


@pytest.mark.slow
def test_a_proxy_that_hangs_is_an_outage(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "DEADLINE_SECONDS", 5.0)
    started: list[subprocess.Popen[bytes]] = []
    with grpc_proxy(server.url(), started) as address:
        (proxy,) = started
        saved = open_saved(address, "hanging", MINIMIZE)
        os.kill(proxy.pid, signal.SIGSTOP)
        with pytest.raises(RpcError) as caught:
            saved.set_user_attr("x", 1)
        os.kill(proxy.pid, signal.SIGCONT)
        assert is_outage(caught.value)
        saved.set_user_attr("x", 1)


@pytest.mark.slow
def test_the_password_may_come_from_the_environment(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WellfitError, match="no password supplied"):
        open_saved(server.url(password=""), "study", MINIMIZE)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    open_saved(server.url(password=""), "study", MINIMIZE)
    monkeypatch.delenv("PGPASSWORD")
    with pytest.raises(WellfitError, match="authentication failed") as caught:
        open_saved(server.url(password="sesame closed"), "study", MINIMIZE)
    assert "sesame" not in str(caught.value)


@pytest.mark.slow
def test_a_local_mlflow_store_beside_postgresql(server: Postgres, project: Path) -> None:
    with write_ahead():
        open_client()
        open_saved(server.url(), "study", MINIMIZE).set_user_attr("x", 1)
    assert open_saved(server.url(), "study").user_attrs["x"] == 1
