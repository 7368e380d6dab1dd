"""The features stage: the weights that a pretrained network starts from, and what is computed of its frozen part.

Of a frozen network these are features, standardized, and of frozen stages the maps behind them as they are.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wellfit.data.features import BODY, Pretrained, features_folder, save_pretrained
from wellfit.data.fetch import fetch_weights
from wellfit.data.meta import SPLIT_NAMES, Meta, SplitName
from wellfit.data.scratch import forget
from wellfit.data.store import Split, load_array, load_meta, load_split, save_meta, save_split, write_array, x_file
from wellfit.errors import WellfitError
from wellfit.files import replacing, write_bytes
from wellfit.machine import GIB
from wellfit.manifest import file_sha256
from wellfit.settings.params import PARAMS_FILE, Params

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from wellfit.models.pretrained import Body, FrozenBody, FrozenStages

BATCH = 64  # images of a forward pass
FLOAT32_BYTES = 2**28  # of all maps, up to which they are kept in float32; more are kept in half of that
Splits = dict[SplitName, Split]


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
    from torch.nn import ModuleDict

    from wellfit.models.pretrained import Body, FrozenBody, FrozenStages, safetensors_of

    params.check_data(meta.kind, meta.task, len(meta.class_names))
    path, source = _weights(params)
    body = Body(params.model, meta.input_shape, path, download=True).eval()
    sha256 = file_sha256(path) if path else hashlib.sha256(safetensors_of(body.net)).hexdigest()
    print(f"weights of {params.model.name}: {source}, sha256 {sha256}")
    described: dict[str, Any] = {}
    if params.model.is_frozen:
        frozen = FrozenBody(params.model, meta.input_shape, body)
        described = _save_features(params, frozen, _splits(data_folder, meta), out)
        content = safetensors_of(frozen)
    elif params.model.has_features:
        content = safetensors_of(ModuleDict({"body": body}))  # with the last stages, which training begins with
        stages = FrozenStages(params.model, meta.input_shape, body)
        described = _save_maps(params, stages, _splits(data_folder, meta), out)
    else:
        content = safetensors_of(body)
    write_bytes(out / BODY, content)
    body_sha256 = file_sha256(out / BODY)
    if described:
        _save_meta(out, meta, described, body_sha256, _copies(params, "train"))
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


def _splits(data_folder: Path, meta: Meta) -> Splits:
    return {name: load_split(data_folder, meta, name) for name in SPLIT_NAMES}


def _save_features(params: Params, frozen: FrozenBody, splits: Splits, out: Path) -> dict[str, Any]:
    """Writes the features of all splits, standardized as those of the training rows are; what ``meta.json`` says."""
    import torch

    raw = {
        name: torch.cat([each for _, each in parts])
        for name, parts in groupby(_outputs(params, frozen.body, splits), itemgetter(0))
    }
    std, mean = torch.std_mean(raw["train"].double(), 0, correction=0)
    frozen.center.copy_(mean)
    frozen.scale.copy_(torch.where(std > 0, std, 1.0))
    manifest: dict[str, str] = {}
    for name, outputs in raw.items():
        manifest |= save_split(out, name, _with_features(splits[name], frozen.standardized(outputs).numpy()))
    return {"kind": "features", "input_shape": frozen.shape, "manifest": manifest}


def _save_maps(params: Params, stages: FrozenStages, splits: Splits, out: Path) -> dict[str, Any]:
    """Writes the maps of all splits; what ``meta.json`` says."""
    numbers = sum(_rows(params, name, split) for name, split in splits.items()) * math.prod(stages.shape)
    kinds: list[np.dtype[Any]] = [np.dtype(np.float16), np.dtype(np.float32)]
    for dtype in kinds[1:] if 4 * numbers <= FLOAT32_BYTES else kinds:
        print(f"maps of {' x '.join(map(str, stages.shape))} in {dtype}: {numbers * dtype.itemsize / GIB:.2f} GiB")
        manifest: dict[str, str] = {}
        try:
            for name, parts in groupby(_outputs(params, stages, splits), itemgetter(0)):
                shape = (_rows(params, name, splits[name]), *stages.shape)
                arrays = (_as(dtype, each) for _, each in parts)
                manifest[x_file(name)] = write_array(out / x_file(name), shape, dtype, arrays)
        except FloatingPointError:
            print("numbers are too large for float16")
            continue
        break
    for name, split in splits.items():
        manifest |= save_split(out, name, _with_features(split, load_array(out / x_file(name))), written=manifest)
    return {"kind": "maps", "input_shape": stages.shape, "manifest": manifest}


def _as(dtype: np.dtype[Any], maps: Tensor) -> NDArray[Any]:
    """Maps as numbers of another kind.

    Raises:
        FloatingPointError: one is too large for it.
    """
    with np.errstate(over="raise"):
        return maps.contiguous().numpy().astype(dtype)


def _rows(params: Params, name: SplitName, split: Split) -> int:
    """Rows of a split and of the copies of them."""
    return len(split.y) * (1 + _copies(params, name))


def _copies(params: Params, name: SplitName) -> int:
    return (params.model.feature_copies or 0) if name == "train" else 0


def _outputs(params: Params, network: Body | FrozenStages, splits: Splits) -> Iterator[tuple[SplitName, Tensor]]:
    """What a network puts out of the images of all splits, batch by batch."""
    import torch

    from wellfit.progress import Progress
    from wellfit.training.runtime import be_deterministic, choose_device, set_threads

    be_deterministic()
    device = choose_device(params.train.device)
    set_threads(params.train.threads, float("inf"))
    network.to(device)
    total, done = sum(_rows(params, name, split) for name, split in splits.items()), 0
    with Progress("features", total, "image") as progress:
        for name, split in splits.items():
            for batch in _batches(params, split, _copies(params, name)):
                with torch.inference_mode():
                    outputs = network(batch.to(device)).cpu()
                yield name, outputs
                done += len(batch)
                progress.show(done, {})
    network.cpu()


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


def _with_features(split: Split, features: NDArray[Any]) -> Split:
    """A split whose x are features, or maps, of its rows and then of copies of them."""
    repeats = len(features) // max(1, len(split.y))
    y, ids = np.tile(split.y, repeats), np.tile(split.ids, repeats)
    return Split(features, y, ids, None if split.weights is None else np.tile(split.weights, repeats), split.folds)


def _save_meta(out: Path, meta: Meta, described: dict[str, Any], body_sha256: str, copies: int) -> None:
    """Makes a processed data set of the features or maps, bound to what has made them."""
    copied = 1 + copies
    described |= {
        "mean": (),
        "std": (),
        "split_sizes": meta.split_sizes | {"train": copied * meta.split_sizes["train"]},
        "class_counts": tuple(copied * count for count in meta.class_counts),
        "manifest": {BODY: body_sha256} | described["manifest"],
    }
    save_meta(out, meta.model_copy(update=described))
