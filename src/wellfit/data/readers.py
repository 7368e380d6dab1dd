"""Raw files as arrays, checked for damage."""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.data.catalog import CATALOG, Entry, has_digest
from wellfit.errors import WellfitError

IDX_UNSIGNED_BYTE = 0x08  # third byte of the magic number, http://yann.lecun.com/exdb/mnist/
ANEW = "`dvc repro --force fetch` gets it anew"


class RawData(NamedTuple):
    """A whole data set.

    Attributes:
        x: uint8 (n, channels, height, width) images, or float32 (n, features) in raw units.
        y: int64 (n,) class indices, or float32 (n,) targets.
        first_test_row: where the publisher's test rows begin; None where the publisher made no split.
        feature_names: one per column; empty for images.
        class_names: by class index; empty for a regression.
        target_name: what y means.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    first_test_row: int | None
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    target_name: str


def read_raw(name: str, folder: Path) -> RawData:
    """Reads a data set that `wellfit.data.fetch.fetch` has written.

    Args:
        name: of the data set.
        folder: its own folder, such as ``data/raw/digits``.

    Raises:
        WellfitError: a file is missing, damaged, or holds a value that is not a finite number.
    """
    entry = CATALOG[name]
    return _read_published(entry, folder) if entry.files else _read_bundled(entry, folder)


def read_idx(path: Path, axes: int) -> NDArray[np.uint8]:
    """Reads an unpacked IDX file of unsigned bytes.

    Args:
        path: the file.
        axes: how many the array must have: 3 for images, 1 for labels.

    Raises:
        WellfitError: the header is not that of such a file, or the length does not fit it.
    """
    content = np.fromfile(path, dtype=np.uint8)
    if len(content) < 4:
        raise WellfitError(f"{path} is damaged: {len(content)} bytes are too few for an IDX header; {ANEW}")
    magic = content[:4].tolist()
    if magic != [0, 0, IDX_UNSIGNED_BYTE, axes]:
        expected = bytes([0, 0, IDX_UNSIGNED_BYTE, axes]).hex()
        raise WellfitError(f"{path} is damaged: it must begin with {expected}, got {bytes(magic).hex()}; {ANEW}")
    header = 4 + 4 * axes
    shape = tuple(int(length) for length in content[4:header].view(">u4")) if len(content) >= header else ()
    if len(shape) != axes or len(content) - header != math.prod(shape):
        raise WellfitError(f"{path} is damaged: {len(content)} bytes do not fit the shape {shape} it claims; {ANEW}")
    return content[header:].reshape(shape)


def _read_published(entry: Entry, folder: Path) -> RawData:
    for file in entry.files:
        _verify(folder / file.name, file.digest)
    train_x, train_y, test_x, test_y = (
        read_idx(folder / file.name, axes=3 if "images" in file.name else 1) for file in entry.files
    )
    for part, x, y in (("train", train_x, train_y), ("t10k", test_x, test_y)):
        if len(x) != len(y) or x.shape[1:] != train_x.shape[1:]:
            raise WellfitError(f"{folder}: {part} images {x.shape} and labels {y.shape} do not fit together; {ANEW}")
    images = np.concatenate([train_x, test_x])[:, np.newaxis]
    labels = _class_indices(np.concatenate([train_y, test_y]), entry.class_names, folder)
    return RawData(images, labels, len(train_x), (), entry.class_names, entry.target_name)


def _read_bundled(entry: Entry, folder: Path) -> RawData:
    try:
        names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
        features, classes, target = names["feature_names"], names["class_names"], names["target_name"]
        hashes = {file: names["sha256"][file] for file in ("x.npy", "y.npy")}
    except (FileNotFoundError, NotADirectoryError):
        raise WellfitError(f"{folder / 'names.json'} not found; `dvc repro fetch` makes it") from None
    except (ValueError, KeyError, TypeError):
        raise WellfitError(f"{folder / 'names.json'} is damaged; {ANEW}") from None
    x, y = (_read_npy(folder / file, sha256) for file, sha256 in hashes.items())
    if len(x) != len(y) or x.ndim != (4 if entry.kind == "images" else 2) or y.ndim != 1:
        raise WellfitError(f"{folder}: x.npy {x.shape} and y.npy {y.shape} do not fit together; {ANEW}")
    if entry.kind == "table":
        if x.shape[1] != len(features):
            raise WellfitError(f"{folder}: x.npy has {x.shape[1]} columns, names.json {len(features)} names; {ANEW}")
        x = _finite_float32(x, folder / "x.npy", features)
    is_regression = entry.task == "regression"
    y = _finite_float32(y, folder / "y.npy", [target]) if is_regression else _class_indices(y, classes, folder)
    return RawData(x, y, None, tuple(features), tuple(classes), target)


def _read_npy(path: Path, sha256: str) -> NDArray[Any]:
    _verify(path, f"sha256:{sha256}")
    array: NDArray[Any] = np.load(path, allow_pickle=False)
    return array


def _verify(path: Path, digest: str) -> None:
    try:
        intact = has_digest(path, digest)
    except (FileNotFoundError, NotADirectoryError):
        raise WellfitError(f"{path} not found; `dvc repro fetch` makes it") from None
    if not intact:
        raise WellfitError(f"{path} is damaged (its digest is not the one it was fetched with); {ANEW}")


def _finite_float32(values: NDArray[Any], path: Path, names: list[str]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        converted = values.astype(np.float32)
    if not np.isfinite(converted).all():
        row, column = np.argwhere(~np.isfinite(converted.reshape(len(converted), -1)))[0]
        value = values.reshape(len(values), -1)[row, column]
        raise WellfitError(f"{path} row {row}, {names[column]}: must be a finite float32 number, got {value:g}")
    return converted


def _class_indices(y: NDArray[Any], class_names: tuple[str, ...], folder: Path) -> NDArray[np.int64]:
    wrong = np.flatnonzero((y < 0) | (y >= len(class_names)))
    if wrong.size:
        raise WellfitError(
            f"{folder} row {wrong[0]}: class must be 0 to {len(class_names) - 1}, got {y[wrong[0]]}; {ANEW}"
        )
    return y.astype(np.int64)
