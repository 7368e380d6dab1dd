"""Raw files as arrays, checked for damage."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wellfit.data.catalog import CATALOG, Entry, has_digest
from wellfit.data.cifar import read_cifar10
from wellfit.data.config import DataConfig
from wellfit.data.images import read_image_folder
from wellfit.data.own_table import read_own_table
from wellfit.data.published import read_adult, read_california
from wellfit.data.raw import RawData, published_splits
from wellfit.errors import WellfitError

IDX_UNSIGNED_BYTE = 0x08  # third byte of the magic number, http://yann.lecun.com/exdb/mnist/
BINARY_FROM, BINARY_CLASSES = 5, ("0 to 4", "5 to 9")  # mnist and fashion_mnist with data.task binary
ANEW = "`dvc repro --force fetch` gets it anew"


def read_raw(data: DataConfig, folder: Path) -> RawData:
    """Reads a data set that `wellfit.data.fetch.fetch` has got, or the user's own.

    Args:
        data: the section ``data``.
        folder: of the data set's raw files, such as ``data/raw/digits``.

    Raises:
        WellfitError: a file is missing, damaged, or holds a value that is not a finite number.
    """
    entry = CATALOG[data.name]
    for file in entry.files:
        _verify(folder / file.name, file.digest)
    match data.name:
        case "csv" | "parquet":
            return read_own_table(data)
        case "images":
            return _read_own_images(data)
        case "adult":
            return read_adult(folder, data)
        case "california_housing":
            return read_california(folder, data)
        case "cifar10":
            cifar = read_cifar10(folder)
            splits = published_splits(cifar.first_test_row, len(cifar.labels) - cifar.first_test_row)
            return RawData(cifar.images, cifar.labels, cifar.class_names, entry.target_name, splits)
        case "mnist" | "fashion_mnist":
            return _read_idx_files(entry, folder, binary=data.task == "binary")
    return _read_bundled(entry, folder)


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


def _read_idx_files(entry: Entry, folder: Path, *, binary: bool) -> RawData:
    train_x, train_y, test_x, test_y = (
        read_idx(folder / file.name, axes=3 if "images" in file.name else 1) for file in entry.files
    )
    for part, x, y in (("train", train_x, train_y), ("t10k", test_x, test_y)):
        if len(x) != len(y) or x.shape[1:] != train_x.shape[1:]:
            raise WellfitError(f"{folder}: {part} images {x.shape} and labels {y.shape} do not fit together; {ANEW}")
    images = np.concatenate([train_x, test_x])[:, np.newaxis]
    labels = _class_indices(np.concatenate([train_y, test_y]), entry.class_names, folder)
    splits = published_splits(len(train_x), len(test_x))
    if binary:
        return RawData(images, (labels >= BINARY_FROM).astype(np.int64), BINARY_CLASSES, "half of the classes", splits)
    return RawData(images, labels, entry.class_names, entry.target_name, splits)


def _read_own_images(data: DataConfig) -> RawData:
    size = (data.image_size[0], data.image_size[1]) if data.image_size else None
    found = read_image_folder(Path(data.path), size, data.channels)
    return RawData(
        found.images,
        found.labels,
        found.class_names,
        CATALOG["images"].target_name,
        splits=found.splits,
        ids=np.array(found.files),
        warnings=found.warnings,
    )


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
    is_regression = entry.task == "regression"
    y = _finite_float32(y, folder / "y.npy", [target]) if is_regression else _class_indices(y, classes, folder)
    if entry.kind == "images":
        return RawData(x, y, tuple(classes), target)
    if x.shape[1] != len(features):
        raise WellfitError(f"{folder}: x.npy has {x.shape[1]} columns, names.json {len(features)} names; {ANEW}")
    import pandas as pd

    x = _finite_float32(x, folder / "x.npy", features).astype(np.float64) + 0.0  # no -0.0
    return RawData(pd.DataFrame(x, columns=features), y, tuple(classes), target)


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
