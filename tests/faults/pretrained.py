"""What is computed of a frozen part of a network is killed on its way, or damaged before it is read."""

import os
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

from ..serving.own import image_folder
from .damage import damage
from .harness import Round
from .outcomes import EQUAL, NO_EFFECT, Broken
from .processes import call, no_run_is_open, one_line, run, start, wait
from .project import SMALL, Content, nothing_unfinished, same, write_params

NAME = "test_efficientnet"  # of timm: 100,000 weights
IMAGES = [
    *(each for each in SMALL if not each.startswith(("data.", "tune.", "train.epochs"))),
    *("data.name=images", "data.path=own", "data.image_size=null", f"model.name=timm/{NAME}"),
    *(
        "model.weights=weights.safetensors",
        "model.freeze=partial",
        "model.partial=2",
        "model.input_size=32",
        "data.augment=[{flip_horizontal: 1.0}]",
    ),
    *("model.feature_copies=1", "train.epochs=2", "schedule.warmup_epochs=0", "tune.enabled=false"),
]
FEATURES = "data/features/images"
OUTS = {"features": [f"{FEATURES}/*"], "train": ["reports/train/*.*", "models/*.safetensors"]}
OUTS["evaluate"] = ["reports/evaluate/*.*", "models/images/*"]


def play(now: Round) -> str:
    kept = now.folder.parent / "pretrained"
    if not kept.exists():
        _make(kept)
    return (_kill if now.random.random() < 0.5 else _damage)(now, kept)


def _kill(now: Round, kept: Path) -> str:
    project = _copy(kept / now.random.choice(["before", "end"]), now)
    delay = now.random.uniform(0.0, 1.5)
    now.did.append(f"SIGKILL to features {delay:.3f} s after its start")
    pid = start(project, "features")
    end = time.monotonic() + delay
    if done := wait(pid, project, lambda: time.monotonic() > end):
        killed = False
    else:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        done = wait(pid, project)
        killed = done is not None and done.status == -signal.SIGKILL
    done = call(project, "features")
    if done.status:
        raise Broken(f"features after it: exit {done.status}: {done.err}")
    nothing_unfinished(project)
    same(_outs(project, "features"), _outs(kept / "end", "features"))
    return EQUAL if killed else NO_EFFECT


def _damage(now: Round, kept: Path) -> str:
    project, stage = _copy(kept / "end", now), now.random.choice(["train", "evaluate"])
    file = now.random.choice(sorted((project / FEATURES).iterdir()))
    damage(now, file, project)
    before = _outs(project, stage)
    done = call(project, stage)
    nothing_unfinished(project)
    no_run_is_open(project / "mlflow.db")
    if done.status:
        same(_outs(project, stage), before)
        return one_line(done, file.name, FEATURES)
    same(_outs(project, stage), _outs(kept / "end", stage))
    return NO_EFFECT


def _make(kept: Path) -> None:
    """A project before the stage, and at its end."""
    project = kept / "project"
    project.mkdir(parents=True)
    write_params(project, *IMAGES)
    image_folder(project / "own", n=24)
    run(project, lambda: _write_weights(project / "weights.safetensors"))
    for stage in ("fetch", "preprocess", "features", "tune", "train", "evaluate"):
        if stage == "features":
            shutil.copytree(project, kept / "before")
        done = call(project, stage)
        if done.status:
            raise RuntimeError(f"{stage}: {done.err}")
    shutil.copytree(project, kept / "end")


def _write_weights(file: Path) -> None:
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    save_file(timm.create_model(NAME).state_dict(), file)


def _copy(kept: Path, now: Round) -> Path:
    return Path(shutil.copytree(kept, now.folder / "project"))


def _outs(project: Path, stage: str) -> Content:
    files = sorted(path for pattern in OUTS[stage] for path in project.glob(pattern) if path.is_file())
    return {path.relative_to(project).as_posix(): path.read_bytes() for path in files}
