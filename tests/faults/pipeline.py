"""``dvc repro`` is killed, with its group or alone; repeated, it comes to its end, and nothing of the first goes on."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from ..conftest import ROOT
from .damage import is_complete
from .harness import Round
from .kills import SIGNALS
from .outcomes import EQUAL, NO_EFFECT, Broken
from .processes import no_run_is_open, none_left
from .project import nothing_unfinished, outs, same

SIGNS = ("data/processed/moons", ".wellfit/records/*/*/trials/*", ".wellfit/resume/*/lock", "reports/train/history.csv")
SECONDS = 600.0


def play(now: Round) -> str:
    project = now.template.copy("fetch", now.folder)
    for name in ("src", "pipelines", "data/own"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, project)
    (project / ".dvc").mkdir()
    (project / ".dvc/config").write_text(f"[core]\n no_scm = true\n site_cache_dir = {now.folder}/site\n")
    sign, signum, group = now.random.choice(SIGNS), now.random.choice(SIGNALS), now.random.random() < 0.5
    delay = now.random.uniform(0.0, 3.0)
    now.did.append(f"{signum.name} to {'the group of ' if group else ''}dvc repro {delay:.2f} s after {sign}")
    first = _repro(project)
    end = time.monotonic() + SECONDS
    while first.poll() is None and not any(project.glob(sign)) and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(delay)
    killed = first.poll() is None
    if killed:
        (os.killpg if group else os.kill)(first.pid, signum)
    first.wait(SECONDS)
    none_left(project)
    again = _repro(project)
    if again.wait(SECONDS):
        raise Broken(f"dvc repro after it: exit {again.returncode}: {(now.folder / 'log').read_text()[-2000:]}")
    none_left(project)
    no_run_is_open(project / "mlflow.db")
    nothing_unfinished(project)
    is_complete(project)
    for stage in ("preprocess", "baseline"):
        same(outs(project, stage), now.template.outs(stage))
    if not outs(project, "evaluate"):
        raise Broken("dvc repro ended without the outs of evaluate")
    return EQUAL if killed else NO_EFFECT


def _repro(project: Path) -> subprocess.Popen[bytes]:
    python = Path(sys.executable)
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "VIRTUAL_ENV": str(python.parents[1]), "DVC_NO_ANALYTICS": "1"}
    with (project.parent / "log").open("ab") as log:
        command = ["dvc", "repro"]
        return subprocess.Popen(command, cwd=project, env=environment, stdout=log, stderr=log, start_new_session=True)
