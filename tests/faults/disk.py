"""The disk is full, in a folder that a stage writes to: told, or done without; with room, it comes to the same."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .harness import Round
from .outcomes import EQUAL, NO_EFFECT, SKIPPED, Broken
from .processes import call, no_run_is_open, one_line
from .project import COMMANDS, nothing_unfinished, outs, same

SIZE = 16 << 20  # bytes of the file system
FOLDERS = {
    "preprocess": ["data/processed"],
    "train": [".wellfit", "models", "reports", "mlartifacts"],
    "evaluate": ["models", "reports", "mlartifacts"],
    "predict": ["."],
}


def play(now: Round) -> str:
    stage = now.random.choice([*FOLDERS])
    project = now.template.copy(stage, now.folder)
    place, kib = project / now.random.choice(FOLDERS[stage]), now.random.choice([4, 16, 64, 256])
    now.did.append(f"{stage} with {kib} KiB left in {place.relative_to(project)}")
    with _full(place, kib) as is_mounted:
        if not is_mounted:
            return SKIPPED
        done = call(project, *COMMANDS.get(stage, (stage,)))
        nothing_unfinished(project)
        if not done.status:
            same(outs(project, stage), now.template.outs(stage))
            return EQUAL if "warning: " in done.err else NO_EFFECT
    outcome = one_line(done, "no space is left", "full")
    again = call(project, *COMMANDS.get(stage, (stage,)))
    if again.status:
        raise Broken(f"with room again: exit {again.status}: {again.err}")
    same(outs(project, stage), now.template.outs(stage))
    no_run_is_open(project / "mlflow.db")
    return outcome


@contextmanager
def _full(folder: Path, kib: int) -> Iterator[bool]:
    """Puts a nearly full file system in place of a folder, with what it has; False where that takes more rights."""
    folder.mkdir(parents=True, exist_ok=True)
    copy = Path(f"{folder.resolve()}.small")
    shutil.copytree(folder, copy)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        yield False
        return
    try:
        shutil.copytree(copy, folder, dirs_exist_ok=True)
        shutil.rmtree(copy)
        (folder / "filler").write_bytes(b"0" * (shutil.disk_usage(folder).free - kib * 1024))
        yield True
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
