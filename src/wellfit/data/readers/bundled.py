"""The data sets that scikit-learn ships or generates: made in memory, kept as raw files, and read again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wellfit.data.raw import FETCH_AGAIN, Arrays, Entry, RawData, class_indices, verify
from wellfit.data.store import load_array, save_array
from wellfit.errors import WellfitError
from wellfit.files import write_text
from wellfit.manifest import sealed, unsealed

if TYPE_CHECKING:
    from wellfit.data.settings import DataConfig

OUTLIER_DEVIATIONS = 10  # of the targets without outliers


def load_digits(_data: DataConfig) -> Arrays:
    """Optical recognition of handwritten digits: 1,797 images of 8 x 8 pixels."""
    from sklearn import datasets

    bunch = datasets.load_digits()
    return Arrays(bunch.images.astype(np.uint8)[:, np.newaxis], bunch.target, [], _texts(bunch.target_names))


def shipped_table(name: str, **options: Any) -> Callable[[DataConfig], Arrays]:
    """What loads a table that scikit-learn ships: ``sklearn.datasets.load_<name>``, called with the options."""

    def load(_data: DataConfig) -> Arrays:
        from sklearn import datasets

        bunch = getattr(datasets, f"load_{name}")(**options)
        return Arrays(bunch.data, bunch.target, _texts(bunch.feature_names), _texts(bunch.get("target_names", ())))

    return load


def make_moons(data: DataConfig) -> Arrays:
    """Two interleaving half circles in the plane, with ``data.noise``."""
    from sklearn import datasets

    x, y = datasets.make_moons(data.n_samples, noise=data.noise, random_state=data.seed)
    return Arrays(x, y, _numbered(2), [])


def make_regression(data: DataConfig) -> Arrays:
    """A linear function of ten features; the targets of a share ``data.outliers`` of the rows are too high by ten
    standard deviations.

    The outliers are on one side, as those of a sensor or of a form mostly are: on both sides they would cancel out in a
    mean.
    """
    from sklearn import datasets

    x, y = datasets.make_regression(
        data.n_samples, n_features=10, n_informative=10, noise=data.noise, random_state=data.seed
    )
    outliers = np.random.default_rng(data.seed).permutation(len(y))[: round(data.outliers * len(y))]
    y[outliers] += OUTLIER_DEVIATIONS * y.std()
    return Arrays(x, y, _numbered(10), [])


def make_imbalanced(data: DataConfig) -> Arrays:
    """Two classes, each of two clusters in ten features: five inform, three are mixtures of these, two are noise.

    ``data.noise`` is added to the features and not to the labels, as `flip_y` would do it: labels flipped at random are
    mostly of the majority, and would outnumber a small minority.
    """
    from sklearn import datasets

    x, y = datasets.make_classification(
        data.n_samples,
        n_features=10,
        n_informative=5,
        n_redundant=3,
        weights=[1 - data.minority_share],
        flip_y=0,
        random_state=data.seed,
    )
    x += np.random.default_rng(data.seed).normal(scale=data.noise, size=x.shape)
    return Arrays(x, y, _numbered(10), [])


def save_arrays(arrays: Arrays, entry: Entry, folder: Path) -> None:
    """Writes ``x.npy``, ``y.npy`` and ``names.json``, which also holds the sha256 of the two and of itself.

    Args:
        arrays: what the entry's ``load`` gave.
        entry: of the data set.
        folder: an empty folder.
    """
    names = {
        "feature_names": arrays.feature_names,
        "class_names": arrays.class_names or list(entry.class_names),
        "target_name": entry.target_name,
        "files": {file: save_array(folder / file, x) for file, x in (("x.npy", arrays.x), ("y.npy", arrays.y))},
    }
    write_text(folder / "names.json", sealed(names))


def read_arrays(entry: Entry, folder: Path, _data: DataConfig) -> RawData:
    """Reads what `save_arrays` wrote.

    Raises:
        WellfitError: a file is missing, damaged, or holds a value that is not a finite float32 number.
    """
    try:
        names = unsealed((folder / "names.json").read_text(encoding="utf-8"))
        features, classes, target = names["feature_names"], names["class_names"], names["target_name"]
        hashes = {file: names["files"][file] for file in ("x.npy", "y.npy")}
    except (FileNotFoundError, NotADirectoryError):
        raise WellfitError(f"{folder / 'names.json'} not found; `dvc repro fetch` makes it") from None
    except (ValueError, KeyError, TypeError):
        raise WellfitError(f"{folder / 'names.json'} is damaged; {FETCH_AGAIN}") from None
    x, y = (_read_npy(folder / file, sha256) for file, sha256 in hashes.items())
    if len(x) != len(y) or x.ndim != (4 if entry.kind == "images" else 2) or y.ndim != 1:
        raise WellfitError(f"{folder}: x.npy {x.shape} and y.npy {y.shape} do not fit together; {FETCH_AGAIN}")
    is_regression = entry.task == "regression"
    y = _finite_float32(y, folder / "y.npy", [target]) if is_regression else class_indices(y, classes, folder)
    if entry.kind == "images":
        return RawData(x, y, tuple(classes), target)
    if x.shape[1] != len(features):
        raise WellfitError(f"{folder}: x.npy has {x.shape[1]} columns, names.json {len(features)} names; {FETCH_AGAIN}")
    import pandas as pd

    x = _finite_float32(x, folder / "x.npy", features).astype(np.float64) + 0.0  # no -0.0
    return RawData(pd.DataFrame(x, columns=features), y, tuple(classes), target)


def _read_npy(path: Path, sha256: str) -> NDArray[Any]:
    verify(path, sha256)
    return load_array(path, FETCH_AGAIN)


def _finite_float32(values: NDArray[Any], path: Path, names: list[str]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        converted = values.astype(np.float32)
    if not np.isfinite(converted).all():
        row, column = np.argwhere(~np.isfinite(converted.reshape(len(converted), -1)))[0]
        value = values.reshape(len(values), -1)[row, column]
        raise WellfitError(f"{path} row {row}, {names[column]}: must be a finite float32 number, got {value:g}")
    return converted


def _texts(names: Any) -> list[str]:
    return [str(name) for name in names]


def _numbered(n_features: int) -> list[str]:
    return [f"x{column}" for column in range(1, n_features + 1)]
