"""The data sets that scikit-learn ships or generates, as raw files."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wellfit.data.catalog import CATALOG
from wellfit.data.config import DataConfig
from wellfit.data.store import file_sha256
from wellfit.files import write_json

OUTLIER_DEVIATIONS = 10  # of the targets without outliers


class Bundled(NamedTuple):
    """A data set in memory.

    Attributes:
        x: uint8 (n, 1, 8, 8) images, or float64 (n, features).
        y: int64 (n,) class indices, or float64 (n,) targets.
        feature_names: one per column; empty for images.
        class_names: by class index; empty for a regression.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    feature_names: list[str]
    class_names: list[str]


def save_bundled(data: DataConfig, folder: Path) -> None:
    """Writes ``x.npy``, ``y.npy`` and ``names.json``, which also holds the sha256 of the two.

    Args:
        data: ``name``; for generated data also ``n_samples``, ``noise`` and ``seed``, for imbalanced ones
            ``minority_share`` too, for regression ``outliers``.
        folder: an empty folder.
    """
    loaded = _load(data)
    for name, array in (("x.npy", loaded.x), ("y.npy", loaded.y)):
        with (folder / name).open("wb") as stream:
            np.save(stream, array, allow_pickle=False)
            stream.flush()
            os.fsync(stream.fileno())
    names = {
        "feature_names": loaded.feature_names,
        "class_names": loaded.class_names,
        "target_name": CATALOG[data.name].target_name,
        "sha256": {name: file_sha256(folder / name) for name in ("x.npy", "y.npy")},
    }
    write_json(folder / "names.json", names)


def _load(data: DataConfig) -> Bundled:
    from sklearn import datasets

    match data.name:
        case "digits":
            bunch = datasets.load_digits()
            images = bunch.images.astype(np.uint8)[:, np.newaxis]
            return Bundled(images, bunch.target, [], _texts(bunch.target_names))
        case "wine":
            return _table(datasets.load_wine())
        case "breast_cancer":
            return _table(datasets.load_breast_cancer())
        case "diabetes":
            return _table(datasets.load_diabetes(scaled=False))
        case "moons":
            x, y = datasets.make_moons(data.n_samples, noise=data.noise, random_state=data.seed)
            return Bundled(x, y, ["x1", "x2"], list(CATALOG["moons"].class_names))
        case "regression":
            return _regression(data)
        case "imbalanced":
            return _imbalanced(data)
    raise ValueError(f"scikit-learn does not ship {data.name}")


def _regression(data: DataConfig) -> Bundled:
    """A linear function of ten features; ``data.outliers`` of its rows are off by ten standard deviations, upwards.

    One-sided, as outliers of a sensor or of a form mostly are: those of both sides would cancel out in a mean.
    """
    from sklearn import datasets

    x, y = datasets.make_regression(
        data.n_samples, n_features=10, n_informative=10, noise=data.noise, random_state=data.seed
    )
    off = np.random.default_rng(data.seed).permutation(len(y))[: round(data.outliers * len(y))]
    y[off] += OUTLIER_DEVIATIONS * y.std()
    return Bundled(x, y, _numbered(10), [])


def _imbalanced(data: DataConfig) -> Bundled:
    """Two classes, each of two clusters in ten features, of which two tell nothing and three repeat the other five.

    ``data.noise`` is added to the features and not to the labels, as `flip_y` would do it: labels flipped at random are
    mostly of the majority, and would drown a small minority.
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
    return Bundled(x, y, _numbered(10), list(CATALOG["imbalanced"].class_names))


def _numbered(n_features: int) -> list[str]:
    return [f"x{column}" for column in range(1, n_features + 1)]


def _table(bunch: Any) -> Bundled:
    return Bundled(bunch.data, bunch.target, _texts(bunch.feature_names), _texts(bunch.get("target_names", ())))


def _texts(names: Any) -> list[str]:
    return [str(name) for name in names]
