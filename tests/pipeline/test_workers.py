"""Many workers on one study, with all that happens to machines."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest

from wellfit.tuning.leases import PREFIX, all_leases
from wellfit.tuning.storage import ended_trials, open_saved

from ..conftest import PARAMS_FILE, PLAIN
from ..tuning.servers import Postgres, grpc_proxy, postgres

pytestmark = pytest.mark.slow

N_TRIALS = 24
SECONDS = 6.0  # of a lease here
SETTINGS = [*PLAIN, "data.name=moons", "data.n_samples=240", "train.epochs=200", "train.patience=null"]
SETTINGS += ["model.hidden=[8]", "train.threads=1", f"tune.n_trials={N_TRIALS}", "tune.pack=2", "tune.pruner=none"]
SETTINGS += ["tune.study=shared"]
WORKER = f"""
import sys
from wellfit.tuning import leases, study
leases.SECONDS, leases.RENEW_SECONDS, study.RENEW_SECONDS = {SECONDS}, 1.0, 1.0
from wellfit.commands.program import main
main()
"""


class Worker:
    """A process in a clone of its own, as on a machine of its own."""

    def __init__(self, folder: Path, prepared: Path, store: Path, storage: str) -> None:
        self.folder = folder
        folder.mkdir()
        shutil.copy(PARAMS_FILE, folder)
        shutil.copy(store, folder / "mlflow.db")
        (folder / "data").mkdir()
        (folder / "data/processed").symlink_to(prepared)
        settings = [part for each in [*SETTINGS, f"tune.storage={storage}"] for part in ("--set", each)]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "COV_"))}
        with (folder / "said").open("w") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-c", WORKER, "worker", *settings],
                cwd=folder,
                env=kept | {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"},
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text()

    def records(self, folder: str = "trials") -> list[int]:
        found = self.folder.glob(f".wellfit/records/*/*/{folder}/*/trial.json")
        return sorted(int(path.parent.name.split("-")[0]) for path in found if path.parent.name[0].isdecimal())

    @property
    def lease(self) -> str:
        """Its key in the storage."""
        (file,) = self.folder.glob(".wellfit/records/*/*/workers/*.lock")
        return PREFIX + file.name.split("-")[0]

    def signal(self, signum: int) -> None:
        """To all of its processes."""
        os.killpg(self.process.pid, signum)


@pytest.fixture
def start(tmp_path: Path, prepared: Path, new_store: Path) -> Iterator[Callable[[str, str], Worker]]:
    started: list[Worker] = []

    def begin(name: str, storage: str) -> Worker:
        started.append(Worker(tmp_path / name, prepared, new_store, storage))
        return started[-1]

    yield begin
    for worker in started:
        with suppress(ProcessLookupError):
            worker.signal(signal.SIGKILL)
        worker.process.wait()


def wait_until(condition: Callable[[], Any], seconds: float = 150.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def restart(server: Postgres) -> None:
    server.stop()
    time.sleep(2.0)
    server.start()


@pytest.mark.timeout(280)
@pytest.mark.parametrize("proxied", [False, True], ids=["postgresql", "grpc"])
def test_workers_complete_a_study_whatever_happens_to_them(
    proxied: bool, start: Callable[[str, str], Worker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    with postgres() as server, grpc_proxy(server.url()) if proxied else nullcontext(server.url()) as storage:
        killed, stopped, *others = (start(f"worker {number}", storage) for number in range(4))
        wait_until(lambda: all(worker.records() for worker in (killed, stopped, *others)))
        study = open_saved(server.url(), "shared")
        wait_until(lambda: all_leases(study).get(stopped.lease))
        killed.signal(signal.SIGKILL)
        stopped.signal(signal.SIGSTOP)
        held = set(all_leases(study)[stopped.lease]["trials"])
        restart(server)

        def taken() -> set[str]:
            leases = [lease["trials"] for key, lease in all_leases(study).items() if key != stopped.lease]
            return held & set(map(str, ended_trials(study))).union(*leases)

        wait_until(taken)
        stopped.signal(signal.SIGCONT)
        restart(server)
        for worker in (stopped, *others):
            assert worker.process.wait(200) == 0, worker.said
            assert "Error" not in worker.said
            assert f"the study shared has {N_TRIALS} trials" in worker.said
        ended = ended_trials(study)
        assert list(ended) == list(range(N_TRIALS))
        ends = [trial.user_attrs["place"] for trial in study.trials]
        twice = {str(place) for place in ends if ends.count(place) > 1}
        assert twice <= held  # by the stopped worker and by the one that took over, at one moment
        assert len(ends) == N_TRIALS + len(twice)
        assert {trial.state.name for trial in ended.values()} == {"COMPLETE"}
        assert ended[0].user_attrs["values"] == {"optim.lr": 0.003, "optim.weight_decay": 0.01, "model.dropout": 0.2}
        assert all_leases(study).keys() == {killed.lease}
        study._storage._backend.engine.dispose()  # type: ignore[attr-defined]
