"""What a container, or an affinity, leaves to a process of the cores and the memory of its machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wellfit import machine

CORES = """
import os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from wellfit.machine import core_count
print(core_count())
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_cores_are_those_of_the_affinity() -> None:
    done = subprocess.run([sys.executable, "-c", CORES], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_nothing_counts_the_cores_of_the_host() -> None:
    root = Path(__file__).parents[1]
    files = [path for folder in ("src", "benchmarks", "pipelines") for path in (root / folder).rglob("*.py")]
    assert not [path for path in files if "os.cpu_count" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize(("limit", "bytes_there"), [("1048576\n", 2**20), ("max\n", None), (f"{2**63}\n", None)])
def test_memory_is_that_of_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, bytes_there: int | None
) -> None:
    of_machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    (tmp_path / "memory.max").write_text(limit)
    monkeypatch.setattr(machine, "MEMORY_LIMITS", (str(tmp_path / "memory.max"), str(tmp_path / "no such file")))
    assert machine.memory_bytes() == (bytes_there or of_machine)
