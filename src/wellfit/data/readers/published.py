"""Files as their publishers have made them, as arrays and tables."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wellfit.data.raw import FETCH_AGAIN, Entry, RawData, class_indices, published_splits
from wellfit.data.readers.columns import Columns
from wellfit.data.readers.csv_files import read_csv
from wellfit.data.readers.kinds import infer_source
from wellfit.errors import WellfitError

if TYPE_CHECKING:
    from wellfit.data.settings import DataConfig

IDX_UNSIGNED_BYTE = 0x08  # third byte of the magic number, http://yann.lecun.com/exdb/mnist/
CIFAR_IMAGE = (3, 32, 32)
# https://archive.ics.uci.edu/dataset/2/adult
ADULT_COLUMNS = (
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education-num",
    "marital-status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital-gain",
    "capital-loss",
    "hours-per-week",
    "native-country",
)
# Pace and Barry 1997, with the names that scikit-learn gives them.
CALIFORNIA_COLUMNS = (
    "Longitude",
    "Latitude",
    "HouseAge",
    "TotalRooms",
    "TotalBedrooms",
    "Population",
    "Households",
    "MedInc",
    "MedianHouseValue",
)


def read_adult(entry: Entry, folder: Path, data: DataConfig) -> RawData:
    """Adult: 32,561 training and 16,281 test rows of 14 columns, ``?`` where one is missing.

    Args:
        entry: of the data set.
        folder: holds ``adult.data``, and ``adult.test``, which begins with a line that is no row and ends its labels
            with a full stop.
        data: the section ``data``, for the texts that stand for missing values.
    """
    import pandas as pd
    import pyarrow as pa

    files = {"adult.data": 0, "adult.test": 1}  # and the lines before the first row
    parts = [read_csv(folder / name, ",", [*ADULT_COLUMNS, "income"], skip_rows) for name, skip_rows in files.items()]
    table = pa.concat_tables(parts)
    columns = Columns(table, data.missing, folder, first_row=1)
    features = pd.DataFrame({name: columns.read(infer_source(columns, name, data)) for name in ADULT_COLUMNS})
    labels = table.column("income").to_pandas().str.removesuffix(".")
    y = pd.Categorical(labels, categories=list(entry.class_names)).codes.astype(np.int64)
    splits = published_splits(len(parts[0]), len(parts[1]))
    return RawData(features, y, entry.class_names, entry.target_name, splits)


def read_california(entry: Entry, folder: Path, data: DataConfig) -> RawData:
    """California housing: 20,640 districts of the 1990 census, with the eight features of
    ``sklearn.datasets.fetch_california_housing`` and its target, the median house value in 100,000 US dollars.

    Args:
        entry: of the data set.
        folder: holds ``cal_housing.data``, nine columns without a header.
        data: the section ``data``.
    """
    import pandas as pd

    path = folder / "cal_housing.data"
    columns = Columns(read_csv(path, ",", CALIFORNIA_COLUMNS), data.missing, path, first_row=1)
    raw = {name: columns.numbers(name) for name in CALIFORNIA_COLUMNS}
    features = {
        "MedInc": raw["MedInc"],
        "HouseAge": raw["HouseAge"],
        "AveRooms": raw["TotalRooms"] / raw["Households"],
        "AveBedrms": raw["TotalBedrooms"] / raw["Households"],
        "Population": raw["Population"],
        "AveOccup": raw["Population"] / raw["Households"],
        "Latitude": raw["Latitude"],
        "Longitude": raw["Longitude"],
    }
    target = (raw["MedianHouseValue"] / 100_000).astype(np.float32)
    return RawData(pd.DataFrame(features), target, (), entry.target_name)


def read_idx_files(entry: Entry, folder: Path, data: DataConfig) -> RawData:
    """MNIST and Fashion-MNIST: 60,000 training and 10,000 test images of 28 x 28 pixels.

    Args:
        entry: of the data set; its files are images and labels for training, then images and labels for the test.
        folder: holds the files, unpacked.
        data: the section ``data``; with ``task`` binary, there are two classes: the lower and the upper half.

    Raises:
        WellfitError: images and labels do not fit together, or a label has no name.
    """
    train_x, train_y, test_x, test_y = (
        read_idx(folder / file.name, axes=3 if "images" in file.name else 1) for file in entry.files
    )
    for part, x, y in (("train", train_x, train_y), ("t10k", test_x, test_y)):
        if len(x) != len(y) or x.shape[1:] != train_x.shape[1:]:
            raise WellfitError(
                f"{folder}: {part} images {x.shape} and labels {y.shape} do not fit together; {FETCH_AGAIN}"
            )
    images = np.concatenate([train_x, test_x])[:, np.newaxis]
    labels = class_indices(np.concatenate([train_y, test_y]), entry.class_names, folder)
    splits = published_splits(len(train_x), len(test_x))
    if data.task == "binary":
        is_upper = (labels >= len(entry.class_names) // 2).astype(np.int64)
        return RawData(images, is_upper, entry.binary_class_names, "half of the classes", splits)
    return RawData(images, labels, entry.class_names, entry.target_name, splits)


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
        raise WellfitError(f"{path} is damaged: {len(content)} bytes are too few for an IDX header; {FETCH_AGAIN}")
    magic = content[:4].tolist()
    if magic != [0, 0, IDX_UNSIGNED_BYTE, axes]:
        expected = bytes([0, 0, IDX_UNSIGNED_BYTE, axes]).hex()
        raise WellfitError(f"{path} is damaged: it must begin with {expected}, got {bytes(magic).hex()}; {FETCH_AGAIN}")
    header = 4 + 4 * axes
    shape = tuple(int(length) for length in content[4:header].view(">u4")) if len(content) >= header else ()
    if len(shape) != axes or len(content) - header != math.prod(shape):
        raise WellfitError(
            f"{path} is damaged: {len(content)} bytes do not fit the shape {shape} it claims; {FETCH_AGAIN}"
        )
    return content[header:].reshape(shape)


def read_cifar10(entry: Entry, folder: Path, _data: DataConfig) -> RawData:
    """CIFAR-10: 50,000 training and 10,000 test images of 32 x 32 pixels in red, green and blue.

    Args:
        entry: of the data set; its files are the training batches, then the test batch.
        folder: holds the files.

    Raises:
        WellfitError: a file does not hold whole rows, or a label has no name.
    """
    batches = [_read_cifar_batch(folder / file.name) for file in entry.files]
    rows = np.concatenate(batches)  # (n, 1 + 3 * 32 * 32): the label, then the pixels
    labels = class_indices(rows[:, 0], entry.class_names, folder)
    images = rows[:, 1:].reshape(-1, *CIFAR_IMAGE)
    splits = published_splits(len(rows) - len(batches[-1]), len(batches[-1]))
    return RawData(images, labels, entry.class_names, entry.target_name, splits)


def _read_cifar_batch(path: Path) -> NDArray[np.uint8]:
    content = np.fromfile(path, dtype=np.uint8)
    row = 1 + math.prod(CIFAR_IMAGE)
    if not len(content) or len(content) % row:
        raise WellfitError(f"{path} is damaged: {len(content)} bytes are no whole rows of {row}; {FETCH_AGAIN}")
    return content.reshape(-1, row)
