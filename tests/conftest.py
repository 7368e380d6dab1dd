"""What every test gets: fixed seeds, and stores of its own instead of the user's."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PARAMS_FILE = ROOT / "params.yaml"
CACHES = {".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache"}  # of tools, which another call may make
# Set over params.yaml by tests that are about other things, so that its defaults may be chosen anew.
PLAIN = [
    "model.numeric=standard",
    "model.embedding=none",
    "model.embedding_width=null",
    "train.batch_size=64",
    "tune.space={optim: {lr: {low: 0.0003, high: 0.03, log: true}, weight_decay: {low: 0.0001, high: 0.3, log: true}}, "
    "model: {dropout: {low: 0.0, high: 0.6}}}",
]


def resident(path: Path) -> int:
    """Kilobytes of a memory-mapped file that this process holds; the test is skipped where nobody tells."""
    smaps = Path("/proc/self/smaps")
    if not smaps.is_file():
        pytest.skip("no /proc")
    _, *mappings = smaps.read_text().split(f" {path.resolve()}\n")
    return sum(int(re.search(r"^Rss: +(\d+) kB", each, re.MULTILINE)[1]) for each in mappings)  # type: ignore[index]


def peak(script: str, *arguments: str) -> int:
    """Kilobytes of memory that a process of Python has at its peak; the test is skipped where nobody tells."""
    if not Path("/proc/self/status").is_file():
        pytest.skip("no /proc")
    # Its ru_maxrss would hold that of the process that has started it.
    say = """
from pathlib import Path
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""
    done = subprocess.run([sys.executable, "-c", script + say, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    """What tests make is in folders of their own, not at the project's root."""
    before = set(os.listdir(ROOT)) | CACHES
    yield
    assert sorted(set(os.listdir(ROOT)) - before) == [], "left at the project's root"


@pytest.fixture(autouse=True)
def _seed_everything() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  what libraries draw from when nobody gives them a generator
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True)
def _own_stores(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for name in os.environ:
        # Set where the tests themselves run under DVC or MLflow; a test would take that stage or run for its own.
        if name.startswith("DVC_") or name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
            monkeypatch.delenv(name)
    if not request.node.get_closest_marker("real_data"):
        monkeypatch.delenv("WELLFIT_MIRROR", raising=False)
    stores = tmp_path_factory.mktemp("stores")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{stores}/mlflow.db")
    monkeypatch.setenv("WELLFIT_CACHE", str(stores / "cache"))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[], None]]:
    """Sends this process SIGINT, with Python's own handlers; a shell starts what is in the background without."""
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.fixture(scope="session")
def new_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow store to copy: to make one takes seconds."""
    from mlflow import MlflowClient  # here, so that a run without such tests does not wait for it

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path.parent)  # the experiment Default keeps its files where the store is made
        MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small processed data sets, as ``preprocess`` leaves them: moons (240 rows), diabetes, digits."""
    from wellfit.data.fetch import fetch
    from wellfit.data.prepare import prepare
    from wellfit.settings.params import load_params

    folder = tmp_path_factory.mktemp("data")
    for name in ("moons", "diabetes", "digits"):
        params = load_params(PARAMS_FILE, [f"data.name={name}", "data.n_samples=240"])
        fetch(params.data, params.fetch, folder / "raw")
        prepare(params.data, folder / "raw", folder / "processed")
    return folder / "processed"


@contextmanager
def working_in(folder: Path, store: Path) -> Iterator[None]:
    """Makes a folder the working folder of a project with an MLflow store at its root, a copy of ``store`` at first."""
    from wellfit import tracking
    from wellfit.tracking.store import open_client

    shutil.copy(store, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv(tracking.PARENT_RUN_VARIABLE, raising=False)
        open_client.cache_clear()
        yield
    open_client.cache_clear()


@pytest.fixture
def project(tmp_path: Path, new_store: Path) -> Iterator[Path]:
    """The working folder of a project of its own, with an MLflow store at its root."""
    with working_in(tmp_path, new_store):
        yield tmp_path


@contextmanager
def undrawn() -> Iterator[None]:
    """Charts are made and their files are written, without a picture: to lay out and draw takes most of a stage."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # here, as most tests draw nothing
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    blank = '<svg xmlns="http://www.w3.org/2000/svg" width="1pt" height="1pt"/>'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wellfit.charts.style._laid_out", nullcontext)
        patch.setattr(FigureCanvasAgg, "print_png", lambda _, file, **options: file.write(b""))
        patch.setattr(FigureCanvasSVG, "print_svg", lambda _, file, **options: file.write(blank))
        yield


@pytest.fixture(name="undrawn")
def _undrawn() -> Iterator[None]:
    with undrawn():
        yield


@pytest.fixture
def own_inductor(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is taken over from an earlier compilation."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("inductor")))
    import torch  # here, so that a run without such tests does not wait for it

    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def pytest_report_header() -> list[str]:
    """Says where settings of the user's own will make tests fail that are about those that are shipped."""
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", PARAMS_FILE], cwd=PARAMS_FILE.parent, check=False)
    return ["params.yaml is not as committed: tests of its defaults may fail"] if changed.returncode == 1 else []


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what this machine cannot run."""
    if item.get_closest_marker("real_data") and not os.environ.get("WELLFIT_MIRROR"):
        pytest.skip("WELLFIT_MIRROR is not set: the folder or URL of the data sets")
    if item.get_closest_marker("gpu"):
        import torch  # here, so that a run without such tests does not wait for it

        if not torch.cuda.is_available():
            pytest.skip("torch finds no CUDA device")
