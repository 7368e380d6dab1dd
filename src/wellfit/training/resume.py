"""A training that goes on where it was stopped: from time to time, its state between two epochs is written."""

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from filelock import FileLock, Timeout
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten, treespec_dumps, treespec_loads

from wellfit.errors import WellfitError
from wellfit.files import project_root
from wellfit.interruptions import is_pending
from wellfit.settings.params import Params
from wellfit.training.checkpoint import load_checkpoint, save_checkpoint
from wellfit.training.record import code_digests, resolved_config
from wellfit.training.setup import TrainingData

SECONDS, SHARE = 10.0, 0.01  # between two snapshots at least, and of the training's time that they may take
STALE_SECONDS = 30 * 24 * 3600.0  # since a snapshot that nobody has gone on from
SNAPSHOT, LOCK = "snapshot.safetensors", "lock"
# What decides how a training goes on; with an edit elsewhere it comes to the same.
CODE = ("data/augment", "data/meta.py", "data/store.py", "metrics", "models", "stages/train.py", "training")

State = dict[str, Any]


class Snapshots:
    """The snapshot of a training, which each later one replaces; a context manager.

    Where another process has the same training under way, there are none.

    Args:
        folder: of this training alone, as `resume_folder` has it.
        seconds: from one snapshot to the next, at least.
        share: of the time that snapshots may take.
    """

    def __init__(self, folder: Path, *, seconds: float = SECONDS, share: float = SHARE) -> None:
        self._folder, self._seconds, self._share = folder, seconds, share
        self._lock = FileLock(folder / LOCK)
        self._cost = 0.0  # of the last one, in seconds
        self._last = time.monotonic()

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        for other in self._folder.parent.iterdir():
            with suppress(FileNotFoundError):  # another process has removed its own
                if other != self._folder and time.time() - other.stat().st_mtime > STALE_SECONDS:
                    shutil.rmtree(other, ignore_errors=True)
        with suppress(Timeout):
            self._lock.acquire(timeout=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock.is_locked:
            (self._folder / LOCK).unlink(missing_ok=True)
            self._lock.release()
            with suppress(OSError):  # it has something to go on with
                self._folder.rmdir()

    @property
    def folder(self) -> Path | None:
        """What belongs to the training and must outlive its end; None where another process has it."""
        return self._folder if self._lock.is_locked else None

    @property
    def shown(self) -> str:
        """The folder, as a message names it."""
        return self._folder.relative_to(project_root()).as_posix()

    def load(self) -> State | None:
        """What :meth:`save` was given last, tensors on the CPU; None, and a line, where it is damaged."""
        path = self._folder / SNAPSHOT
        if not self._lock.is_locked or not path.is_file():
            return None
        try:
            return _restored(*load_checkpoint(path))
        except WellfitError:
            print(f"warning: {path} is damaged (its sha256 does not match): training begins anew", file=sys.stderr)
            path.unlink()
            return None

    def offer(self, state: Callable[[], State]) -> None:
        """Writes a snapshot where it is time for one, or where an interruption waits.

        Args:
            state: of the training, between two epochs: dicts, lists and tuples of tensors and of what JSON knows.
        """
        waited = time.monotonic() - self._last
        if is_pending() or (waited >= self._seconds and waited * self._share >= self._cost):
            self.save(state())

    def save(self, state: State) -> None:
        """Writes a snapshot now."""
        if not self._lock.is_locked:
            return
        started = time.monotonic()
        try:
            save_checkpoint(self._folder / SNAPSHOT, *_parts(state))
        except OSError as error:  # of a full disk: it costs the training nothing
            print(f"warning: no snapshot to go on from was written: {error}", file=sys.stderr)
        self._last = time.monotonic()
        self._cost = self._last - started

    def remove(self) -> None:
        """Removes what there is to go on with: the training has ended."""
        if self._lock.is_locked:
            for path in self._folder.iterdir():
                if path.name != LOCK:
                    path.unlink()


def resume_folder(params: Params, data: TrainingData, *others: object) -> Path:
    """The folder of all trainings that come to the same, whose name no other settings, data or code have.

    Args:
        params: the configuration.
        data: what it trains on.
        others: settings that decide what is kept of it.
    """
    same = [resolved_config(params), data.meta.sha256, data.train.device.type, code_digests(*CODE), others]
    return folder_of(same)


def folder_of(same: object) -> Path:
    """The folder of what goes on where the same is done again, on the same version of torch.

    Args:
        same: all that decides what is done, as JSON can hold it.
    """
    text = json.dumps([torch.__version__, same], sort_keys=True)
    return project_root() / ".wellfit" / "resume" / hashlib.sha256(text.encode()).hexdigest()[:16]


def _parts(state: State) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A tree as tensors by name and as what JSON can hold."""
    leaves, tree = tree_flatten(state)
    tensors = {str(number): leaf for number, leaf in enumerate(leaves) if isinstance(leaf, Tensor)}
    others = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    # As text of its own: with NaN and infinity, which a header of JSON may not have.
    return tensors, {"tree": treespec_dumps(tree), "leaves": json.dumps(others)}


def _restored(tensors: dict[str, Tensor], info: dict[str, str]) -> State:
    others = json.loads(info["leaves"])
    leaves = [tensors.get(str(number), leaf) for number, leaf in enumerate(others)]
    state: State = tree_unflatten(leaves, treespec_loads(info["tree"]))
    return state
