"""The features stage: the weights that a pretrained network starts from, and the features of a frozen one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wellfit.data.features import BODY, Pretrained, features_folder, save_pretrained
from wellfit.data.fetch import fetch_weights
from wellfit.data.meta import SPLIT_NAMES, Meta
from wellfit.data.scratch import forget
from wellfit.data.store import Split, load_meta, load_split, save_meta, save_split
from wellfit.errors import WellfitError
from wellfit.files import replacing, write_bytes
from wellfit.manifest import file_sha256
from wellfit.settings.params import PARAMS_FILE, Params

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from wellfit.models.pretrained import Body, FrozenBody

BATCH = 64  # images of a forward pass


def features(params: Params, data_folder: Path) -> None:
    """Writes ``data/features/<name>/``: see `wellfit.data.features`.

    Args:
        params: the configuration.
        data_folder: ``data/processed/<name>``.

    Raises:
        WellfitError: missing data, or weights that cannot be had or do not fit.
    """
    out = features_folder(data_folder)
    with replacing(out) as new:
        if not params.model.is_pretrained:
            save_pretrained(new, None)
            print(f"nothing to do: model.name {params.model.name} starts from random weights")
            return
        _write(params, load_meta(data_folder), data_folder, new)
    print(f"the pretrained network is in {out}")


def _write(params: Params, meta: Meta, data_folder: Path, out: Path) -> None:
    from wellfit.models.pretrained import Body, FrozenBody, safetensors_of

    params.check_data(meta.kind, meta.task, len(meta.class_names))
    path, source = _weights(params)
    body = Body(params.model, meta.input_shape, path, download=True).eval()
    sha256 = file_sha256(path) if path else hashlib.sha256(safetensors_of(body.net)).hexdigest()
    print(f"weights of {params.model.name}: {source}, sha256 {sha256}")
    network: Body | FrozenBody = body
    arrays: dict[str, Split] = {}
    if params.model.is_frozen:
        network, arrays = _compute(params, meta, data_folder, FrozenBody(params.model, meta.input_shape, body))
    write_bytes(out / BODY, safetensors_of(network))
    body_sha256 = file_sha256(out / BODY)
    if arrays:
        _save_data_set(out, arrays, meta, body_sha256)
    said = Pretrained(params.pretrained_settings, meta.sha256, source, sha256, body_sha256)
    save_pretrained(out, said)


def _weights(params: Params) -> tuple[Path | None, str]:
    """The file of the weights, None where timm is to download them, and what to call their place."""
    chosen = params.model.weights
    if chosen != "pretrained":
        path = Path(chosen).expanduser()
        if path.suffix != ".safetensors":
            raise WellfitError(
                f"model.weights must be pretrained, random or a file of safetensors, got {chosen} ({PARAMS_FILE})"
            )
        if not path.is_file():
            raise WellfitError(f"model.weights: {chosen} not found ({PARAMS_FILE})")
        return path, chosen
    file = f"{params.model.name.partition('/')[2]}.safetensors"
    found = fetch_weights(file, params.fetch)
    return (found, f"weights/{file} of the mirror") if found else (None, "downloaded by timm")


def _compute(params: Params, meta: Meta, data_folder: Path, frozen: FrozenBody) -> tuple[FrozenBody, dict[str, Split]]:
    """The features of all splits, standardized as those of the training rows are."""
    import torch

    from wellfit.progress import Progress
    from wellfit.training.runtime import be_deterministic, choose_device, set_threads

    be_deterministic()
    device = choose_device(params.train.device)
    set_threads(params.train.threads, float("inf"))
    frozen.to(device)
    splits = {name: load_split(data_folder, meta, name) for name in SPLIT_NAMES}
    copies = params.model.feature_copies
    total = sum(len(split.y) * (1 + copies * (name == "train")) for name, split in splits.items())
    raw: dict[str, Tensor] = {}
    with Progress("features", total, "image") as progress, torch.inference_mode():
        done = 0
        for name, split in splits.items():
            parts = []
            for batch in _batches(params, split, copies if name == "train" else 0):
                parts.append(frozen.body(batch.to(device)).cpu())
                done += len(batch)
                progress.show(done, {})
            raw[name] = torch.cat(parts)
        frozen.cpu()
        std, mean = torch.std_mean(raw["train"].double(), 0, correction=0)
        frozen.center.copy_(mean)
        frozen.scale.copy_(torch.where(std > 0, std, 1.0))
        standardized = {name: frozen.standardized(each).numpy() for name, each in raw.items()}
    return frozen, {name: _with_features(splits[name], standardized[name]) for name in SPLIT_NAMES}


def _batches(params: Params, split: Split, copies: int) -> Iterator[Tensor]:
    """The images of a split, and then augmented copies of all of them."""
    import torch

    from wellfit.data.augment.apply import Augment

    augment = Augment(params.data.augment, params.data.seed) if copies else None
    for copy in range(1 + copies):
        for start in range(0, len(split.x), BATCH):
            batch = torch.tensor(split.x[start : start + BATCH])
            forget(split.x)
            yield augment(batch) if augment and copy else batch


def _with_features(split: Split, features: NDArray[np.float32]) -> Split:
    """A split whose x are features, of its rows and then of copies of them."""
    repeats = len(features) // max(1, len(split.y))
    y, ids = np.tile(split.y, repeats), np.tile(split.ids, repeats)
    return Split(features, y, ids, None if split.weights is None else np.tile(split.weights, repeats), split.folds)


def _save_data_set(out: Path, arrays: dict[str, Split], meta: Meta, body_sha256: str) -> None:
    """Writes the features as a processed data set, bound to what has made them."""
    manifest = {BODY: body_sha256}
    for name in SPLIT_NAMES:
        manifest |= save_split(out, name, arrays[name])
    width = arrays["train"].x.shape[1]
    sizes = {name: len(arrays[name].y) for name in SPLIT_NAMES}
    copied = sizes["train"] // meta.split_sizes["train"]
    described = {
        "kind": "features",
        "input_shape": (width,),
        "mean": (0.0,) * width,
        "std": (1.0,) * width,
        "split_sizes": sizes,
        "class_counts": tuple(copied * count for count in meta.class_counts),
        "manifest": manifest,
    }
    save_meta(out, meta.model_copy(update=described))
