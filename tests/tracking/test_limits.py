"""What is sent is within the limits of every store; a real PostgreSQL takes it, which SQLite does not tell."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from wellfit import tracking
from wellfit.data.meta import Meta
from wellfit.tracking.ended import EndedRun, create_ended_run, fill_ended_run
from wellfit.tracking.limits import KEY, PARAM, TEXT, short_key, shortened
from wellfit.tracking.store import open_client

POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
WARNINGS = tuple(f"the column {number} is the same in all training rows" for number in range(720))


def test_a_text_is_cut_with_a_mark() -> None:
    assert shortened("a" * TEXT) == "a" * TEXT
    cut = shortened("a" * 12_345)
    assert len(cut) <= TEXT
    assert cut.endswith("aaa [... 7,385 more characters]")
    assert shortened("a\0b") == "a\ufffdb"


def test_long_names_stay_two() -> None:
    assert short_key("a" * KEY) == "a" * KEY
    first, second = (short_key("a" * 300 + end) for end in "xy")
    assert first != second
    assert {len(first), len(second)} == {KEY}


def fill(client: MlflowClient, meta: Meta) -> tuple[str, str]:
    """A run, and one below it, with all that is too long."""
    long = meta.model_copy(update={"warnings": WARNINGS})
    name, text = "n" * 300, "t\0" * 10_000
    with tracking.start_run("train", name, long) as run:
        run.log_params({"data.path": text, name: 1})
        run.log_metrics({name: 1.0})
        run.tag("mlflow.note.content", text)
        run.tag(name, 1)
        run.tag_experiment({name: text})
        ended = EndedRun("trial", name, "FINISHED", 1.0, 2.0, {name: text}, {name: text}, {name: 1.0}, [], 0, [])
        child = create_ended_run(ended, long, run)
        fill_ended_run(client, child, ended)
    client.create_registered_model("m")
    source = client.get_run(run.id).info.artifact_uri
    client.create_model_version("m", source, run.id, tags={name: text}, description=text)
    return run.id, child


def check(client: MlflowClient, run_id: str, child: str) -> None:
    assert client.get_run(child).data.metrics == {short_key("n" * 300): 1.0}
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {short_key("n" * 300): 1.0}
    assert max(map(len, run.data.params.values())) <= PARAM
    assert run.data.params["data.path"].endswith(" more characters]")  # MLflow cuts without a word
    assert max(map(len, run.data.params)) == KEY
    version = client.get_model_version("m", "1")
    experiment = client.get_experiment(run.info.experiment_id)
    for tags in (run.data.tags, client.get_run(child).data.tags, version.tags, experiment.tags):
        assert max(map(len, tags.values())) <= TEXT
        assert max(map(len, tags)) == KEY
    assert run.data.tags["wellfit.data_warnings"].endswith(" more characters]")
    assert len(version.description) <= TEXT


def test_what_is_sent_is_within_the_limits(client: MlflowClient, meta: Meta) -> None:
    check(client, *fill(client, meta))


@pytest.fixture
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server of the test's own, which listens to no port."""
    if not POSTGRES:
        pytest.skip("PostgreSQL is not installed")
    pytest.importorskip("psycopg")
    user = "postgres" if os.getuid() == 0 else None  # the server refuses to run as root
    with tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if user:
            subprocess.run(["chown", user, folder], check=True)
        binaries, data = POSTGRES[-1].parent, folder / "data"
        made = [binaries / "initdb", "-D", data, "-A", "trust", "-U", "wellfit", "--no-sync"]
        subprocess.run(made, check=True, user=user, cwd=folder, capture_output=True)
        options = ["-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"]
        with subprocess.Popen(
            [binaries / "postgres", *options], user=user, cwd=folder, stderr=subprocess.DEVNULL
        ) as server:
            deadline = time.monotonic() + 60
            while not list(folder.glob(".s.PGSQL.*[0-9]")):
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            try:
                yield f"postgresql+psycopg://wellfit@/postgres?host={folder}"
            finally:
                server.send_signal(signal.SIGINT)  # does not wait for the connections of the pool


@pytest.mark.slow
def test_postgresql_takes_all_of_it(postgres: str, meta: Meta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgres)
    open_client.cache_clear()
    check(open_client(), *fill(open_client(), meta))
    open_client.cache_clear()
