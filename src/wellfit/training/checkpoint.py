"""Checkpoints: one safetensors file that carries its own sha256, replaced as a whole or not at all."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from wellfit.errors import WellfitError
from wellfit.files import from_json, write_bytes
from wellfit.training.record import NO_CHECKPOINTS


class Checkpoint(NamedTuple):
    """Weights by name and what is known of them: config, epoch, metrics."""

    weights: dict[str, Tensor]
    info: dict[str, Any]


def save_checkpoint(
    path: Path, weights: Mapping[str, Tensor], info: Mapping[str, Any], *, durable: bool = True
) -> None:
    """Writes a checkpoint so that a reader, or a crash, finds the old file or the new one.

    Args:
        path: the file to make or replace; the folder is made.
        weights: tensors by name.
        info: what JSON can hold, stored in the file's header with the sha256 of all of it.
        durable: whether to wait until the disk has it.
    """
    contents = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    header = json.dumps(dict(info), sort_keys=True, allow_nan=False)
    # One key: safetensors writes several in an order that changes from run to run.
    wellfit = json.dumps({"info": header, "sha256": _digest(contents, header)}, sort_keys=True)
    write_bytes(path, save(contents, metadata={"wellfit": wellfit}), durable=durable)


def load_checkpoint(path: Path, made_by: str = "train") -> Checkpoint:
    """Reads a checkpoint onto the CPU.

    Args:
        path: the file.
        made_by: the stage that makes it, for the message.

    Raises:
        WellfitError: the file is missing, not a checkpoint, or not what was written.
    """
    if not path.is_file():
        raise WellfitError(f"{path} not found: `dvc repro {made_by}` makes it")
    damaged = WellfitError(f"{path} is damaged (its sha256 does not match): delete it and run `dvc repro {made_by}`")
    try:
        with safe_open(path, framework="pt") as file:
            wellfit = from_json(file.metadata()["wellfit"])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        header, sha256 = str(wellfit["info"]), wellfit["sha256"]
    except (SafetensorError, KeyError, TypeError, ValueError):
        raise damaged from None
    if _digest(weights, header) != sha256:
        raise damaged
    return Checkpoint(weights, from_json(header))


def save_checkpoints(path: Path, checkpoints: Sequence[Checkpoint]) -> None:
    """Writes several checkpoints as one file that appears as a whole; of none a file that says so."""
    if not checkpoints:
        write_bytes(path, NO_CHECKPOINTS)
        return
    tensors = {f"{number}/{name}": t for number, each in enumerate(checkpoints) for name, t in each.weights.items()}
    save_checkpoint(path, tensors, {"checkpoints": [each.info for each in checkpoints]})


def load_checkpoints(path: Path, made_by: str = "train") -> list[Checkpoint]:
    """Reads what :func:`save_checkpoints` wrote; arguments and errors as of :func:`load_checkpoint`."""
    if path.is_file() and path.stat().st_size == len(NO_CHECKPOINTS) and path.read_bytes() == NO_CHECKPOINTS:
        return []
    together = load_checkpoint(path, made_by)
    weights: list[dict[str, Tensor]] = [{} for _ in together.info["checkpoints"]]
    for key, tensor in together.weights.items():
        number, _, name = key.partition("/")
        weights[int(number)][name] = tensor
    return [Checkpoint(own, info) for own, info in zip(weights, together.info["checkpoints"], strict=True)]


def _digest(weights: Mapping[str, Tensor], header: str) -> str:
    sha256 = hashlib.sha256(header.encode())
    for name in sorted(weights):
        tensor = weights[name]
        sha256.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha256.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return sha256.hexdigest()
