"""A stage, or its group, is killed while trials or epochs run; run again, it comes to what it would have come to."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from .damage import damage, is_complete
from .harness import Round
from .outcomes import EQUAL, NO_EFFECT, Broken
from .processes import Done, call, no_run_is_open, none_left, start, wait
from .project import nothing_unfinished, outs, same

# What is there once the stage has begun its proper work.
SIGNS = {"train": ".wellfit/resume/*/snapshot.safetensors", "tune": ".wellfit/records/*/*/trials/*"}
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
INTERRUPTED = {signal.SIGTERM: 143, signal.SIGINT: 130}


def play(now: Round) -> str:
    stage = now.random.choice(["train", "train", "tune", "evaluate"])
    project = now.template.copy(stage, now.folder)
    killed, intact = False, True
    for _ in range(now.random.choice([1, 1, 2, 3])):
        killed |= _kill(now, stage, project)
        for snapshot in project.glob(SIGNS["train"]):
            if now.random.random() < 0.2:
                damage(now, snapshot, project)
                intact = False
    done = call(project, stage)
    if done.status:
        raise Broken(f"{stage} after it: exit {done.status}: {done.err}")
    no_run_is_open(project / "mlflow.db")
    nothing_unfinished(project)
    if stage == "tune":
        is_complete(project)
    if stage != "tune" or intact:  # without a snapshot, trials train beside others, and round otherwise
        same(outs(project, stage), now.template.outs(stage))
    return EQUAL if killed else NO_EFFECT


def _kill(now: Round, stage: str, project: Path) -> bool:
    signum, group = now.random.choice(SIGNALS), now.random.random() < 0.5
    delay = now.random.uniform(0.0, 0.4 * now.template.seconds[stage])
    now.did.append(f"{signum.name} to {'the group of ' if group else ''}{stage} {delay:.3f} s after its first sign")
    pid = start(project, stage)
    done = None
    if sign := SIGNS.get(stage):
        done = wait(pid, project, lambda: any(project.glob(sign)))
    end = time.monotonic() + delay
    done = done or wait(pid, project, lambda: time.monotonic() > end)
    if done is None:
        with suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(pid, signum)
        done = wait(pid, project)
    assert done is not None
    none_left(project)
    return _ended_by(done, signum)


def _ended_by(done: Done, signum: signal.Signals) -> bool:
    """Whether the signal came before the end; checks how the stage ended."""
    if done.status == 0:
        return False
    expected = -signum if signum == signal.SIGKILL else INTERRUPTED[signum]
    lines = [line for line in done.err.splitlines() if line and not line.startswith("warning: ")]
    if done.status != expected or len(lines) > 1:
        raise Broken(f"exit {done.status} after {signum.name}: {done.err[-2000:]!r}")
    return True
