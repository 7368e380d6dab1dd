"""A tenth of `make faults`, and that the harness tells what it is there to tell."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from .harness import Kind, Round, play
from .outcomes import EQUAL, Broken

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_tenth_of_the_faults() -> None:
    command = [sys.executable, "-m", "tests.faults", "--share", "0.1", "--seed", "15"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_fault_of_the_product_is_told_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn: list[float] = []

    def fails(now: Round) -> str:
        drawn.append(now.random.random())
        now.did.append("flip a.txt at 3")
        if len(drawn) == 2:
            raise Broken("other bytes")
        return EQUAL

    assert not play({"flips": Kind(fails, 3)}, {"flips": range(3)}, 7, tmp_path, template=None)
    out = capsys.readouterr().out
    assert "FAILED: flips, seed 7, round 1: flip a.txt at 3\n  other bytes" in out
    assert "make faults SEED=7 KIND=flips ROUND=1" in out
    assert [path.name for path in tmp_path.iterdir()] == ["flips-7-1"], "what failed is kept, and nothing else"
    assert drawn == [random.Random(f"flips 7 {number}").random() for number in range(3)], "a seed repeats a run"
    assert out.splitlines()[-1].split()[:4] == ["flips", "3", "2", "0"]
