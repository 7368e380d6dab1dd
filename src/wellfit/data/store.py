"""Processed data on disk: memory-mapped arrays and ``meta.json``.

A folder ``data/processed/<name>/`` holds ``x_<split>.npy``, ``y_<split>.npy`` and ``id_<split>.npy`` for each of train,
val and test, ``weight_<split>.npy`` where rows have weights, ``fold_train.npy`` where there are folds,
``x_unlabelled.npy`` and ``id_unlabelled.npy`` where images have no class, and ``meta.json``, which names every one of
them with its sha256. Whatever is read back is checked first.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.data.meta import Meta, SplitName
from wellfit.data.scratch import chosen_blocks, joined
from wellfit.errors import WellfitError
from wellfit.files import write_text
from wellfit.manifest import OTHER_VERSION, file_sha256

META_FILE = "meta.json"
FEATURES = "features"  # the folder beside `processed`, whose data sets the stage of this name makes


class Split(NamedTuple):
    """The rows of one split, memory-mapped and read-only.

    Attributes:
        x: uint8 (n, channels, height, width) for images; float32 (n, columns) for tables: numbers in raw units, then
            the code of each category, -1 for one that is not told apart (see :attr:`wellfit.data.meta.Meta.columns`);
            float32 (n, features) for features of images, and float32 or float16 (n, ...) for maps.
        y: int64 (n,) class indices, or float32 or float64 (n,) targets in their own unit.
        ids: (n,) int64 row numbers in the raw data, ascending; the publisher's test rows go on after the train rows. Or
            what the user's own data call their rows, int64, uint64 or text.
        weights: float32 (n,) how much each row counts, or None where all count alike.
        folds: int64 (n,) of training rows, the fold of a cross-validation that each validates, from 1, and -1 for none;
            fold 0 is the validation split. None where there are no folds, and of the other splits.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    ids: NDArray[Any]
    weights: NDArray[np.float32] | None = None
    folds: NDArray[np.int64] | None = None


FILES = {"x": "x", "y": "y", "ids": "id", "weights": "weight", "folds": "fold"}  # how a file of a `Split` is called
OPTIONAL = ("weights", "folds")
UNLABELLED = ("x_unlabelled.npy", "id_unlabelled.npy")


def load_meta(folder: Path) -> Meta:
    """Reads and checks ``meta.json``.

    Args:
        folder: of one processed data set, such as ``data/processed/digits``.

    Raises:
        WellfitError: the file is missing or was changed after it was written.
    """
    path = folder / META_FILE
    try:
        return Meta.from_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise WellfitError(
            f"{path} not found; `dvc repro preprocess` makes it, with data.name {folder.name} in params.yaml"
        ) from None
    except ValueError as error:
        fault = OTHER_VERSION if str(error) == OTHER_VERSION else f"is damaged: {error}"
        raise WellfitError(f"{path} {fault}; {_anew(path)}") from None


def load_split(folder: Path, meta: Meta, name: SplitName) -> Split:
    """Opens one split after checking its files against the manifest.

    Args:
        folder: the one that ``meta`` was loaded from.
        meta: what `load_meta` returned.
        name: train, val or test.

    Raises:
        WellfitError: a file is missing, or its sha256 is not the one of the manifest.
    """
    files = {field: file for field, file in _files(name).items() if field not in OPTIONAL or file in meta.manifest}
    for file in files.values():
        _check(folder / file, meta.manifest.get(file))
    arrays = {field: load_array(folder / file) for field, file in files.items()}
    return Split(**arrays)


def load_folds(folder: Path, meta: Meta, budget: int) -> list[Split]:
    """The rows that models are validated with, by fold; without folds the validation split alone.

    Args:
        folder: the one that ``meta`` was loaded from.
        meta: what `load_meta` returned.
        budget: bytes that the inputs of all folds may take in memory; those that take more are kept on disk.

    Raises:
        WellfitError: a file is missing, or its sha256 is not the one of the manifest.
    """
    val = load_split(folder, meta, "val")
    if _files("train")["folds"] not in meta.manifest:
        return [val]
    train = load_split(folder, meta, "train")
    assert train.folds is not None
    weights, n_others = train.weights, int(train.folds.max())
    found = [val]
    for fold in range(1, 1 + n_others):
        rows = np.flatnonzero(train.folds == fold)
        x = joined(chosen_blocks(train.x, rows), train.x, len(rows), budget // n_others)
        found.append(Split(x, train.y[rows], train.ids[rows], None if weights is None else weights[rows]))
    return found


def save_split(
    folder: Path,
    name: SplitName,
    split: Split,
    chosen: NDArray[np.int64] | None = None,
    written: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """Writes the files of a split into a folder and returns their part of the manifest.

    Args:
        folder: that gets them.
        name: train, val or test.
        split: its rows.
        chosen: (n,) which rows of ``x`` these are; None: ``x`` has no others.
        written: the sha256 of files that are there already, by their names.
    """
    manifest = {}
    for field, array in split._asdict().items():
        file = _files(name)[field]
        if array is None:
            continue
        if field == "x" and chosen is not None:
            parts = chosen_blocks(array, chosen)
            manifest[file] = write_array(folder / file, (len(chosen), *array.shape[1:]), array.dtype, parts)
        else:
            manifest[file] = written.get(file) or save_array(folder / file, array)
    return manifest


def x_file(name: SplitName) -> str:
    """The file that has the inputs of a split."""
    return _files(name)["x"]


def save_unlabelled(folder: Path, x: NDArray[np.uint8], ids: NDArray[np.str_]) -> dict[str, str]:
    """Writes images without a class into a folder and returns their part of the manifest."""
    arrays = dict(zip(UNLABELLED, (x, ids), strict=True))
    return {file: save_array(folder / file, array) for file, array in arrays.items()}


def load_unlabelled(folder: Path, meta: Meta) -> tuple[NDArray[np.uint8], NDArray[np.str_]] | None:
    """The images without a class and their ids, after checking their files; None where there are none.

    Args:
        folder: the one that ``meta`` was loaded from.
        meta: what `load_meta` returned.

    Raises:
        WellfitError: a file is missing, or its sha256 is not the one of the manifest.
    """
    if UNLABELLED[0] not in meta.manifest:
        return None
    for file in UNLABELLED:
        _check(folder / file, meta.manifest.get(file))
    x, ids = (load_array(folder / file) for file in UNLABELLED)
    return x, ids


def save_array(path: Path, array: NDArray[Any]) -> str:
    """Writes a ``.npy`` file, waits until the disk has it, and returns its sha256."""
    # Not by `numpy.save`: its error of a full disk has no number, and says '300000 requested and 131056 written'.
    return write_array(path, array.shape, array.dtype, [array])


def write_array(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], parts: Iterable[NDArray[Any]]) -> str:
    """Writes a ``.npy`` file as `save_array`, of rows that follow each other and that memory need not hold together.

    Args:
        path: the file.
        shape: of all rows together.
        dtype: of each part.
        parts: rows, (n, ...).
    """
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for part in parts:
            stream.write(np.ascontiguousarray(part).data)
        stream.flush()
        os.fsync(stream.fileno())
    return file_sha256(path)


def load_array(path: Path, way_out: str = "") -> NDArray[Any]:
    """Opens a ``.npy`` file, memory-mapped.

    Args:
        path: the file, whose sha256 was checked.
        way_out: what helps; empty: the stage that writes processed data.

    Raises:
        WellfitError: it is no array, or one of objects, which would be a pickle.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return array
    except (ValueError, EOFError):
        raise WellfitError(f"{path} is damaged: it is no array of numbers or text; {way_out or _anew(path)}") from None


def save_meta(folder: Path, meta: Meta) -> None:
    """Writes ``meta.json`` into a folder."""
    write_text(folder / META_FILE, meta.to_json())


def _files(name: SplitName) -> dict[str, str]:
    """The file of each field of a `Split`."""
    return {field: f"{file}_{name}.npy" for field, file in FILES.items()}


def _anew(path: Path) -> str:
    """How to get a file of a processed data set."""
    stage = FEATURES if path.parents[1].name == FEATURES else "preprocess"
    return f"`dvc repro --force {stage}` makes it anew"


def _check(path: Path, expected: str | None) -> None:
    try:
        actual = file_sha256(path)
    except FileNotFoundError:
        raise WellfitError(f"{path} not found, though {META_FILE} names it; {_anew(path)}") from None
    if actual != expected:
        raise WellfitError(f"{path} is not the file that {META_FILE} describes (its sha256 differs); {_anew(path)}")
