"""The near end of the publisher's pipe."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from wellfit import tracking
from wellfit.data.meta import Meta
from wellfit.tracking import Publisher

MODULE = "wellfit.compare.publish"


def test_what_is_not_opened_leaves_nothing(project: Path) -> None:
    with Publisher(MODULE):
        pass
    assert MlflowClient(tracking.store_uri()).get_experiment_by_name("wellfit") is None


def test_handing_over_never_waits() -> None:
    with Publisher(MODULE) as publisher:
        publisher._process.send_signal(signal.SIGSTOP)  # nobody reads
        for _ in range(2000):  # more than a pipe holds
            publisher.add(Path("/nowhere" * 10))
        waits = len(publisher._unsent)
        publisher._process.kill()
    assert waits > 0


def test_what_cannot_be_published_is_a_warning(
    project: Path, meta: Meta, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A publisher that dies is begun anew, once."""
    with Publisher("wellfit.nothing") as publisher:
        publisher.open("compare", "compare small", meta, {}, {}, {})
        publisher._process.wait()
        publisher.add(project / "nowhere")
        publisher.finish(project, "compare", {}, "")
    err = capfd.readouterr().err
    assert "warning: the publisher ended with status 1; begun anew" in err
    assert err.rstrip().endswith("warning: the publisher ended with status 1; MLflow lacks a part")


@pytest.mark.parametrize("module", [MODULE, "wellfit.tuning.publish"])
def test_its_process_does_without_torch(module: str) -> None:
    """Three seconds and 300 MB, beside a training that wants all cores."""
    text = f"import sys, {module}; print([name for name in ('torch', 'sklearn', 'pandas') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout == "[]\n"
